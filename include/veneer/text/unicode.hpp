// SPDX-License-Identifier: Apache-2.0
/// \file unicode.hpp
/// Properties of characters for tokenizers: white space, word characters, and ill-formed UTF-8.
///
/// White space is the Unicode property White_Space (25 characters; U+180E is not one of them). Word characters are
/// those of `\w` in Unicode Technical Standard 18, annex C: letters, marks, decimal and letter numbers,
/// connectors, joiners. Ill-formed bytes become one U+FFFD for each maximal part (Unicode 15.0, section 3.9,
/// "substitution of maximal subparts").
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utf8proc.h>

#include "veneer/io/utf8.hpp"
#include "veneer/text/unicode_newer.hpp"

namespace veneer {

namespace detail {

template <std::size_t N>
constexpr bool in_ranges(const std::array<CodePointRange, N>& ranges, char32_t value) {
  for (const CodePointRange& range : ranges) {
    if (value >= range.first && value <= range.last) return true;
  }
  return false;
}

inline constexpr auto white_space = std::to_array<CodePointRange>({{0x9, 0xD},
                                                                   {0x20, 0x20},
                                                                   {0x85, 0x85},
                                                                   {0xA0, 0xA0},
                                                                   {0x1680, 0x1680},
                                                                   {0x2000, 0x200A},
                                                                   {0x2028, 0x2029},
                                                                   {0x202F, 0x202F},
                                                                   {0x205F, 0x205F},
                                                                   {0x3000, 0x3000}});

// Symbols with the property Other_Alphabetic: circled and squared Latin letters.
inline constexpr auto alphabetic_symbols =
    std::to_array<CodePointRange>({{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}});

}  // namespace detail

inline bool is_white_space(char32_t value) { return detail::in_ranges(detail::white_space, value); }

/// Returns the general category, including newer characters.
inline utf8proc_category_t category_of(char32_t value) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  return category == UTF8PROC_CATEGORY_CN ? detail::newer_category(value) : category;
}

inline bool is_word_character(char32_t value) {
  if (value < 0x80) {
    return value == U'_' || (value >= U'0' && value <= U'9') || ((value | 0x20u) >= U'a' && (value | 0x20u) <= U'z');
  }
  if (value == 0x200C || value == 0x200D || detail::in_ranges(detail::alphabetic_symbols, value)) return true;
  switch (category_of(value)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
  }
}

/// Returns whether a character has category N, by the tables of Unicode 17, which are newer than the others.
inline bool is_numeric(char32_t value) {
  if (value < 0x80) return value >= U'0' && value <= U'9';
  const utf8proc_category_t category = category_of(value);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO ||
         (value >= 0x11DE0 && value <= 0x11DE9) || (value >= 0x16FF4 && value <= 0x16FF6);
}

/// Appends the UTF-8 form of a code point, which must not be a surrogate.
inline void append_utf8(std::string& out, char32_t value) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80u | ((value >> shift) & 0x3Fu)); };
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += static_cast<char>(0xC0u | (value >> 6));
    tail(0);
  } else if (value < 0x10000) {
    out += static_cast<char>(0xE0u | (value >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xF0u | (value >> 18));
    tail(12), tail(6), tail(0);
  }
}

/// Returns whether byte `at` is a continuation byte of a multi-byte character.
inline bool is_continuation(std::string_view text, std::size_t at) {
  return (static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u;
}

/// Returns the code point that ends at byte `end` of well-formed text; `end` is above 0.
inline CodePoint code_point_before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(text, at)) --at;
  return decode_utf8(text, at);
}

namespace detail {

/// The length of an ill-formed part: the longest prefix of a well-formed sequence, at least 1. `unfinished` is set if
/// the text ended within it, so that more bytes could make it well-formed.
struct IllFormed {
  std::size_t length;
  bool unfinished;
};

inline IllFormed ill_formed_part(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const std::size_t needed = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  std::size_t length = 1;
  while (length < needed && at + length < text.size()) {
    const unsigned next = byte(at + length);
    if (length == 1 ? next < low || next > high : (next & 0xC0u) != 0x80u) return {length, false};
    ++length;
  }
  return {length, length < needed};
}

}  // namespace detail

/// Appends `bytes` as text to `out`, with U+FFFD for each ill-formed part. Returns the number of bytes consumed: all of
/// them, or with `keep_unfinished` all except an incomplete sequence at the end.
inline std::size_t append_lossy(std::string& out, std::string_view bytes, bool keep_unfinished = false) {
  std::size_t at = 0;
  std::size_t clean = 0;  // [clean, at) is well-formed and not yet copied
  while (at < bytes.size()) {
    const CodePoint point = decode_utf8(bytes, at);
    if (point.length > 0) {
      at += point.length;
      continue;
    }
    const detail::IllFormed part = detail::ill_formed_part(bytes, at);
    out.append(bytes.substr(clean, at - clean));
    clean = at;
    if (part.unfinished && keep_unfinished) return at;
    out += "\xEF\xBF\xBD";
    at += part.length;
    clean = at;
  }
  out.append(bytes.substr(clean));
  return bytes.size();
}

}  // namespace veneer
