// SPDX-License-Identifier: Apache-2.0
/// \file unicode_older.hpp
/// Combining marks and punctuation by tables older than those of utf8proc (Unicode 15).
///
/// The tokenizers library strips accents by the tables of Unicode 9 and finds punctuation by those of Unicode 8; case
/// is mapped by Unicode 17. Vocabularies were made with these, so later changes are undone here.
#pragma once

#include <array>
#include <utf8proc.h>

#include "veneer/text/unicode.hpp"

namespace veneer {

namespace detail {

// Marks of Unicode 15 that are not marks in Unicode 9.
inline constexpr auto marks_since_9 = std::to_array<CodePointRange>(
    {{0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
     {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},     {0xCF3, 0xCF3},     {0xD00, 0xD00},
     {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x1715, 0x1715},
     {0x180F, 0x180F},   {0x1ABF, 0x1ACE},   {0x1CF7, 0x1CF7},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
     {0xA8FF, 0xA8FF},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
     {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x11145, 0x11146},
     {0x111C9, 0x111C9}, {0x111CE, 0x111CF}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
     {0x1182C, 0x1183A}, {0x11930, 0x11935}, {0x11937, 0x11938}, {0x1193B, 0x1193E}, {0x11940, 0x11940},
     {0x11942, 0x11943}, {0x119D1, 0x119D7}, {0x119DA, 0x119E0}, {0x119E4, 0x119E4}, {0x11A01, 0x11A0A},
     {0x11A33, 0x11A39}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47}, {0x11A51, 0x11A5B}, {0x11A8A, 0x11A99},
     {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47},
     {0x11D8A, 0x11D8E}, {0x11D90, 0x11D91}, {0x11D93, 0x11D97}, {0x11EF3, 0x11EF6}, {0x11F00, 0x11F01},
     {0x11F03, 0x11F03}, {0x11F34, 0x11F3A}, {0x11F3E, 0x11F42}, {0x13440, 0x13440}, {0x13447, 0x13455},
     {0x16F4F, 0x16F4F}, {0x16F7F, 0x16F87}, {0x16FE4, 0x16FE4}, {0x16FF0, 0x16FF1}, {0x1CF00, 0x1CF2D},
     {0x1CF30, 0x1CF46}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
     {0x1E4EC, 0x1E4EF}});

// Punctuation of Unicode 15 that is not punctuation in Unicode 8.
inline constexpr auto punctuation_since_8 = std::to_array<CodePointRange>(
    {{0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},     {0xC84, 0xC84},
     {0x1B7D, 0x1B7E},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},   {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59},
     {0x10F86, 0x10F89}, {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C},
     {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
     {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71},
     {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A},
     {0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}});

/// Characters from `first` to `last` whose lowercase is at a distance of `distance`.
struct CaseRange {
  char32_t first;
  char32_t last;
  int distance;
};

// Uppercase letters that utf8proc does not map.
inline constexpr auto newer_case = std::to_array<CaseRange>({{0x1C89, 0x1C89, 1},
                                                             {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                                             {0xA7CC, 0xA7CC, 1},
                                                             {0xA7CE, 0xA7CE, 1},
                                                             {0xA7D2, 0xA7D2, 1},
                                                             {0xA7D4, 0xA7D4, 1},
                                                             {0xA7DA, 0xA7DA, 1},
                                                             {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                                             {0x10D50, 0x10D65, 0x20},
                                                             {0x16EA0, 0x16EB8, 0x1B}});

}  // namespace detail

/// Returns whether a character is a combining mark of Unicode 9.
inline bool is_combining_mark(char32_t value) {
  if (value < 0x300) return false;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  const bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                    category == UTF8PROC_CATEGORY_ME || value == 0x1CF2 || value == 0x1CF3;
  return mark && !detail::in_ranges(detail::marks_since_9, value);
}

/// Returns whether a character is ASCII punctuation, an ASCII symbol, or punctuation of Unicode 8.
inline bool is_punctuation(char32_t value) {
  if (value < 0x80) return value > 0x20 && value < 0x7F && !is_word_character(value) ? true : value == U'_';
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  const bool punctuation =
      (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) || value == 0x166D || value == 0x111C9;
  return punctuation && !detail::in_ranges(detail::punctuation_since_8, value);
}

/// Returns the lowercase of a character as one character; that of U+0130 is two, of which this is the first.
inline char32_t to_lower(char32_t value) {
  if (value < 0x80) return value >= U'A' && value <= U'Z' ? value + 32 : value;
  if (value == 0x130) return U'i';
  for (const detail::CaseRange& range : detail::newer_case) {
    if (value >= range.first && value <= range.last)
      return static_cast<char32_t>(static_cast<int>(value) + range.distance);
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(value)));
}

}  // namespace veneer
