// SPDX-License-Identifier: Apache-2.0
/// \file stream_decoder.hpp
/// Text of ids as they come, one at a time: what may be printed is printed, half a character waits for its rest.
///
///     StreamDecoder stream(tokenizer);
///     for (const std::int32_t id : ids) std::cout << stream.push(id);
///     std::cout << stream.flush();                            // all of it together: tokenizer.decode(ids)
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "veneer/text/token_decoder.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

class StreamDecoder {
 public:
  /// `before`: ids that came before, whose text is printed already. A sentencepiece text loses the space in front of
  /// its first word, and what goes on behind a prompt must not.
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = false,
                         std::span<const std::int32_t> before = {})
      : tokenizer_(std::move(tokenizer)),
        skip_special_tokens_(skip_special_tokens),
        decoder_(tokenizer_.decoder(true)) {
    for (const std::int32_t id : before) push(id);
  }

  /// The text that is certain once `id` is known. Throws `ArgumentError` for a negative id.
  std::string push(std::int32_t id) {
    std::string text;
    tokenizer_.push(decoder_, id, skip_special_tokens_, text);
    return text;
  }

  /// What still waits: nothing, or U+FFFD for a character whose end never came. The next `push` begins a new text.
  std::string flush() {
    std::string text;
    decoder_.finish(text);
    return text;
  }

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  TokenDecoder decoder_;
};

}  // namespace veneer
