// SPDX-License-Identifier: Apache-2.0
/// \file text_filters.hpp
/// The filters of jinja2 that convert one value to a text or a number.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/arithmetic.hpp"
#include "veneer/text/jinja/parameters.hpp"
#include "veneer/text/jinja/str_format.hpp"

namespace veneer::jinja {

/// Applies `soft_str`: a text unchanged, of any other value its `str`.
template <Text (*Change)(const Text&)>
Value text_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "the filter", arguments, {});
  return make_text(runtime, Change(to_text(runtime, value)));
}

inline Text same_text(const Text& text) { return text; }

inline Text safe_text(const Text& text) {
  Text out = text;
  out.markup = true;
  return out;
}

inline Text forced_escape(const Text& text) {
  Text plain = text;
  plain.markup = false;
  return escaped(plain);
}

/// Implements the filter `title`: words begin after white space and - ( { [ <.
inline Text title_words(const Text& text) {
  bool begins = true;
  return changed_characters(text, [&](std::string& out, char32_t point, std::size_t at) {
    const bool separates =
        is_space(point) || point == U'-' || point == U'(' || point == U'{' || point == U'[' || point == U'<';
    if (separates) {
      append_utf8(out, point);
    } else if (begins) {
      append_upper(out, point);
    } else {
      append_lower(out, point, text.bytes, at);
    }
    begins = separates;
  });
}

inline Value trim_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "trim", arguments, {"chars"});
  return make_text(runtime, strip(to_text(runtime, value), true, true, given.is_none(0) ? nullptr : &given.text(0)));
}

inline Value replace_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "replace", arguments, {"old", "new", "count"}, 2);
  const Text old = to_text(runtime, given[0]), by = to_text(runtime, given[1]);
  return make_text(runtime,
                   replaced(runtime, to_text(runtime, value), old, by, given.is_none(2) ? -1 : given.integer(2, -1)));
}

inline Value center_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "center", arguments, {"width"});
  return make_text(runtime, filled(runtime, to_text(runtime, value), given.integer(0, 80), Text{" ", {}, false}, 'c'));
}

inline Value format_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    runtime.fail("format: positional and named arguments are mixed");
  const Text pattern = to_text(runtime, value);
  if (arguments.named.empty())
    return make_text(runtime, percent_format(runtime, pattern, make_tuple(runtime, arguments.positional)));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, item] : arguments.named) entries.emplace_back(make_text(runtime, name), item);
  return make_text(runtime, percent_format(runtime, pattern, make_dict(runtime, std::move(entries))));
}

inline const Text& needs_text(Runtime& runtime, const Value& value, const char* filter) {
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (!value.is_text()) runtime.fail(std::string(filter) + " expects a text, found " + type_name(value));
  return value.text();
}

inline Value indent_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "indent", arguments, {"width", "first", "blank"});
  Text text = needs_text(runtime, value, "indent");
  const bool is_text = given.has(0) && given[0].is_text();
  const std::int64_t width = is_text ? 0 : given.integer(0, 4);
  if (width > 0) runtime.fits(static_cast<std::size_t>(width));
  const Text indent =
      is_text ? given.text(0)
              : Text{std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' '), {}, false};
  text.add("\n");
  Text out;
  if (given.flag(1)) out.add(indent);
  bool first = true;
  for (const ByteRange& line : lines(text.bytes, false)) {
    if (!first) {
      out.add("\n");
      if (line.begin < line.end || given.flag(2)) out.add(indent);
    }
    first = false;
    out.add(text.part(line.begin, line.end));
    runtime.fits(out.bytes.size());
  }
  return make_text(runtime, std::move(out));
}

inline Value truncate_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "truncate", arguments, {"length", "killwords", "end", "leeway"});
  const Text end = given.has(2) ? given.text(2) : Text{"...", {}, false};
  const std::int64_t length = given.integer(0, 255), leeway = given.is_none(3) ? 5 : given.integer(3, 5);
  const auto end_size = static_cast<std::int64_t>(count_characters(end.bytes));
  if (length < end_size) runtime.fail("truncate: the length is smaller than that of the end");
  if (leeway < 0) runtime.fail("truncate: the leeway is negative");
  const std::int64_t size = length_of(value);
  if (size < 0) runtime.fail("truncate expects a text, found " + type_name(value));
  if (size <= length + leeway) return value;
  const Text& text = needs_text(runtime, value, "truncate");
  Text out = text.part(0, byte_of_character(text.bytes, static_cast<std::size_t>(length - end_size)));
  if (!given.flag(1)) {
    const std::size_t space = out.bytes.rfind(' ');
    if (space != std::string::npos) out = out.part(0, space);
  }
  out.add(end);
  return make_text(runtime, std::move(out));
}

inline Value wordcount_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "wordcount", arguments, {});
  const Text text = to_text(runtime, value);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.bytes.size();) {
    const CodePoint point = point_at(text.bytes, at);
    const bool word = is_alphanumeric(point.value) || point.value == U'_';
    words += word && !inside ? 1 : 0;
    inside = word;
    at += point.length;
  }
  return words;
}

inline Value urlencode_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "urlencode", arguments, {});
  if (value.is_text() || !is_iterable(value)) return make_text(runtime, url_quoted(to_text(runtime, value), false));
  Text out;
  bool first = true;
  const auto add = [&](const Value& key, const Value& item) {
    if (!std::exchange(first, false)) out.add("&");
    out.add(url_quoted(to_text(runtime, key), true));
    out.add("=");
    out.add(url_quoted(to_text(runtime, item), true));
  };
  if (value.is(Kind::dict)) {
    for (const auto& [key, item] : value.as<Dict>().entries) add(key, item);
  } else {
    for (const Value& pair : items_of(runtime, value)) {
      const std::vector<Value> parts = items_of(runtime, pair);
      if (parts.size() != 2) runtime.fail("urlencode expects a dict or pairs");
      add(parts[0], parts[1]);
    }
  }
  return make_text(runtime, std::move(out));
}

inline Value tojson_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii = given.flag(0);
  style.sort_keys = given.flag(3);
  if (!given.is_none(1)) {
    if (given[1].is_text())
      style.indent = given[1].text().bytes;
    else {
      const std::int64_t width = given.integer(1, 0);
      if (width > 1000) runtime.fail("tojson: an indent of more than 1000");
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
    style.item_separator = ",";
  }
  if (!given.is_none(2)) {
    const std::vector<Value> parts = items_of(runtime, given[2]);
    if (parts.size() != 2 || !parts[0].is_text() || !parts[1].is_text())
      runtime.fail("tojson: separators are two texts");
    style.item_separator = parts[0].text().bytes;
    style.key_separator = parts[1].text().bytes;
  }
  Text out;
  JsonWriter(runtime, out, style).write(value);
  return make_text(runtime, std::move(out));
}

/// Returns the integer part of a float, or throws if Python's integer would not fit.
inline Value truncated(Runtime& runtime, double value) {
  if (std::fabs(value) >= 9.2e18) runtime.fail("int: the value does not fit into 64 bits");
  return static_cast<std::int64_t>(value);
}

inline Value int_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "int", arguments, {"default", "base"});
  const Value otherwise = given.has(0) ? given[0] : Value(std::int64_t{0});
  const std::int64_t base = given.integer(1, 10);
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (value.is_integer()) return value.integer();
  if (value.is(Kind::real)) return std::isfinite(value.real()) ? truncated(runtime, value.real()) : otherwise;
  if (!value.is_text()) return otherwise;
  const auto characters = number_characters(value.text().bytes);
  const bool valid_base = base == 0 || (base >= 2 && base <= 36);
  bool overflow = false;
  if (characters && valid_base) {
    if (const auto integer = parse_integer(*characters, static_cast<int>(base), &overflow)) return *integer;
    if (overflow) runtime.fail("int: the value does not fit into 64 bits");
  }
  const auto real = characters ? parse_real(*characters) : std::nullopt;
  return real && std::isfinite(*real) ? truncated(runtime, *real) : otherwise;
}

inline Value float_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "float", arguments, {"default"});
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (value.is_number()) return value.real();
  const Value otherwise = given.has(0) ? given[0] : Value(0.0);
  if (!value.is_text()) return otherwise;
  const auto characters = number_characters(value.text().bytes);
  const auto real = characters ? parse_real(*characters) : std::nullopt;
  return real ? Value(*real) : otherwise;
}

inline Value abs_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "abs", arguments, {});
  if (value.is_integer()) return value.integer() < 0 ? signed_value(runtime, "-", value) : Value(value.integer());
  if (!value.is_number()) runtime.fail("abs expects a number, found " + type_name(value));
  return std::fabs(value.real());
}

/// Returns `round(value, precision)` of a float: the decimal nearest to the exact value, ties to even.
inline double rounded(double value, std::int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision < -330) return std::copysign(0.0, value);
  if (precision >= 0) {
    std::string digits(800, '\0');
    const int size = std::snprintf(digits.data(), digits.size(), "%.*f", static_cast<int>(precision), value);
    return std::strtod(digits.substr(0, static_cast<std::size_t>(size)).c_str(), nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / unit) * unit;
}

inline Value round_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "round", arguments, {"precision", "method"});
  const std::string method = given.has(1) && given[1].is_text() ? given[1].text().bytes : given.has(1) ? "" : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    runtime.fail("round: the method is common, ceil or floor");
  if (!value.is_number()) runtime.fail("round expects a number, found " + type_name(value));
  const std::int64_t precision = method == "common" && given.is_none(0) && given.has(0) ? 0 : given.integer(0, 0);
  if (method == "common") {
    if (!value.is_integer()) return rounded(value.real(), precision);
    if (precision >= 0) return value.integer();
    if (precision < -18) return std::int64_t{0};
    const std::int64_t unit = integer_power(runtime, 10, -precision).integer();
    std::int64_t quotient = floor_divide(value.integer(), unit);
    const std::int64_t rest = value.integer() - quotient * unit;
    if (rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0)) ++quotient;
    return integer_operation(runtime, "*", quotient, unit);
  }
  const Value power = binary(runtime, "**", std::int64_t{10}, precision);
  const Value scaled = binary(runtime, "*", value, power);
  if (!std::isfinite(scaled.real())) runtime.fail("round: the value is not finite");
  const Value whole = scaled.is_integer()
                          ? scaled
                          : truncated(runtime, method == "ceil" ? std::ceil(scaled.real()) : std::floor(scaled.real()));
  return binary(runtime, "/", whole, power);
}

}  // namespace veneer::jinja
