// SPDX-License-Identifier: Apache-2.0
/// \file number.hpp
/// Parsing and printing of numbers as in Python: literals with underscores and prefixes, `int(text, base)`,
/// `float(text)` and `repr`.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "veneer/io/json_dump.hpp"
#include "veneer/text/jinja/text.hpp"

namespace veneer::jinja {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

inline std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

struct NumberText {
  std::size_t length = 0;  // 0: not a number
  bool is_real = false;
};

/// Returns the end of `(\d+_)*\d+` at `at`, or `at`.
inline std::size_t digits_end(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && (is_digit(text[end]) || (text[end] == '_' && end > at && text[end - 1] != '_' &&
                                                       end + 1 < text.size() && is_digit(text[end + 1])))) {
    ++end;
  }
  return end;
}

/// Returns the number literal at the beginning of `text`.
inline NumberText scan_number(std::string_view text, bool real_allowed) {
  const std::size_t whole = digits_end(text, 0);
  if (whole == 0) return {};
  if (real_allowed) {
    std::size_t end = whole;
    bool real = false;
    if (end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
      end = digits_end(text, end + 1);
      real = true;
    }
    if (end < text.size() && (text[end] | 0x20) == 'e') {
      std::size_t exponent = end + 1;
      if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
      const std::size_t last = digits_end(text, exponent);
      if (last > exponent) {
        end = last;
        real = true;
      }
    }
    if (real) return {end, true};
  }
  const auto run = [&](std::size_t at, auto&& accept) {
    while (at < text.size()) {
      const std::size_t digit = text[at] == '_' ? at + 1 : at;
      if (digit >= text.size() || !accept(text[digit])) break;
      at = digit + 1;
    }
    return at;
  };
  if (text[0] != '0') return {run(1, is_digit), false};
  const char prefix = text.size() > 1 ? static_cast<char>(text[1] | 0x20) : '\0';
  const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
  if (base > 0) {
    const std::size_t end = run(2, [&](char c) { return digit_value(c) >= 0 && digit_value(c) < base; });
    if (end > 2) return {end, false};
  }
  return {run(1, [](char c) { return c == '0'; }), false};
}

/// Returns `int(text, base)` for a text without white space and underscores: a sign, a prefix if the base allows it,
/// digits. Returns nullopt if it is not an integer or, with `overflow` set, if it does not fit into 64 bits.
inline std::optional<std::int64_t> parse_integer(std::string_view text, int base, bool* overflow = nullptr) {
  std::size_t at = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++at;
  bool prefixed = false;
  if (text.size() > at + 1 && text[at] == '0') {
    const char prefix = static_cast<char>(text[at + 1] | 0x20);
    const int named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (named > 0 && (base == 0 || base == named)) {
      base = named;
      at += 2;
      prefixed = true;
      if (at < text.size() && text[at] == '_') ++at;
    }
  }
  const bool only_zeros = base == 0 && at < text.size() && text[at] == '0';
  if (base == 0) base = 10;
  if (at >= text.size()) return std::nullopt;
  std::uint64_t value = 0;
  bool too_large = false;
  for (std::size_t first = at; at < text.size(); ++at) {
    if (text[at] == '_' && at > first && at + 1 < text.size() && text[at - 1] != '_') continue;
    const int digit = digit_value(text[at]);
    if (digit < 0 || digit >= base || (only_zeros && digit != 0 && !prefixed)) return std::nullopt;
    const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / static_cast<unsigned>(base);
    if (value > limit) too_large = true;
    value = value * static_cast<unsigned>(base) + static_cast<unsigned>(digit);
    if (value > (std::uint64_t{1} << 63)) too_large = true;
  }
  if (too_large || (!negative && value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))) {
    if (overflow != nullptr) *overflow = true;
    return std::nullopt;
  }
  return static_cast<std::int64_t>(negative ? std::uint64_t{0} - value : value);
}

/// Returns a text without white space at its ends, and without underscores between digits; nullopt if an
/// underscore is elsewhere.
inline std::optional<std::string> number_characters(std::string_view text) {
  const ByteRange range = stripped(text, true, true, is_space);
  std::string out;
  for (std::size_t at = range.begin; at < range.end; ++at) {
    if (text[at] == '_') {
      const bool inner = at > range.begin && at + 1 < range.end &&
                         std::isalnum(static_cast<unsigned char>(text[at - 1])) &&
                         std::isalnum(static_cast<unsigned char>(text[at + 1]));
      if (!inner) return std::nullopt;
      continue;
    }
    out += text[at];
  }
  return out;
}

/// Returns Python's `float(text)` for a text without white space and underscores.
inline std::optional<double> parse_real(std::string_view text) {
  std::string lower;
  for (const char c : text) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  std::string_view rest = lower;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  const double sign = negative ? -1.0 : 1.0;
  if (rest == "inf" || rest == "infinity") return sign * std::numeric_limits<double>::infinity();
  if (rest == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (rest.empty() || !(is_digit(rest[0]) || (rest[0] == '.' && rest.size() > 1 && is_digit(rest[1])))) {
    return std::nullopt;
  }
  double value = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (read.ptr != rest.data() + rest.size()) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) value = std::strtod(std::string(rest).c_str(), nullptr);
  return sign * value;
}

/// Returns the `repr` of a float.
inline std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return python_float(value);
}

}  // namespace veneer::jinja
