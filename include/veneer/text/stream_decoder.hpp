// SPDX-License-Identifier: Apache-2.0
/// \file stream_decoder.hpp
/// StreamDecoder: decodes ids one at a time; text is returned as soon as possible, incomplete characters are held back.
///
///     StreamDecoder stream(tokenizer);
///     for (const std::int32_t id : ids) std::cout << stream.push(id);
///     std::cout << stream.flush();                            // the concatenation equals tokenizer.decode(ids)
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
  /// \param before  preceding ids whose text is already printed: a sentencepiece text loses the space before its first
  /// word, but the continuation of a prompt must not
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = false,
                         std::span<const std::int32_t> before = {})
      : tokenizer_(std::move(tokenizer)),
        skip_special_tokens_(skip_special_tokens),
        decoder_(tokenizer_.decoder(true)) {
    for (const std::int32_t id : before) push(id);
  }

  /// Returns the text that is determined after `id`. Throws `ArgumentError` for a negative id.
  std::string push(std::int32_t id) {
    std::string text;
    tokenizer_.push(decoder_, id, skip_special_tokens_, text);
    return text;
  }

  /// Returns the text held back: empty, or U+FFFD for an incomplete character. The next `push` begins a new text.
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
