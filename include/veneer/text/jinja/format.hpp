// SPDX-License-Identifier: Apache-2.0
/// \file format.hpp
/// Formatting of numbers and texts: `'%-5s|%.2f' % values`, and the format specifications of `str.format`.
///
///     [[fill]align][sign][#][0][width][,][.precision][type]        "{:>8.2f}", "{:05d}", "{:,}"
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/operations.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/text.hpp"
#include "veneer/text/jinja/value.hpp"
#include "veneer/text/jinja/write.hpp"

namespace veneer::jinja {

struct FormatSpec {
  Text fill{" ", {}, false};
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false, zero = false;
  char group = '\0';  // , or _
  std::size_t width = 0;
  std::int64_t precision = -1;
  char type = '\0';
};

/// Returns the text with fill characters up to the width, in characters.
inline Text padded(Runtime& runtime, const Text& text, const FormatSpec& spec, char align) {
  const std::size_t size = count_characters(text.bytes);
  if (size >= spec.width) return text;
  const std::size_t missing = spec.width - size;
  runtime.fits(missing * 4);
  const std::size_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  Text out;
  for (std::size_t i = 0; i < left; ++i) out.add(spec.fill);
  out.add(text);
  for (std::size_t i = left; i < missing; ++i) out.add(spec.fill);
  return out;
}

/// Returns a number with sign and prefix before its digits; zeros and '=' fill between them.
inline Text padded_number(Runtime& runtime, bool negative, const std::string& prefix, std::string digits,
                          const FormatSpec& spec) {
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += prefix;
  if (spec.group != '\0') {
    std::size_t whole = digits.find_first_not_of("0123456789");
    if (whole == std::string::npos) whole = digits.size();
    for (std::size_t at = whole; at > 3; at -= 3) digits.insert(at - 3, 1, spec.group);
  }
  const char align = spec.align != '\0' ? spec.align : spec.zero ? '=' : '>';
  if (align != '=') return padded(runtime, Text{sign + digits, {}, false}, spec, align);
  FormatSpec inner = spec;
  inner.width = spec.width > sign.size() ? spec.width - sign.size() : 0;
  if (spec.zero && spec.align == '\0') inner.fill = Text{"0", {}, false};
  Text out{sign, {}, false};
  out.add(padded(runtime, Text{digits, {}, false}, inner, '>'));
  return out;
}

/// Returns a finite number formatted by printf.
inline std::string printed(Runtime& runtime, double value, char type, std::int64_t precision, bool alternate) {
  if (precision > 1000) runtime.fail("a precision of more than 1000 digits");
  std::string pattern = alternate ? "%#.*" : "%.*";
  pattern += type;
  std::string out(1500, '\0');
  const int size = std::snprintf(out.data(), out.size(), pattern.c_str(), static_cast<int>(precision), value);
  out.resize(static_cast<std::size_t>(size));
  return out;
}

/// Returns a float without its sign in one of the types e f g % and their capitals.
inline std::string real_digits(Runtime& runtime, double value, const FormatSpec& spec) {
  const double magnitude = std::fabs(value);
  const char type = spec.type == '\0' && spec.precision >= 0 ? 'g' : spec.type;
  const bool upper = type == 'E' || type == 'F' || type == 'G';
  if (std::isnan(value)) return upper ? "NAN" : "nan";
  if (std::isinf(value)) return upper ? "INF" : "inf";
  if (type == '\0') return real_text(magnitude);
  const std::int64_t precision = spec.precision < 0 ? 6 : spec.precision;
  if (type == '%') return printed(runtime, magnitude * 100, 'f', precision, spec.alternate) + "%";
  std::string out = printed(runtime, magnitude, type, precision, spec.alternate);
  if (spec.type == '\0' && out.find_first_of(".en") == std::string::npos) {
    if (precision > static_cast<std::int64_t>(out.size())) {
      out += ".0";
    } else {  // without a type, at least one digit follows the point, or there is an exponent
      out = printed(runtime, magnitude, 'e', precision > 0 ? precision - 1 : 0, false);
      const std::size_t mark = out.find('e');
      std::string mantissa = out.substr(0, mark);
      if (mantissa.find('.') != std::string::npos) {
        while (mantissa.back() == '0') mantissa.pop_back();
        if (mantissa.back() == '.') mantissa.pop_back();
      }
      out = mantissa + out.substr(mark);
    }
  }
  return out;
}

inline std::string integer_digits(std::int64_t value, char type) {
  std::uint64_t magnitude =
      value < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  if (type == 'd' || type == '\0') return std::to_string(magnitude);
  const unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : 16;
  const char* digits = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do {
    out.insert(out.begin(), digits[magnitude % base]);
    magnitude /= base;
  } while (magnitude > 0);
  return out;
}

/// Reads a format specification.
inline FormatSpec parse_spec(Runtime& runtime, std::string_view text) {
  FormatSpec spec;
  std::size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const std::size_t first = text.empty() ? 0 : point_at(text, 0).length;
  if (first > 0 && first < text.size() && is_align(text[first])) {
    spec.fill = Text{std::string(text.substr(0, first)), {}, false};
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto take = [&](std::string_view characters) {
    if (at < text.size() && characters.find(text[at]) != characters.npos) return text[at++];
    return '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  spec.zero = take("0") != '\0';
  const auto number = [&](std::int64_t missing) {
    std::int64_t value = missing;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      value = (value < 0 ? 0 : value) * 10 + (text[at] - '0');
      if (value > 100'000'000) runtime.fail("the width of a format is too large");
    }
    return value;
  };
  spec.width = static_cast<std::size_t>(number(0));
  spec.group = take(",_");
  if (take(".")) {
    spec.precision = number(-1);
    if (spec.precision < 0) runtime.fail("a format without precision after '.'");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) runtime.fail("the format '" + printable(text) + "' is not supported");
  return spec;
}

inline Text format_text(Runtime& runtime, const Text& text, const FormatSpec& spec) {
  const bool valid = (spec.type == '\0' || spec.type == 's') && spec.align != '=' && spec.sign == '-' &&
                     !spec.alternate && spec.group == '\0';
  if (!valid) runtime.fail("a format of numbers is given for a text");
  Text out = text;
  if (spec.precision >= 0) out = text.part(0, byte_of_character(text.bytes, static_cast<std::size_t>(spec.precision)));
  FormatSpec inner = spec;
  if (spec.zero && spec.align == '\0') inner.fill = Text{"0", {}, false};
  return padded(runtime, out, inner, spec.align == '\0' ? '<' : spec.align);
}

/// Returns `format(value, spec)`.
inline Text format_value(Runtime& runtime, const Value& value, std::string_view text) {
  if (text.empty()) return to_text(runtime, value);
  const FormatSpec spec = parse_spec(runtime, text);
  if (value.is_text()) return format_text(runtime, value.text(), spec);
  constexpr std::string_view integers = "dbxXo", reals = "eEfFgG%";
  if (value.is(Kind::boolean) && spec.type == '\0') return format_text(runtime, to_text(runtime, value), spec);
  if (value.is_integer() && (spec.type == '\0' || integers.find(spec.type) != integers.npos)) {
    if (spec.precision >= 0) runtime.fail("a format of integers has no precision");
    const std::string prefix =
        spec.alternate && spec.type != '\0' && spec.type != 'd' ? std::string("0") + spec.type : "";
    return padded_number(runtime, value.integer() < 0, prefix, integer_digits(value.integer(), spec.type), spec);
  }
  if (value.is_number() && (spec.type == '\0' || reals.find(spec.type) != reals.npos)) {
    return padded_number(runtime, std::signbit(value.real()), "", real_digits(runtime, value.real(), spec), spec);
  }
  runtime.fail("the format '" + printable(text) + "' is not defined for " + type_name(value));
}

/// The `%` operator of a text.
class PercentFormat {
 public:
  PercentFormat(Runtime& runtime, const Text& pattern, const Value& values)
      : runtime_(runtime), pattern_(pattern), values_(values) {}

  Text format() {
    const std::string& bytes = pattern_.bytes;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t mark = std::min(bytes.find('%', at), bytes.size());
      out_.add(pattern_.part(at, mark));
      runtime_.fits(out_.bytes.size());
      at = mark < bytes.size() ? field(mark + 1) : mark;
    }
    const bool indexable =
        values_.is(Kind::dict) || values_.is(Kind::list) || values_.is(Kind::range) || values_.is_undefined();
    if (values_.is(Kind::tuple) ? used_ < values_.as<List>().items.size() : used_ == 0 && !indexable) {
      runtime_.fail("not all values of '%' are used");
    }
    return std::move(out_);
  }

 private:
  char byte(std::size_t at) const {
    if (at >= pattern_.bytes.size()) runtime_.fail("the format of '%' ends inside a field");
    return pattern_.bytes[at];
  }

  Value next() {
    const bool tuple = values_.is(Kind::tuple);
    if (used_ >= (tuple ? values_.as<List>().items.size() : 1)) runtime_.fail("too few values for '%'");
    return tuple ? values_.as<List>().items[used_++] : (++used_, values_);
  }

  std::int64_t number(std::size_t& at, bool& left) {
    if (byte(at) == '*') {
      ++at;
      const Value value = next();
      if (!value.is_integer()) runtime_.fail("'*' in a format needs an integer");
      if (value.integer() < 0) left = true;
      if (std::abs(value.integer()) > 100'000'000) runtime_.fail("the width of a format is too large");
      return std::abs(value.integer());
    }
    std::int64_t value = 0;
    for (; is_digit(byte(at)); ++at) {
      value = value * 10 + (byte(at) - '0');
      if (value > 100'000'000) runtime_.fail("the width of a format is too large");
    }
    return value;
  }

  /// Formats the field that begins at `at`, after the '%'. Returns its end.
  std::size_t field(std::size_t at) {
    Value value;
    if (byte(at) == '(') {
      const std::size_t end = pattern_.bytes.find(')', at);
      if (end == std::string::npos || !values_.is(Kind::dict)) runtime_.fail("'%(name)' needs a dict on the right");
      const Value* found = find_entry(values_.as<Dict>(), pattern_.bytes.substr(at + 1, end - at - 1));
      if (found == nullptr) runtime_.fail("'%(name)' names a key that the dict does not have");
      value = *found;
      used_ = std::max<std::size_t>(used_, 1);
      at = end + 1;
    }
    FormatSpec spec;
    bool left = false;
    for (;; ++at) {
      const char flag = byte(at);
      if (flag == '-')
        left = true;
      else if (flag == '+')
        spec.sign = '+';
      else if (flag == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else if (flag == '#')
        spec.alternate = true;
      else if (flag == '0')
        spec.zero = true;
      else
        break;
    }
    spec.width = static_cast<std::size_t>(number(at, left));
    if (byte(at) == '.') {
      bool negative = false;
      spec.precision = number(++at, negative);
      if (negative) spec.precision = 0;
    }
    while (byte(at) == 'l' || byte(at) == 'h' || byte(at) == 'L') ++at;
    spec.align = left ? '<' : '\0';
    spec.type = byte(at);
    if (spec.type == '%') {
      out_.add("%");
    } else {
      convert(value.is_missing() ? next() : value, spec);
    }
    return at + 1;
  }

  void convert(const Value& value, FormatSpec spec) {
    constexpr std::string_view reals = "eEfFgG";
    if (spec.type == 's' || spec.type == 'r') {
      Text text = spec.type == 's' ? to_text(runtime_, value) : to_repr(runtime_, value);
      if (spec.precision >= 0)
        text = text.part(0, byte_of_character(text.bytes, static_cast<std::size_t>(spec.precision)));
      return out_.add(padded(runtime_, text, spec, spec.align == '<' ? '<' : '>'));
    }
    if (reals.find(spec.type) != reals.npos && value.is_number()) {
      if (spec.align == '<') spec.zero = false;
      const std::string digits = real_digits(runtime_, value.real(), spec);
      return out_.add(padded_number(runtime_, std::signbit(value.real()), "", digits, spec));
    }
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    if (spec.type == 'd' && value.is(Kind::real) && std::fabs(value.real()) < 9e18) {
      return convert(static_cast<std::int64_t>(value.real()), spec);
    }
    if ((spec.type == 'd' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o') && value.is_integer()) {
      std::string digits = integer_digits(value.integer(), spec.type);
      while (static_cast<std::int64_t>(digits.size()) < std::min<std::int64_t>(spec.precision, 1000))
        digits.insert(0, "0");
      if (spec.align == '<') spec.zero = false;
      const std::string prefix = spec.alternate && spec.type != 'd' ? std::string("0") + spec.type : "";
      return out_.add(padded_number(runtime_, value.integer() < 0, prefix, digits, spec));
    }
    if (spec.type == 'c' && value.is_text() && count_characters(value.text().bytes) == 1) {
      return out_.add(padded(runtime_, value.text(), spec, spec.align == '<' ? '<' : '>'));
    }
    if (spec.type == 'c' && value.is_integer() && value.integer() >= 0 && value.integer() <= 0x10FFFF &&
        !(value.integer() >= 0xD800 && value.integer() < 0xE000)) {
      Text text;
      append_utf8(text.bytes, static_cast<char32_t>(value.integer()));
      return out_.add(padded(runtime_, text, spec, spec.align == '<' ? '<' : '>'));
    }
    runtime_.fail(std::string("the format '%") + printable(std::string(1, spec.type)) + "' is not defined for " +
                  type_name(value));
  }

  Runtime& runtime_;
  const Text& pattern_;
  const Value& values_;
  Text out_;
  std::size_t used_ = 0;
};

inline Text percent_format(Runtime& runtime, const Text& pattern, const Value& values) {
  return PercentFormat(runtime, pattern, values).format();
}

}  // namespace veneer::jinja
