// SPDX-License-Identifier: Apache-2.0
/// \file stop_texts.hpp
/// Texts that end a reply, looked for in a stream: what stands before the first of them may be shown, none of it is.
///
///     StopTexts stop({"\n\n", "User:"});
///     show(stop.push("fine. Us"));      // "fine. ": the rest may be the beginning of "User:"
///     show(stop.push("ually"));         // "Usually": it was not
///     stop.push("...\n\nUser");         // "...", and stop.found()
///     show(stop.flush());               // at the end of the reply: what was held back, unless a stop was found
/// The first is the one that is complete first, of those the longest. So what is shown does not depend on where the
/// stream was cut into pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"

namespace veneer {

class StopTexts {
 public:
  StopTexts() = default;

  /// Throws `ArgumentError` for an empty text: it would end every reply before it begins.
  explicit StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (const std::string& text : texts_) {
      expects(!text.empty(), "veneer::StopTexts(texts): one of the texts is empty: it would stop at once");
    }
  }

  /// What may be shown now that `piece` has come; nothing once a stop was found.
  std::string push(std::string_view piece) {
    if (found_) return {};
    for (const char byte : piece) {
      held_ += byte;
      if (const std::size_t length = complete(); length > 0) {
        found_ = true;
        held_.resize(held_.size() - length);
        return std::exchange(held_, {});
      }
    }
    const std::size_t ready = held_.size() - begun();
    std::string shown = held_.substr(0, ready);
    held_.erase(0, ready);
    return shown;
  }

  bool found() const { return found_; }

  /// What was held back, at the end of a reply; the next `push` begins another.
  std::string flush() {
    found_ = false;
    return std::exchange(held_, {});
  }

 private:
  /// The length of the longest text that ends what is held.
  std::size_t complete() const {
    std::size_t longest = 0;
    for (const std::string& text : texts_) {
      if (held_.ends_with(text)) longest = std::max(longest, text.size());
    }
    return longest;
  }

  /// The length of the longest end of what is held that begins some text.
  std::size_t begun() const {
    std::size_t longest = 0;
    for (const std::string& text : texts_) {
      std::size_t length = std::min(held_.size(), text.size() - 1);
      while (length > longest && !held_.ends_with(std::string_view(text).substr(0, length))) --length;
      longest = std::max(longest, length);
    }
    return longest;
  }

  std::vector<std::string> texts_;
  std::string held_;
  bool found_ = false;
};

}  // namespace veneer
