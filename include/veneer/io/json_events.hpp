// SPDX-License-Identifier: Apache-2.0
/// \file json_events.hpp
/// Strict JSON (RFC 8259) as a stream of events, by the SAX parser of nlohmann-json: memory does not grow
/// with the input.
///
/// Errors, each with a `JsonRule` and with line, column and byte: bytes that are not UTF-8, a byte order mark, NUL or
/// any other text after the value, nesting beyond `JsonLimits::depth`, integers outside 64 bits (never converted to
/// floats), numbers outside the range of double, unpaired surrogates. Duplicate keys are detected by the sink, which
/// has the names.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "veneer/core/error.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// The limits of a reader: bytes of text, and levels of open objects and arrays.
struct JsonLimits {
  std::size_t bytes = std::size_t{4} << 20;
  int depth = 64;
};

/// The rule that a text violates.
enum class JsonRule { size, encoding, syntax, depth, number, duplicate };

/// Invalid JSON: the violated rule, and the byte at which it was detected.
struct JsonError : FormatError {
  JsonError(JsonRule broken, std::size_t byte, const std::string& message)
      : FormatError(message), rule(broken), offset(byte) {}
  JsonRule rule;
  std::size_t offset;
};

namespace detail {

/// A text, the position of the parser, and errors with positions in the text.
struct JsonSource {
  std::string_view text;
  const std::string& where;
  std::size_t read = 0;     // bytes consumed
  std::size_t skipped = 0;  // of these, blanks that were not passed to the parser

  [[noreturn]] void fail(JsonRule rule, std::size_t offset, const std::string& message) const {
    offset = std::min(offset, text.size());
    const std::string_view before = text.substr(0, offset);
    const auto lines = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
    const std::size_t line_start = lines == 0 ? 0 : before.rfind('\n') + 1;
    throw JsonError(rule, offset,
                    where + ": line " + std::to_string(lines + 1) + ", column " +
                        std::to_string(offset - line_start + 1) + " (byte " + std::to_string(offset) + "): " + message);
  }
};

/// An iterator that passes bytes to the parser and counts them in the source, so that a sink's error has a position. Of
/// a run of blanks outside a text only the first 64 are passed, because the parser stores them for its messages, with
/// eight bytes each.
class JsonCursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  JsonCursor(JsonSource& source, const char* at) : source_(&source), at_(at) {}
  reference operator*() const { return *at_; }
  JsonCursor& operator++() {
    look(*at_);
    step();
    for (; blanks_ >= 64 && source_->text.size() > source_->read && is_blank(*at_); step()) ++source_->skipped;
    return *this;
  }
  JsonCursor operator++(int) {
    const JsonCursor before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const JsonCursor& a, const JsonCursor& b) { return a.at_ == b.at_; }
  friend bool operator!=(const JsonCursor& a, const JsonCursor& b) { return a.at_ != b.at_; }

 private:
  static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

  void step() {
    ++at_;
    ++source_->read;
  }

  /// Updates the state of texts and blanks for the byte `c`.
  void look(char c) {
    if (in_text_) {
      in_text_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else {
      in_text_ = c == '"';
      blanks_ = is_blank(c) ? blanks_ + 1 : 0;
    }
  }

  JsonSource* source_;
  const char* at_;
  int blanks_ = 0;  // in a row
  bool in_text_ = false;
  bool escaped_ = false;
};

/// The callbacks of the parser: they check depth and numbers and forward the events. Failures are exceptions.
template <class Sink>
class StrictSax {
 public:
  StrictSax(JsonSource& source, int depth_limit, Sink& sink)
      : source_(source), depth_limit_(depth_limit), sink_(sink) {}

  bool null() { return sink_.null(), true; }
  bool boolean(bool value) { return sink_.boolean(value), true; }
  bool number_integer(std::int64_t value) { return sink_.integer(value), true; }
  bool number_unsigned(std::uint64_t value) { return sink_.unsigned_integer(value), true; }
  bool number_float(double value, const std::string& token) {
    if (is_integer(token)) refuse_integer(token);  // the parser converts an integer that does not fit to a double
    return sink_.number(value), true;
  }
  bool string(std::string& value) { return sink_.text(std::move(value)), true; }
  bool key(std::string& value) { return sink_.key(std::move(value)), true; }
  bool binary(nlohmann::json::binary_t&) { return false; }  // not in text
  bool start_object(std::size_t) { return open(), sink_.begin_object(), true; }
  bool start_array(std::size_t) { return open(), sink_.begin_array(), true; }
  bool end_object() { return --depth_, sink_.end_object(), true; }
  bool end_array() { return --depth_, sink_.end_array(), true; }

  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error) {
    const std::string_view what = error.what();
    if (what.find("number overflow") != std::string_view::npos) {
      if (is_integer(token)) refuse_integer(token);
      source_.fail(JsonRule::number, token_start(token.size()), "a number is too large for a double");
    }
    const std::size_t reason = what.find(" - ");
    std::string_view text = reason == std::string_view::npos ? what : what.substr(reason + 3);
    if (text.substr(0, 16) == "invalid string: ") text.remove_prefix(16);
    position += source_.skipped;
    source_.fail(JsonRule::syntax, position > 0 ? position - 1 : 0, "not valid JSON: " + printable(text, 160));
  }

 private:
  static bool is_integer(const std::string& token) {
    return token.find_first_not_of("-0123456789") == std::string::npos;
  }

  [[noreturn]] void refuse_integer(const std::string& token) const {
    source_.fail(JsonRule::number, token_start(token.size()),
                 "the integer " + printable(token, 40) + " does not fit 64 bits");
  }

  void open() {
    if (++depth_ > depth_limit_) {
      source_.fail(JsonRule::depth, source_.read - 1, "nested deeper than " + std::to_string(depth_limit_) + " levels");
    }
  }

  /// Returns the start of a number of `length` digits; the parser has read up to one byte after it.
  std::size_t token_start(std::size_t length) const {
    const std::size_t last = source_.text.find_last_of("0123456789", source_.read > 0 ? source_.read - 1 : 0);
    return last == std::string_view::npos || last + 1 < length ? 0 : last + 1 - length;
  }

  JsonSource& source_;
  int depth_limit_;
  Sink& sink_;
  int depth_ = 0;
};

}  // namespace detail

/// Reads one JSON value from `source` and calls `sink`: `null() boolean(bool) integer(int64) unsigned_integer(uint64)
/// number(double) text(string&&) key(string&&) begin_object() end_object() begin_array() end_array()`. Non-negative
/// integers are unsigned, and a sink may throw. Throws `JsonError`.
template <class Sink>
void read_json_events(detail::JsonSource& source, JsonLimits limits, Sink& sink) {
  const std::string_view text = source.text;
  if (text.size() > limits.bytes) {
    throw JsonError(JsonRule::size, limits.bytes,
                    source.where + ": " + std::to_string(text.size()) + " bytes of JSON, the limit is " +
                        std::to_string(limits.bytes));
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    source.fail(JsonRule::encoding, 0, "begins with a byte order mark: save the file as UTF-8 without one");
  }
  if (const std::optional<std::size_t> bad = find_invalid_utf8(text)) {
    source.fail(JsonRule::encoding, *bad, "the bytes are not UTF-8");
  }
  if (const std::size_t nul = text.find('\0');
      nul != std::string_view::npos) {  // the parser would stop there without an error
    source.fail(JsonRule::syntax, nul, "not valid JSON: a NUL byte");
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    source.fail(JsonRule::syntax, text.size(), "empty: expected a JSON value");
  }
  detail::StrictSax<Sink> sax(source, limits.depth, sink);
  nlohmann::json::sax_parse(detail::JsonCursor(source, text.data()),
                            detail::JsonCursor(source, text.data() + text.size()), &sax);
}

}  // namespace veneer
