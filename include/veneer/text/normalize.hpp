// SPDX-License-Identifier: Apache-2.0
/// \file normalize.hpp
/// The four Unicode normalization forms, with the origin of each byte of the result in the original text.
///
///     nfc("e" U+0301 "x")   "é" U+0078          é comes from [0, 1), x from [3, 4)
///
/// NFD and NFKD decompose, canonically or with compatibility mappings; NFC and NFKC then compose.
///
/// Unicode Standard Annex 15, with the tables of utf8proc. Vocabularies are made by a library with tables of Unicode 9,
/// so later changes are undone here, and characters that compose only since then are not composed; all other text has
/// the same form in every version. U+11A7, which utf8proc 2.8 drops after a Hangul syllable, is kept.
///
/// The origin of a composed character is the first of its parts, as in the tokenizers library, so that offsets agree.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utf8proc.h>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// Bytes [begin, end) of a text.
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// A normalized text. `origin` has a range of the original text for each byte of `text`; all bytes of a
/// character share one.
struct Normalized {
  std::string text;
  std::vector<ByteRange> origin;
};

namespace detail {

// Combining marks assigned since Unicode 10: in Unicode 9 they are starters.
inline constexpr auto newer_marks = std::to_array<CodePointRange>(
    {{0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1AFF},   {0x1DF6, 0x1DFA},
     {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF},
     {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x113CE, 0x113D0},
     {0x113E1, 0x113E2}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
     {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
     {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1612F, 0x1612F}, {0x16FF0, 0x16FF1},
     {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
     {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6F5}});

// Characters with a canonical decomposition assigned since Unicode 10.
inline constexpr auto newer_composites = std::to_array<CodePointRange>({{0x105C9, 0x105C9},
                                                                        {0x105E4, 0x105E4},
                                                                        {0x11383, 0x11383},
                                                                        {0x11385, 0x11385},
                                                                        {0x1138E, 0x1138E},
                                                                        {0x11391, 0x11391},
                                                                        {0x113C5, 0x113C5},
                                                                        {0x113C7, 0x113C8},
                                                                        {0x11938, 0x11938},
                                                                        {0x16121, 0x16128},
                                                                        {0x16D68, 0x16D6A}});

// Characters with a compatibility decomposition assigned since Unicode 10.
inline constexpr auto newer_compatibility = std::to_array<CodePointRange>({{0x32FF, 0x32FF},
                                                                           {0xA7F2, 0xA7F4},
                                                                           {0xAB69, 0xAB69},
                                                                           {0x10781, 0x10785},
                                                                           {0x10787, 0x107B0},
                                                                           {0x107B2, 0x107BA},
                                                                           {0x1E030, 0x1E06D},
                                                                           {0x1F16C, 0x1F16C},
                                                                           {0x1FBF0, 0x1FBF9}});

inline int combining_class(char32_t value) {
  if (value < 0x300 || in_ranges(newer_marks, value)) return 0;
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(value))->combining_class;
}

/// Returns the composition of two characters, or 0.
inline char32_t compose_pair(char32_t first, char32_t second) {
  if (second < 0x300 || second == 0x11A7) return 0;
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return 0;
  const auto composed = static_cast<char32_t>(pair[0]);
  return in_ranges(newer_composites, composed) ? 0 : composed;
}

/// A character of an intermediate result, and the change of the number of characters at it: 0 consumes one of the
/// original, +1 consumes none (a further part of a decomposition), -n consumes n more (parts composed into it).
struct MovingCharacter {
  char32_t value;
  int combining;
  int change;
};

/// Writes the decomposition of a character to `parts`; returns the number of parts.
inline std::size_t decompose_character(char32_t value, bool compatibility, std::array<utf8proc_int32_t, 32>& parts) {
  parts[0] = static_cast<utf8proc_int32_t>(value);
  if (value < 0xA0 || in_ranges(newer_composites, value)) return 1;
  if (compatibility && in_ranges(newer_compatibility, value)) return 1;
  int boundary = 0;
  const int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(value), parts.data(),
                                                         static_cast<utf8proc_ssize_t>(parts.size()),
                                                         static_cast<utf8proc_option_t>(options), &boundary);
  expects(count > 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()),
          "veneer::normal_form(text): utf8proc failed");
  return static_cast<std::size_t>(count);
}

/// Returns the canonical or compatibility decomposition of `text`, with marks in canonical order.
inline std::vector<MovingCharacter> decompose(std::string_view text, bool compatibility) {
  std::vector<MovingCharacter> out;
  out.reserve(text.size());
  std::size_t marks = 0;  // the begin of the run of marks at the end
  const auto sort_marks = [&] {
    std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(marks), out.end(),
                     [](const MovingCharacter& a, const MovingCharacter& b) { return a.combining < b.combining; });
  };
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    expects(point.length > 0, "veneer::normal_form(text): the text is not UTF-8");
    at += point.length;
    std::array<utf8proc_int32_t, 32> parts;
    const std::size_t count = decompose_character(point.value, compatibility, parts);
    for (std::size_t part = 0; part < count; ++part) {
      const auto value = static_cast<char32_t>(parts[part]);
      const int combining = combining_class(value);
      if (combining == 0) {
        sort_marks();
        marks = out.size() + 1;
      }
      out.push_back({value, combining, part == 0 ? 0 : 1});
    }
  }
  sort_marks();
  return out;
}

/// Composes in place: each starter with the following unblocked marks and starters.
inline void compose(std::vector<MovingCharacter>& characters) {
  std::size_t kept = 0;
  std::optional<std::size_t> starter;
  int last_combining = 0;  // of the last remaining character after the starter; 0: none
  for (const MovingCharacter character : characters) {
    const bool blocked = last_combining != 0 && last_combining >= character.combining;
    if (starter && !blocked) {
      MovingCharacter& first = characters[*starter];
      if (const char32_t composed = compose_pair(first.value, character.value); composed != 0) {
        first.value = composed;
        first.change += character.change - 1;
        continue;
      }
    }
    if (character.combining == 0) starter = kept;
    last_combining = character.combining;
    characters[kept++] = character;
  }
  characters.resize(kept);
}

/// Returns the characters as text; with `origins` also the origin of each byte.
inline Normalized write(std::string_view original, const std::vector<MovingCharacter>& characters, bool origins) {
  Normalized out;
  out.text.reserve(original.size());
  std::size_t at = 0;
  ByteRange taken{0, 0};  // the original character taken last
  const auto take = [&] {
    if (at >= original.size()) return;
    taken = {at, at + decode_utf8(original, at).length};
    at = taken.end;
  };
  for (const MovingCharacter& character : characters) {
    append_utf8(out.text, character.value);
    if (!origins) continue;
    if (character.change <= 0) take();
    out.origin.resize(out.text.size(), taken);
    for (int more = character.change; more < 0; ++more) take();
  }
  return out;
}

}  // namespace detail

/// Returns a normalization form of `text`, which must be UTF-8, or nullopt if that is `text` itself. `origin` is filled
/// if `origins` is set. Throws `ArgumentError`.
inline std::optional<Normalized> normal_form(std::string_view text, NormalForm form, bool origins = false) {
  // A text of characters below U+0300, whose UTF-8 begins with CC, does not change in form C; no character below U+00C0
  // (C3) decomposes canonically, none below U+00A0 (C2) at all.
  const unsigned char least = form == NormalForm::nfc ? 0xCC : form == NormalForm::nfd ? 0xC3 : 0xC2;
  if (std::none_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) >= least; }))
    return std::nullopt;
  const bool compatibility = form == NormalForm::nfkc || form == NormalForm::nfkd;
  std::vector<detail::MovingCharacter> characters = detail::decompose(text, compatibility);
  if (form == NormalForm::nfc || form == NormalForm::nfkc) detail::compose(characters);
  Normalized out = detail::write(text, characters, origins);
  if (out.text == text) return std::nullopt;
  return out;
}

/// Returns normalization form C: see `normal_form`.
inline std::optional<Normalized> nfc(std::string_view text, bool origins = false) {
  return normal_form(text, NormalForm::nfc, origins);
}

}  // namespace veneer
