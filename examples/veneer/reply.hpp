// SPDX-License-Identifier: Apache-2.0
/// \file reply.hpp
/// Reply: prints the text of a model while it is generated, in whole characters, without the token or the text
/// that ends it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/stop_texts.hpp"
#include "veneer/text/stream_decoder.hpp"

#include "model_flags.hpp"

namespace veneer::program {

class Reply {
 public:
  /// \param before  the ids that the text continues; empty for a separate turn
  Reply(const Tokenizer& tokenizer, std::vector<std::int32_t> stop_ids, StopTexts stop,
        std::span<const std::int32_t> before = {})
      : stream_(tokenizer, true, before), stop_ids_(std::move(stop_ids)), stop_(std::move(stop)) {}

  /// Adds an id and prints the text that is determined. Returns false at the end of the reply.
  bool take(std::int32_t id) {
    if (std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end()) return true;  // generate ends here
    show(stop_.push(stream_.push(id)));
    return !stop_.found();
  }

  /// Prints the rest and a line end. Returns all of it.
  std::string finish() {
    show(stop_.push(stream_.flush()));
    show(stop_.flush());
    print("\n");
    flush();
    return std::move(text_);
  }

 private:
  void show(const std::string& text) {
    print(text);
    flush();
    text_ += text;
  }

  StreamDecoder stream_;
  std::vector<std::int32_t> stop_ids_;
  StopTexts stop_;
  std::string text_;
};

}  // namespace veneer::program
