// SPDX-License-Identifier: Apache-2.0
/// \file unicode.hpp
/// What the tokenizer needs to know about characters: white space, word characters, and bytes that are not quite UTF-8.
///
/// White space is the Unicode property White_Space (25 characters; U+180E is not one of them). A word character is what
/// `\w` means in Unicode Technical Standard 18, annex C: letters, marks, decimal and letter numbers, connectors,
/// joiners. Ill-formed bytes become one U+FFFD for each maximal part (Unicode 15.0, section 3.9, "substitution of
/// maximal subparts").
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utf8proc.h>

#include "veneer/io/utf8.hpp"

namespace veneer {

/// First and last code point of a run.
struct CodePointRange {
  char32_t first;
  char32_t last;
};

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

// Letters and numbers that Unicode 15, 16 and 17 added: PCRE2 10.42 knows Unicode 14, vocabularies are made with newer
// tables.
inline constexpr auto newer_letters = std::to_array<CodePointRange>(
    {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
     {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x1123F, 0x11240}, {0x11380, 0x11389}, {0x1138B, 0x1138B},
     {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3},
     {0x11BC0, 0x11BE0}, {0x11F02, 0x11F02}, {0x11F04, 0x11F10}, {0x11F12, 0x11F33}, {0x1342F, 0x1342F},
     {0x13441, 0x13446}, {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF},
     {0x1B132, 0x1B132}, {0x1B155, 0x1B155}, {0x1DF25, 0x1DF2A}, {0x1E030, 0x1E06D}, {0x1E4D0, 0x1E4EB},
     {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2B739, 0x2B739}, {0x2EBF0, 0x2EE5D}, {0x31350, 0x323AF}});
inline constexpr auto newer_numbers = std::to_array<CodePointRange>({{0x10D40, 0x10D49},
                                                                     {0x116D0, 0x116E3},
                                                                     {0x11BF0, 0x11BF9},
                                                                     {0x11F50, 0x11F59},
                                                                     {0x16130, 0x16139},
                                                                     {0x16D70, 0x16D79},
                                                                     {0x1CCF0, 0x1CCF9},
                                                                     {0x1D2C0, 0x1D2D3},
                                                                     {0x1E4F0, 0x1E4F9},
                                                                     {0x1E5F1, 0x1E5FA}});

// The same letters by kind, and marks, for patterns that tell them apart (no titlecase letter was added).
inline constexpr auto newer_uppercase = std::to_array<CodePointRange>(
    {{0x1C89, 0x1C89}, {0xA7CB, 0xA7CC}, {0xA7DA, 0xA7DA}, {0xA7DC, 0xA7DC}, {0x10D50, 0x10D65}});
inline constexpr auto newer_lowercase = std::to_array<CodePointRange>(
    {{0x1C8A, 0x1C8A}, {0xA7CD, 0xA7CD}, {0xA7DB, 0xA7DB}, {0x10D70, 0x10D85}, {0x1DF25, 0x1DF2A}});
inline constexpr auto newer_modifiers = std::to_array<CodePointRange>({{0x10D4E, 0x10D4E},
                                                                       {0x10D6F, 0x10D6F},
                                                                       {0x16D40, 0x16D42},
                                                                       {0x16D6B, 0x16D6C},
                                                                       {0x1E030, 0x1E06D},
                                                                       {0x1E4EB, 0x1E4EB}});
inline constexpr auto newer_other_letters = std::to_array<CodePointRange>(
    {{0x105C0, 0x105F3}, {0x10D4A, 0x10D4D}, {0x10D4F, 0x10D4F}, {0x10EC2, 0x10EC4}, {0x1123F, 0x11240},
     {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
     {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x11F02, 0x11F02}, {0x11F04, 0x11F10},
     {0x11F12, 0x11F33}, {0x1342F, 0x1342F}, {0x13441, 0x13446}, {0x13460, 0x143FA}, {0x16100, 0x1611D},
     {0x16D43, 0x16D6A}, {0x18CFF, 0x18CFF}, {0x1B132, 0x1B132}, {0x1B155, 0x1B155}, {0x1E4D0, 0x1E4EA},
     {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0}, {0x2B739, 0x2B739}, {0x2EBF0, 0x2EE5D}, {0x31350, 0x323AF}});
inline constexpr auto newer_all_marks = std::to_array<CodePointRange>(
    {{0x897, 0x897},     {0xCF3, 0xCF3},     {0xECE, 0xECE},     {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFF},
     {0x11241, 0x11241}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5}, {0x113C7, 0x113CA},
     {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2}, {0x11F00, 0x11F01}, {0x11F03, 0x11F03},
     {0x11F34, 0x11F3A}, {0x11F3E, 0x11F42}, {0x11F5A, 0x11F5A}, {0x13440, 0x13440}, {0x13447, 0x13455},
     {0x1611E, 0x1612F}, {0x1E08F, 0x1E08F}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF}});

// Marks of the same age: word characters, but no letters.
inline constexpr auto newer_word_marks = std::to_array<CodePointRange>({{0x897, 0x897},
                                                                        {0x10D69, 0x10D6D},
                                                                        {0x10EFC, 0x10EFC},
                                                                        {0x113B8, 0x113C0},
                                                                        {0x113C2, 0x113C2},
                                                                        {0x113C5, 0x113C5},
                                                                        {0x113C7, 0x113CA},
                                                                        {0x113CC, 0x113D0},
                                                                        {0x113D2, 0x113D2},
                                                                        {0x113E1, 0x113E2},
                                                                        {0x11F5A, 0x11F5A},
                                                                        {0x1611E, 0x1612F},
                                                                        {0x1E5EE, 0x1E5EF}});

// Symbols with the property Other_Alphabetic: circled and squared Latin letters.
inline constexpr auto alphabetic_symbols =
    std::to_array<CodePointRange>({{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}});

}  // namespace detail

inline bool is_white_space(char32_t value) { return detail::in_ranges(detail::white_space, value); }

inline bool is_word_character(char32_t value) {
  if (value < 0x80) {
    return value == U'_' || (value >= U'0' && value <= U'9') || ((value | 0x20u) >= U'a' && (value | 0x20u) <= U'z');
  }
  if (value == 0x200C || value == 0x200D || detail::in_ranges(detail::alphabetic_symbols, value)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(value))) {
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
    case UTF8PROC_CATEGORY_CN:  // not in utf8proc's tables
      return detail::in_ranges(detail::newer_letters, value) || detail::in_ranges(detail::newer_numbers, value) ||
             detail::in_ranges(detail::newer_word_marks, value);
    default: return false;
  }
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

/// Whether the character that begins at byte `at` goes on there: true inside a multi-byte character.
inline bool is_continuation(std::string_view text, std::size_t at) {
  return (static_cast<unsigned char>(text[at]) & 0xC0u) == 0x80u;
}

/// The code point that ends at byte `end` of well-formed text; `end` is above 0.
inline CodePoint code_point_before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(text, at)) --at;
  return decode_utf8(text, at);
}

namespace detail {

/// Bytes of the ill-formed part at `at`: the longest beginning of some well-formed sequence, at least 1. `unfinished`
/// tells that the text ended inside it, so that more bytes could make it well-formed.
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

/// Appends `bytes` as text to `out`, U+FFFD for each ill-formed part. Returns how many bytes were taken: with
/// `keep_unfinished` a sequence that the end cuts short is left for later, else all are.
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
