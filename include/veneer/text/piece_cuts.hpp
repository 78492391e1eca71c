// SPDX-License-Identifier: Apache-2.0
/// \file piece_cuts.hpp
/// PieceCuts: the positions where a text over characters can be split before encoding without preventing a merge:
/// before a "▁" whose preceding character is never followed by "▁" inside a token. In nearly all vocabularies only "▁"
/// itself is, so that a text is split into words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

class PieceCuts {
 public:
  PieceCuts() = default;

  /// Constructs the positions. `joins` are the characters that a merge joins to a following "▁". `known_space` is
  /// whether "▁" is a token; otherwise no text can be split. `droppable` are the symbols if other characters are
  /// dropped, so that the character before them is adjacent to a "▁".
  PieceCuts(std::vector<char32_t> joins, bool known_space, std::optional<BpeSymbols> droppable = std::nullopt)
      : joins_(std::move(joins)), known_space_(known_space), droppable_(std::move(droppable)) {
    std::sort(joins_.begin(), joins_.end());
    joins_.erase(std::unique(joins_.begin(), joins_.end()), joins_.end());
  }

  /// Returns the first position from `at` on where a text with spaces, not yet "▁", can be split; its end if
  /// there is none.
  std::size_t next(std::string_view text, std::size_t at) const {
    if (!known_space_) return text.size();
    for (at = text.find(' ', at); at < text.size(); at = text.find(' ', at + 1)) {
      if (at > 0 && text[at - 1] != ' ' && !joined(text, at)) return at;
    }
    return text.size();
  }

  /// Calls `emit(word)` for the parts of `text` in order.
  template <class Emit>
  void cut(std::string_view text, const Emit& emit) const {
    std::size_t done = 0;
    for (std::size_t at = text.find(piece_space, 1); at < text.size() && known_space_;
         at = text.find(piece_space, at + piece_space.size())) {
      if (joined(text, at)) continue;
      emit(text.substr(done, at - done));
      done = at;
    }
    if (done < text.size()) emit(text.substr(done));
  }

 private:
  bool joined(std::string_view text, std::size_t at) const {
    const char32_t before = code_point_before(text, at).value;
    return std::binary_search(joins_.begin(), joins_.end(), before) || (droppable_ && !droppable_->knows(before));
  }

  std::vector<char32_t> joins_;  // in order
  bool known_space_ = false;
  std::optional<BpeSymbols> droppable_;
};

}  // namespace veneer
