// SPDX-License-Identifier: Apache-2.0
/// \file stop_texts.hpp
/// StopTexts: texts that end a reply, searched in a stream. The text before the first of them may be shown, the stop
/// text itself is not.
///
///     StopTexts stop({"\n\n", "User:"});
///     show(stop.push("fine. Us"));      // "fine. ": the rest may be the beginning of "User:"
///     show(stop.push("ually"));         // "Usually": it was not
///     stop.push("...\n\nUser");         // "...", and stop.found()
///     show(stop.flush());               // at the end of the reply: the text held back, unless a stop was found
/// The first is the one that is complete first, and of those the longest. So the shown text does not depend on the
/// division of the stream into pieces.
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

  /// Throws `ArgumentError` for an empty text, which would end every reply before it begins.
  explicit StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (const std::string& text : texts_) {
      expects(!text.empty(), "veneer::StopTexts(texts): one of the texts is empty: it would end every reply at once");
    }
  }

  /// Adds `piece` and returns the text that may now be shown; empty after a stop was found.
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

  /// Returns the text held back, at the end of a reply; the next `push` begins another.
  std::string flush() {
    found_ = false;
    return std::exchange(held_, {});
  }

 private:
  /// Returns the length of the longest stop text at the end of the held text.
  std::size_t complete() const {
    std::size_t longest = 0;
    for (const std::string& text : texts_) {
      if (held_.ends_with(text)) longest = std::max(longest, text.size());
    }
    return longest;
  }

  /// Returns the length of the longest suffix of the held text that is a prefix of a stop text.
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
