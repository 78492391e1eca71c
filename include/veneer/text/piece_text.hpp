// SPDX-License-Identifier: Apache-2.0
/// \file piece_text.hpp
/// Text as sentencepiece vocabularies have it: a space is U+2581 "▁", and a text may get one more in front.
///
///     "Hello world"    "▁Hello▁world"
///
/// Kudo and Richardson, "SentencePiece", arXiv:1808.06226, section 3.2.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/normalize.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

inline constexpr std::string_view piece_space = "\xE2\x96\x81";
inline constexpr char32_t piece_space_character = 0x2581;

/// When a text gets a "▁" in front.
enum class PiecePrefix {
  never,
  always,              // normalizer Prepend: whatever it begins with
  unless_there,        // Metaspace, "always": not if it begins with one, or with a space
  first_unless_there,  // Metaspace, "first": the same, and only at the start of the whole text
};

/// Writes `text` with "▁" for spaces, and one in front if `prefix`, to `out`; with the place of each byte in `text` if
/// `origins`. What is put in front is said to come from the first character.
inline void mark_spaces(std::string_view text, bool prefix, bool origins, Normalized& out) {
  out.text.clear();
  out.origin.clear();
  if (!origins) {
    if (prefix) out.text.append(piece_space);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t space = std::min(text.find(' ', at), text.size());
      out.text.append(text.substr(at, space - at));
      if (space < text.size()) out.text.append(piece_space);
      at = space + 1;
    }
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const ByteRange from{at, at + decode_utf8(text, at).length};
    if (at == 0 && prefix) out.text.append(piece_space);
    out.text.append(text[at] == ' ' ? piece_space : text.substr(at, from.end - from.begin));
    out.origin.resize(out.text.size(), from);
    at = from.end;
  }
}

/// Where a text can be cut without any merge missing its chance: before a "▁" whose left neighbour never stands before
/// one inside a token. Nearly all vocabularies let none but "▁" itself stand there, so that text falls into words.
class PieceCuts {
 public:
  PieceCuts() = default;

  /// `joins`: the characters that some merge joins to a "▁" behind them. `everywhere`: cut before each "▁", which is
  /// what Metaspace's `split` means.
  PieceCuts(std::vector<char32_t> joins, bool known_space, bool everywhere)
      : joins_(std::move(joins)), known_space_(known_space), everywhere_(everywhere) {
    std::sort(joins_.begin(), joins_.end());
    joins_.erase(std::unique(joins_.begin(), joins_.end()), joins_.end());
  }

  /// The first place from `at` on where a text with spaces, not yet "▁", can be cut; its end if there is none.
  std::size_t next(std::string_view text, std::size_t at) const {
    if (!known_space_ && !everywhere_) return text.size();
    for (at = text.find(' ', at); at < text.size(); at = text.find(' ', at + 1)) {
      if (at > 0 && text[at - 1] != ' ' && !joined(text, at)) return at;
    }
    return text.size();
  }

  /// Calls `emit(word)` for the parts of `text` in order.
  template <class Emit>
  void cut(std::string_view text, const Emit& emit) const {
    std::size_t done = 0;
    for (std::size_t at = text.find(piece_space, 1); at < text.size() && (known_space_ || everywhere_);
         at = text.find(piece_space, at + piece_space.size())) {
      if (!everywhere_ && joined(text, at)) continue;
      emit(text.substr(done, at - done));
      done = at;
    }
    if (done < text.size()) emit(text.substr(done));
  }

 private:
  bool joined(std::string_view text, std::size_t at) const {
    return std::binary_search(joins_.begin(), joins_.end(), code_point_before(text, at).value);
  }

  std::vector<char32_t> joins_;  // in order
  bool known_space_ = false;
  bool everywhere_ = false;
};

}  // namespace veneer
