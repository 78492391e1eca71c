// SPDX-License-Identifier: Apache-2.0
/// \file json_dump.hpp
/// JSON output, byte for byte as by Python's `json.dumps`, which PEFT and transformers use.
///
///     indent 2:   {\n  "a": [\n    1,\n    2.0\n  ],\n  "b": {}\n}        no newline at the end
///     floats:     the shortest digits that read back to the same double; 2.0, 1e-05, 1e+16 (CPython's `repr`)
///     text:       `\"`, `\\`, `\b \f \n \r \t`, other control characters as \u00xx, with `ascii` also all non-ASCII
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "veneer/core/error.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// A JSON value whose objects keep the order of the file. The lookup of a key is linear: iterate over large objects.
using Json = nlohmann::ordered_json;

/// The keyword arguments of `json.dumps`.
struct PythonStyle {
  int indent = 2;         // spaces per level; negative: one line, with ", " and ": " as separators
  bool sort_keys = true;  // by code point, also in nested objects
  bool ascii = true;      // `ensure_ascii`
};

/// Returns `value` as CPython's `repr(float)`. Throws `ArgumentError` for NaN and infinity, which JSON does not have.
inline std::string python_float(double value) {
  expects(std::isfinite(value), "veneer::python_float(value): JSON has no NaN and no infinity");
  char buffer[40];
  const auto written = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<std::size_t>(written.ptr - buffer));
  const std::size_t mark = text.find('e');
  int exponent = 0;
  const std::size_t sign = text[mark + 1] == '+' ? 2 : 1;  // from_chars accepts a minus but not a plus
  std::from_chars(text.data() + mark + sign, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);  // to_chars also writes at least two digits: 1e-05

  std::string digits;
  for (const char c : text.substr(0, mark)) {
    if (c != '-' && c != '.') digits += c;
  }
  std::string out = value < 0 || std::signbit(value) ? "-" : "";
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;  // digits before the point
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

/// Appends `text` as a JSON string. Throws `ArgumentError` when it is not UTF-8.
inline void append_json_string(std::string& out, std::string_view text, bool ascii) {
  constexpr const char* digits = "0123456789abcdef";
  const auto escape = [&](unsigned unit) {
    out += {'\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15], digits[unit >> 4 & 15], digits[unit & 15]};
  };
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (point.length == 0)
      throw ArgumentError("veneer::append_json_string(out, text): the text must be UTF-8: " + printable(text));
    constexpr std::string_view named = "\"\\\b\f\n\r\t";
    const std::size_t found = point.length == 1 ? named.find(text[at]) : std::string_view::npos;
    if (found != std::string_view::npos) {
      out += {'\\', "\"\\bfnrt"[found]};
    } else if (point.value < 0x20 || (ascii && point.value >= 0x7F && point.value < 0x10000)) {
      escape(point.value);
    } else if (ascii && point.value >= 0x10000) {
      escape(0xD800u + ((point.value - 0x10000u) >> 10));
      escape(0xDC00u + ((point.value - 0x10000u) & 0x3FFu));
    } else {
      out.append(text.substr(at, point.length));
    }
    at += point.length;
  }
  out += '"';
}

namespace detail {

class PythonWriter {
 public:
  PythonWriter(std::string& out, PythonStyle style) : out_(out), style_(style) {}

  void value(const Json& json, int depth) {
    expects(depth <= 512, "veneer::dump_python(value): more than 512 levels of nesting");
    switch (json.type()) {
      case Json::value_t::object: return object(json, depth);
      case Json::value_t::array: return array(json, depth);
      case Json::value_t::string: return append_json_string(out_, json.get_ref<const std::string&>(), style_.ascii);
      case Json::value_t::number_float: out_ += python_float(json.get<double>()); return;
      case Json::value_t::null: out_ += "null"; return;
      case Json::value_t::boolean: out_ += json.get<bool>() ? "true" : "false"; return;
      case Json::value_t::number_integer: out_ += std::to_string(json.get<Json::number_integer_t>()); return;
      case Json::value_t::number_unsigned: out_ += std::to_string(json.get<Json::number_unsigned_t>()); return;
      default: throw ArgumentError("veneer::dump_python(value): JSON has no binary values");
    }
  }

 private:
  void object(const Json& json, int depth) {
    using Entry = Json::object_t::value_type;
    std::vector<const Entry*> entries;
    for (const Entry& entry : json.get_ref<const Json::object_t&>()) entries.push_back(&entry);
    if (style_.sort_keys) {  // the order of UTF-8 bytes is that of code points
      std::stable_sort(entries.begin(), entries.end(),
                       [](const Entry* a, const Entry* b) { return a->first < b->first; });
    }
    out_ += '{';
    for (std::size_t i = 0; i < entries.size(); ++i) {
      separate(i, depth + 1);
      append_json_string(out_, entries[i]->first, style_.ascii);
      out_ += ": ";
      value(entries[i]->second, depth + 1);
    }
    if (!entries.empty()) line(depth);
    out_ += '}';
  }

  void array(const Json& json, int depth) {
    out_ += '[';
    for (std::size_t i = 0; i < json.size(); ++i) {
      separate(i, depth + 1);
      value(json[i], depth + 1);
    }
    if (!json.empty()) line(depth);
    out_ += ']';
  }

  void separate(std::size_t index, int depth) {
    if (index > 0) out_ += style_.indent < 0 ? ", " : ",";
    line(depth);
  }

  void line(int depth) {
    if (style_.indent < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(depth * style_.indent), ' ');
  }

  std::string& out_;
  PythonStyle style_;
};

}  // namespace detail

/// Returns the output of `json.dumps(value, indent=2, sort_keys=True)`; `style` selects other forms. There is no
/// newline at the end. Throws `ArgumentError` on NaN, infinity, binary values and text that is not UTF-8.
inline std::string dump_python(const Json& value, PythonStyle style = {}) {
  std::string out;
  detail::PythonWriter(out, style).value(value, 0);
  return out;
}

}  // namespace veneer
