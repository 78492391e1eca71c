// SPDX-License-Identifier: Apache-2.0
/// \file regex_cursor.hpp
/// RegexCursor: a position in the text of a regular expression, with lookahead, escaped characters, and errors
/// with the offset.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// An invalid expression; `offset` is the byte of the error in the pattern.
struct RegexError : FormatError {
  RegexError(std::size_t at, const std::string& message)
      : FormatError("at byte " + std::to_string(at) + " of the pattern: " + message), offset(at) {}
  std::size_t offset;
};

namespace detail {

class RegexCursor {
 public:
  explicit RegexCursor(std::string_view pattern) : pattern_(pattern) {}

 protected:
  [[noreturn]] void fail(const std::string& message) const {
    throw RegexError(std::min(at_, pattern_.size()), message);
  }

  bool done() const { return at_ >= pattern_.size(); }
  bool sees(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool takes(std::string_view text) {
    if (!sees(text)) return false;
    at_ += text.size();
    return true;
  }

  char32_t next_character() {
    if (done()) fail("ends too early");
    const CodePoint point = decode_utf8(pattern_, at_);
    if (point.length == 0) fail("is not UTF-8");
    at_ += point.length;
    return point.value;
  }

  char32_t octal(std::size_t most) {
    char32_t value = 0;
    for (std::size_t i = 0; i < most && !done() && pattern_[at_] >= '0' && pattern_[at_] <= '7'; ++i)
      value = value * 8 + static_cast<char32_t>(pattern_[at_++] - '0');
    return value;
  }

  char32_t hexadecimal(std::size_t most) {
    char32_t value = 0;
    std::size_t count = 0;
    for (; count < most && !done(); ++count, ++at_) {
      const int digit = digit_value(pattern_[at_]);
      if (digit < 0 || digit >= 16) break;
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (count == 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("no code point");
    return value;
  }

  /// Returns the character of \n, \x41, \u0041, \101, \cA, or of "\" and itself.
  char32_t escaped_character() {
    if (takes("x{")) {
      const char32_t value = hexadecimal(8);
      if (!takes("}")) fail("expected }");
      return value;
    }
    if (takes("x")) {
      const char32_t value = hexadecimal(2);
      if (value >= 0x80) fail("a byte that is not a character; write \\x{..}");
      return value;
    }
    if (takes("u")) return hexadecimal(4);
    if (takes("o{")) {
      const char32_t value = octal(7);
      if (!takes("}") || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("no code point");
      return value;
    }
    if (sees("0")) return octal(3);
    if (takes("c")) return next_character() & 0x1Fu;
    if (sees("C-") || sees("M-")) fail("this escape is not supported");
    const char32_t value = next_character();
    switch (value) {
      case U't': return U'\t';
      case U'n': return U'\n';
      case U'r': return U'\r';
      case U'f': return U'\f';
      case U'v': return U'\v';
      case U'a': return U'\a';
      case U'e': return 0x1B;
      default: return value;
    }
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
};

}  // namespace detail
}  // namespace veneer
