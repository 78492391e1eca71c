// SPDX-License-Identifier: Apache-2.0
/// \file lexer.hpp
/// Tokens of a template: text, `{{ expression }}`, `{% statement %}`; comments and raw blocks are resolved here.
///
/// White space follows jinja2 with trim_blocks and lstrip_blocks: a newline after `%}` and `#}` is dropped, and so are
/// blanks between the beginning of a line and `{%` or `{#`; `-` strips all white space on its side, `+` keeps it. Line
/// endings become `\n`, and one at the end of the template is dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/number.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/text.hpp"

namespace veneer::jinja {

enum class TokenKind {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  text,
  integer,
  real,
  symbol,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string value;  // of data, names, texts (unescaped) and symbols
  std::size_t line = 1;
  std::int64_t integer = 0;
  double real = 0;

  bool symbol(std::string_view wanted) const { return kind == TokenKind::symbol && value == wanted; }
  bool name(std::string_view wanted) const { return kind == TokenKind::name && value == wanted; }
};

/// Returns the name of a token in messages.
inline std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data: return "text";
    case TokenKind::variable_begin: return "'{{'";
    case TokenKind::variable_end: return "'}}'";
    case TokenKind::block_begin: return "'{%'";
    case TokenKind::block_end: return "'%}'";
    case TokenKind::text: return "the text '" + printable(token.value, 40) + "'";
    case TokenKind::integer: return "the number " + std::to_string(token.integer);
    case TokenKind::real: return "a number";
    case TokenKind::end: return "the end of the template";
    default: return "'" + printable(token.value, 40) + "'";
  }
}

inline std::string normalize_newlines(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\r') {
      out += '\n';
      if (at + 1 < text.size() && text[at + 1] == '\n') ++at;
    } else {
      out += text[at];
    }
  }
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where) : source_(normalize_newlines(source)), where_(where) {
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
    if (const auto bad = find_invalid_utf8(source_)) {
      throw JinjaError(where_ + ": the template is not UTF-8 at byte " + std::to_string(*bad));
    }
  }

  std::vector<Token> tokens() {
    while (at_ < source_.size()) root();
    push(TokenKind::end);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw JinjaError(where_ + ", line " + std::to_string(line_) + ": " + message, line_);
  }

  Token& push(TokenKind kind, std::string value = {}) {
    Token token;
    token.kind = kind;
    token.value = std::move(value);
    token.line = line_;
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  bool at(std::string_view wanted, std::size_t from) const { return source_.compare(from, wanted.size(), wanted) == 0; }
  char byte(std::size_t index) const { return index < source_.size() ? source_[index] : '\0'; }

  /// Moves to `end`, counting lines.
  void advance(std::size_t end) {
    line_starting_ = end > at_ && source_[end - 1] == '\n';
    for (; at_ < end; ++at_) line_ += source_[at_] == '\n' ? 1u : 0u;
  }

  std::size_t skip_space(std::size_t from) const {
    while (from < source_.size()) {
      const CodePoint point = point_at(source_, from);
      if (!is_space(point.value)) break;
      from += point.length;
    }
    return from;
  }

  /// Adds the text up to `begin`, where a tag with this sign starts, without the white space that the tag strips.
  void data(std::size_t begin, char sign, bool is_variable) {
    const std::string_view text(source_.data() + at_, begin - at_);
    std::size_t size = text.size();
    if (sign == '-') {
      size = stripped(text, false, true, is_space).end;
    } else if (sign != '+' && !is_variable) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t start = newline == text.npos ? 0 : newline + 1;
      const std::string_view rest = text.substr(start);
      const bool blank = stripped(rest, true, false, is_space).begin == rest.size();
      if ((start > 0 || line_starting_) && !rest.empty() && blank) size = start;
    }
    if (size > 0) push(TokenKind::data, std::string(text.substr(0, size)));
    advance(begin);
  }

  char sign_at(std::size_t index) const { return byte(index) == '-' || byte(index) == '+' ? source_[index] : '\0'; }

  void root() {
    std::size_t begin = at_;
    while (begin < source_.size() && !at("{%", begin) && !at("{{", begin) && !at("{#", begin)) ++begin;
    if (begin == source_.size()) {
      push(TokenKind::data, source_.substr(at_));
      return advance(begin);
    }
    const char kind = source_[begin + 1];
    const char sign = sign_at(begin + 2);
    data(begin, sign, kind == '{');
    const std::size_t inside = begin + (sign ? 3 : 2);
    if (kind == '#') return comment(inside);
    if (kind == '%') {
      if (const std::size_t end = raw_end(inside); end > 0) return raw(end);
    }
    push(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    advance(inside);
    tag(kind == '{');
  }

  void comment(std::size_t inside) {
    advance(inside);
    const std::size_t end = source_.find("#}", inside);
    if (end == source_.npos) {
      if (inside < source_.size()) fail("'{#' has no '#}'");
      return;
    }
    const char sign = end > inside ? source_[end - 1] : '\0';
    advance(sign == '-' ? skip_space(end + 2) : end + 2 + (sign != '+' && byte(end + 2) == '\n' ? 1 : 0));
  }

  /// Returns the end of a `raw %}` that begins at `inside`, or 0 if there is none.
  std::size_t raw_end(std::size_t inside) const {
    std::size_t at_end = skip_space(inside);
    if (!at("raw", at_end)) return 0;
    at_end = skip_space(at_end + 3);
    if (at("-%}", at_end)) return skip_space(at_end + 3);
    return at("%}", at_end) ? at_end + 2 : 0;
  }

  void raw(std::size_t inside) {
    advance(inside);
    for (std::size_t begin = source_.find("{%", inside); begin != source_.npos; begin = source_.find("{%", begin + 1)) {
      const char sign = sign_at(begin + 2);
      std::size_t end = skip_space(begin + (sign ? 3 : 2));
      if (!at("endraw", end)) continue;
      end = skip_space(end + 6);
      const char last = sign_at(end);
      if (!at("%}", end + (last ? 1 : 0))) continue;
      end += last ? 3 : 2;
      data(begin, sign, false);
      return advance(last == '-' ? skip_space(end) : end + (last != '+' && byte(end) == '\n' ? 1 : 0));
    }
    if (inside < source_.size()) fail("'{% raw %}' has no '{% endraw %}'");
  }

  /// Adds the tokens up to the end of a tag.
  void tag(bool is_variable) {
    std::string open;  // the expected closing brackets
    while (at_ < source_.size()) {
      if (open.empty() && tag_end(is_variable)) return;
      token(open);
    }
  }

  bool tag_end(bool is_variable) {
    const std::string_view close = is_variable ? "}}" : "%}";
    const char sign = byte(at_) == '-' || (byte(at_) == '+' && !is_variable) ? source_[at_] : '\0';
    if (!at(close, at_ + (sign ? 1 : 0))) return false;
    const std::size_t end = at_ + (sign ? 3 : 2);
    push(is_variable ? TokenKind::variable_end : TokenKind::block_end);
    const bool trim = !is_variable && sign == '\0' && byte(end) == '\n';
    advance(sign == '-' ? skip_space(end) : end + (trim ? 1 : 0));
    return true;
  }

  void token(std::string& open) {
    const CodePoint point = point_at(source_, at_);
    const std::string_view rest = std::string_view(source_).substr(at_);
    if (is_space(point.value)) return advance(skip_space(at_));
    if (point.value >= U'0' && point.value <= U'9') {
      if (number(rest)) return;
    }
    if (is_word_character(point.value)) return name();
    if (point.value == U'\'' || point.value == U'"') return text(source_[at_]);
    symbol(rest, open);
  }

  bool number(std::string_view rest) {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    const NumberText found = scan_number(rest, !after_dot);
    if (found.length == 0) return false;
    const std::string digits = without_underscores(rest.substr(0, found.length));
    Token& token = push(found.is_real ? TokenKind::real : TokenKind::integer);
    if (found.is_real) {
      token.real = *parse_real(digits);
    } else if (const auto value = parse_integer(digits, 0)) {
      token.integer = *value;
    } else {
      fail("the integer " + printable(digits, 40) + " does not fit into 64 bits");
    }
    advance(at_ + found.length);
    return true;
  }

  void name() {
    std::size_t end = at_;
    while (end < source_.size()) {
      const CodePoint point = point_at(source_, end);
      if (!is_word_character(point.value)) break;
      end += point.length;
    }
    const utf8proc_category_t first = category_of(point_at(source_, at_).value);
    if (first == UTF8PROC_CATEGORY_ND || first == UTF8PROC_CATEGORY_MN || first == UTF8PROC_CATEGORY_MC) {
      fail("'" + printable(source_.substr(at_, end - at_)) + "' is not a name");
    }
    push(TokenKind::name, source_.substr(at_, end - at_));
    advance(end);
  }

  void text(char quote) {
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2u : 1u;
    if (end >= source_.size()) fail(std::string("a text that begins with ") + quote + " does not end");
    push(TokenKind::text, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  std::string unescape(std::string_view text) const {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '\\') {
        out += text[at];
        continue;
      }
      escape(text, ++at, out);
    }
    return out;
  }

  /// Appends the character of the escape whose letter is at `at`; leaves `at` on its last byte.
  void escape(std::string_view text, std::size_t& at, std::string& out) const {
    constexpr std::string_view letters = "\\'\"abfnrtv";
    constexpr std::string_view meanings = "\\'\"\a\b\f\n\r\t\v";
    const char letter = text[at];
    if (letter == '\n') return;
    if (const std::size_t found = letters.find(letter); found != letters.npos) {
      out += meanings[found];
    } else if (letter >= '0' && letter <= '7') {
      char32_t value = 0;
      std::size_t end = at;
      while (end < text.size() && end < at + 3 && text[end] >= '0' && text[end] <= '7') {
        value = value * 8 + static_cast<char32_t>(text[end++] - '0');
      }
      append_utf8(out, value);
      at = end - 1;
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      at += hexadecimal(text, at, letter == 'x' ? 2 : letter == 'u' ? 4 : 8, out);
    } else if (letter == 'N') {
      fail("the escape \\N{...} is not supported");
    } else if (static_cast<unsigned char>(letter) >= 0x80) {  // Python escapes the character, then reads the backslash
      const CodePoint point = point_at(text, at);
      constexpr const char* digits = "0123456789abcdef";
      const int width = point.value < 0x100 ? 2 : point.value < 0x10000 ? 4 : 8;
      out += width == 2 ? "\\x" : width == 4 ? "\\u" : "\\U";
      for (int shift = 4 * (width - 1); shift >= 0; shift -= 4) out += digits[(point.value >> shift) & 15u];
      at += point.length - 1;
    } else {
      out += {'\\', letter};
    }
  }

  std::size_t hexadecimal(std::string_view text, std::size_t at, std::size_t width, std::string& out) const {
    const std::optional<char32_t> found = hex_value(text, at + 1, width);
    if (!found) fail(std::string("a truncated escape \\") + text[at] + " in a text");
    const char32_t value = *found;
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      fail(std::string("the escape \\") + text[at] + " in a text names no character");
    }
    append_utf8(out, value);
    return width;
  }

  void symbol(std::string_view rest, std::string& open) {
    constexpr std::string_view pairs[] = {"**", "//", "==", "!=", ">=", "<="};
    constexpr std::string_view singles = "+-*/%~[](){}><=.:|,;";
    std::size_t size = singles.find(rest[0]) != singles.npos ? 1 : 0;
    for (const std::string_view pair : pairs) size = rest.substr(0, 2) == pair ? 2 : size;
    if (size == 0) fail("unexpected character '" + std::string(rest.substr(0, point_at(rest, 0).length)) + "'");
    const char first = rest[0];
    if (size == 1 && (first == '(' || first == '[' || first == '{')) {
      open += first == '(' ? ')' : first == '[' ? ']' : '}';
    } else if (size == 1 && (first == ')' || first == ']' || first == '}')) {
      if (open.empty()) fail(std::string("unexpected '") + first + "'");
      if (open.back() != first) fail(std::string("unexpected '") + first + "', expected '" + open.back() + "'");
      open.pop_back();
    }
    push(TokenKind::symbol, std::string(rest.substr(0, size)));
    advance(at_ + size);
  }

  std::string source_;
  const std::string& where_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0, line_ = 1;
  bool line_starting_ = true;
};

}  // namespace veneer::jinja
