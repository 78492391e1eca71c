// SPDX-License-Identifier: Apache-2.0
/// \file piece_text.hpp
/// Conversion of a text to sentencepiece's form: spaces become U+2581 "▁", and one may be prepended.
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

/// When a "▁" is prepended to a text.
enum class PiecePrefix {
  never,
  unless_there,        // Metaspace, "always": not if it begins with one, or with a space
  first_unless_there,  // Metaspace, "first": as before, and only at the start of the whole text
};

/// Writes `text` with `mark` for spaces, and a prepended one if `prefix`, to the empty `out`; with the origin of each
/// byte in `text` if `origins`. The origin of a prepended mark is the first character.
inline void mark_spaces(std::string_view text, bool prefix, bool origins, Normalized& out,
                        std::string_view mark = piece_space) {
  if (!origins) {
    if (prefix && !text.empty()) out.text.append(mark);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t space = std::min(text.find(' ', at), text.size());
      out.text.append(text.substr(at, space - at));
      if (space < text.size()) out.text.append(mark);
      at = space + 1;
    }
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const ByteRange from{at, at + decode_utf8(text, at).length};
    if (at == 0 && prefix) out.text.append(mark);
    out.text.append(text[at] == ' ' ? mark : text.substr(at, from.end - from.begin));
    out.origin.resize(out.text.size(), from);
    at = from.end;
  }
}

}  // namespace veneer
