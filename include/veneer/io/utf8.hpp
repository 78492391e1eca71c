// SPDX-License-Identifier: Apache-2.0
/// \file utf8.hpp
/// Decoding and validation of UTF-8, and digits of numbers in text. Ill-formed are overlong forms, surrogates, values
/// above U+10FFFF, and stray and missing continuation bytes (Unicode 15.0, table 3-7).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace veneer {

/// A code point and its number of bytes; `length` is 0 for ill-formed bytes.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};

/// Reads the code point that begins at byte `at` of `text`; `at` must be within the text.
inline CodePoint decode_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0x80) return {static_cast<char32_t>(lead), 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < length) return {};
  // Overlong forms, surrogates and values above U+10FFFF are detected in the second byte.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(at + 1) < low || byte(at + 1) > high) return {};
  char32_t value = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0u) != 0x80u) return {};
    value = (value << 6) | (byte(at + i) & 0x3Fu);
  }
  return {value, length};
}

/// Returns the offset of the first byte that is not well-formed UTF-8, or nullopt if there is none.
inline std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = decode_utf8(text, at);
    if (point.length == 0) return at;
    at += point.length;
  }
  return std::nullopt;
}

/// Returns the value of a digit in bases up to 36, or -1.
inline int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : -1;
}

/// Returns the value of `count` hexadecimal digits at `at`, at most 8; nullopt if the text has not as many there.
inline std::optional<char32_t> hex_value(std::string_view text, std::size_t at, std::size_t count) {
  if (at > text.size() || text.size() - at < count) return std::nullopt;
  char32_t value = 0;
  for (const char c : text.substr(at, count)) {
    const int digit = digit_value(c);
    if (digit < 0 || digit >= 16) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(digit);
  }
  return value;
}

/// Returns `text` in a form for messages: at most `limit` bytes, control and ill-formed bytes as `\xNN`, truncated
/// between code points.
inline std::string printable(std::string_view text, std::size_t limit = 80) {
  constexpr const char* digits = "0123456789abcdef";
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    if (out.size() >= limit) return out + "...";
    const CodePoint point = decode_utf8(text, at);
    if (point.length == 0 || point.value < 0x20 || point.value == 0x7F) {
      const auto byte = static_cast<unsigned char>(text[at]);
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
      at += 1;
    } else {
      out.append(text.substr(at, point.length));
      at += point.length;
    }
  }
  return out;
}

}  // namespace veneer
