// SPDX-License-Identifier: Apache-2.0
/// \file letters.hpp
/// Upper, lower and title case and the classes of characters, with Unicode's full case mappings, as in Python's str.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utf8proc.h>

#include "veneer/text/jinja/special_cases.hpp"
#include "veneer/text/jinja/text.hpp"

namespace veneer::jinja {

inline bool is_cased(char32_t point) {
  const utf8proc_int32_t c = static_cast<utf8proc_int32_t>(point);
  const utf8proc_category_t category = category_of(point);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT ||
         utf8proc_islower(c) != 0 || utf8proc_isupper(c) != 0;
}
inline bool is_upper_letter(char32_t point) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(point)) != 0; }
inline bool is_lower_letter(char32_t point) { return utf8proc_islower(static_cast<utf8proc_int32_t>(point)) != 0; }
inline bool is_alphabetic(char32_t point) {
  switch (category_of(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return true;
    default: return false;
  }
}
inline bool is_decimal(char32_t point) { return category_of(point) == UTF8PROC_CATEGORY_ND; }
/// Returns whether a character is a digit that is not decimal, such as superscripts, subscripts and circled digits.
inline bool is_other_digit(char32_t p) {
  return p == 0xB2 || p == 0xB3 || p == 0xB9 || (p >= 0x1369 && p <= 0x1371) || p == 0x19DA || p == 0x2070 ||
         (p >= 0x2074 && p <= 0x2079) || (p >= 0x2080 && p <= 0x2089) || (p >= 0x2460 && p <= 0x2468) ||
         (p >= 0x2474 && p <= 0x247C) || (p >= 0x2488 && p <= 0x2490) || p == 0x24EA || (p >= 0x24F5 && p <= 0x24FD) ||
         p == 0x24FF || (p >= 0x2776 && p <= 0x277E) || (p >= 0x2780 && p <= 0x2788) || (p >= 0x278A && p <= 0x2792) ||
         (p >= 0x10A40 && p <= 0x10A43) || (p >= 0x10E60 && p <= 0x10E68) || (p >= 0x11052 && p <= 0x1105A) ||
         (p >= 0x1F100 && p <= 0x1F10A);
}
inline bool is_numeric(char32_t point) {
  const utf8proc_category_t category = category_of(point);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

inline const SpecialCase* special_case(char32_t point) {
  for (const SpecialCase& entry : special_cases) {
    if (entry.point == point) return &entry;
  }
  return nullptr;
}

inline void append_all(std::string& out, const char32_t (&points)[3]) {
  for (const char32_t point : points) {
    if (point != 0) append_utf8(out, point);
  }
}

inline void append_upper(std::string& out, char32_t point) {
  if (const SpecialCase* special = special_case(point)) {
    append_all(out, special->upper);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(point))));
  }
}

inline void append_title(std::string& out, char32_t point) {
  if (const SpecialCase* special = special_case(point)) {
    append_all(out, special->title);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(point))));
  }
}

/// Returns whether a character does not end a word in the choice of the form of sigma.
inline bool is_case_ignorable(char32_t point) {
  switch (category_of(point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default:
      return point == U'\'' || point == U'.' || point == U':' || point == 0xB7 || point == 0x387 || point == 0x2018 ||
             point == 0x2019 || point == 0x2024 || point == 0x2027;
  }
}

/// Returns whether the sigma at byte `at` ends a word: a cased letter before it, none after it.
inline bool is_final_sigma(std::string_view text, std::size_t at) {
  std::size_t before = at;
  bool cased = false;
  while (before > 0) {
    const CodePoint point = code_point_before(text, before);
    before -= point.length;
    if (is_case_ignorable(point.value)) continue;
    cased = is_cased(point.value);
    break;
  }
  if (!cased) return false;
  for (std::size_t after = at + 2; after < text.size();) {
    const CodePoint point = point_at(text, after);
    after += point.length;
    if (!is_case_ignorable(point.value)) return !is_cased(point.value);
  }
  return true;
}

inline void append_lower(std::string& out, char32_t point, std::string_view text, std::size_t at) {
  if (point == 0x130) {
    out += "i\xCC\x87";
  } else if (point == 0x3A3) {
    out += is_final_sigma(text, at) ? "ς" : "σ";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
  }
}

inline Text upper(const Text& text) {
  return changed_characters(text, [](std::string& out, char32_t point, std::size_t) { append_upper(out, point); });
}

inline Text lower(const Text& text) {
  return changed_characters(
      text, [&](std::string& out, char32_t point, std::size_t at) { append_lower(out, point, text.bytes, at); });
}

inline Text capitalize(const Text& text) {
  return changed_characters(text, [&](std::string& out, char32_t point, std::size_t at) {
    at == 0 ? append_title(out, point) : append_lower(out, point, text.bytes, at);
  });
}

/// Returns `str.title`: the first letter after a character without case is a capital.
inline Text title(const Text& text) {
  bool inside = false;
  return changed_characters(text, [&](std::string& out, char32_t point, std::size_t at) {
    inside ? append_lower(out, point, text.bytes, at) : append_title(out, point);
    inside = is_cased(point);
  });
}

inline Text swapcase(const Text& text) {
  return changed_characters(text, [&](std::string& out, char32_t point, std::size_t at) {
    if (is_upper_letter(point)) return append_lower(out, point, text.bytes, at);
    if (is_lower_letter(point)) return append_upper(out, point);
    append_utf8(out, point);
  });
}

/// Returns whether a text is not empty and all its characters have a property.
template <class Has>
bool all_characters(std::string_view text, const Has& has) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = point_at(text, at);
    if (!has(point.value)) return false;
    at += point.length;
  }
  return !text.empty();
}

/// Returns `str.isupper` or `str.islower`: the text has a letter of this case, and none of the other.
inline bool is_all_case(std::string_view text, bool want_upper) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = point_at(text, at);
    const bool is_upper = is_upper_letter(point.value), is_lower = is_lower_letter(point.value);
    if ((want_upper ? is_lower : is_upper) || category_of(point.value) == UTF8PROC_CATEGORY_LT) return false;
    found = found || (want_upper ? is_upper : is_lower);
    at += point.length;
  }
  return found;
}

}  // namespace veneer::jinja
