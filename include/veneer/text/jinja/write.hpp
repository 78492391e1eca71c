// SPDX-License-Identifier: Apache-2.0
/// \file write.hpp
/// Conversion of values to text: Python's `str` and `repr`, and `json.dumps` with its arguments. Input ranges are kept.
#pragma once

#include <algorithm>
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
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

/// Appends the `repr` of a text: in single quotes unless it contains only these, with escapes for characters that
/// are not printable.
inline void append_repr(Text& out, const Text& text) {
  constexpr const char* digits = "0123456789abcdef";
  const bool single = text.bytes.find('\'') != std::string::npos;
  const char quote = single && text.bytes.find('"') == std::string::npos ? '"' : '\'';
  out.bytes += quote;
  out.add(changed_characters(text, [&](std::string& to, char32_t point, std::size_t) {
    constexpr std::string_view plain = "\n\r\t\\", letters = "nrt\\";
    const std::size_t found = point < 0x80 ? plain.find(static_cast<char>(point)) : plain.npos;
    if (found != plain.npos) {
      to += {'\\', letters[found]};
    } else if (point == static_cast<char32_t>(quote)) {
      to += {'\\', quote};
    } else if (is_printable(point)) {
      append_utf8(to, point);
    } else {
      const int width = point < 0x100 ? 2 : point < 0x10000 ? 4 : 8;
      to += {'\\', width == 2 ? 'x' : width == 4 ? 'u' : 'U'};
      for (int shift = 4 * (width - 1); shift >= 0; shift -= 4) to += digits[(point >> shift) & 15u];
    }
  }));
  out.bytes += quote;
}

/// A writer that appends the `str` of a value, or its `repr` inside of another value (`as_repr`).
class Writer {
 public:
  Writer(Runtime& runtime, Text& out) : runtime_(runtime), out_(out) {}

  void write(const Value& value, bool as_repr) {
    const Runtime::Level level(runtime_);
    runtime_.step();
    runtime_.fits(out_.bytes.size());
    switch (value.kind()) {
      case Kind::missing:
      case Kind::undefined: out_.add(as_repr ? "Undefined" : ""); return;
      case Kind::none: out_.add("None"); return;
      case Kind::boolean: out_.add(value.integer() != 0 ? "True" : "False"); return;
      case Kind::integer: out_.add(std::to_string(value.integer())); return;
      case Kind::real: out_.add(real_text(value.real())); return;
      case Kind::text: return text(value.text(), as_repr);
      case Kind::list: return items(value.as<List>().items, "[", "]");
      case Kind::tuple: return items(value.as<List>().items, "(", value.as<List>().items.size() == 1 ? ",)" : ")");
      case Kind::dict: return dict(value.as<Dict>());
      case Kind::space:
        out_.add("<Namespace ");
        dict(value.as<Space>().attributes);
        return out_.add(">");
      case Kind::range: return range(value.as<Range>());
      case Kind::view: return view(value.as<View>());
      case Kind::loop:
      case Kind::iterator:
      case Kind::function: runtime_.fail("a " + type_name(value) + " cannot be written as text");
    }
  }

 private:
  void text(const Text& text, bool as_repr) {
    if (!as_repr) return out_.add(text);
    if (text.markup) out_.add("Markup(");
    append_repr(out_, text);
    if (text.markup) out_.add(")");
  }

  void items(const std::vector<Value>& items, std::string_view open, std::string_view close) {
    out_.add(open);
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.add(", ");
      write(items[i], true);
    }
    out_.add(close);
  }

  void dict(const Dict& dict) {
    out_.add("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries) {
      if (!std::exchange(first, false)) out_.add(", ");
      write(key, true);
      out_.add(": ");
      write(value, true);
    }
    out_.add("}");
  }

  void range(const Range& range) {
    out_.add("range(" + std::to_string(range.start) + ", " + std::to_string(range.stop));
    if (range.step != 1) out_.add(", " + std::to_string(range.step));
    out_.add(")");
  }

  void view(const View& view) {
    out_.add("dict_" + view.part + "([");
    bool first = true;
    for (const auto& [key, value] : view.dict->entries) {
      if (!std::exchange(first, false)) out_.add(", ");
      if (view.part == "items") out_.add("(");
      if (view.part != "values") write(key, true);
      if (view.part == "items") out_.add(", ");
      if (view.part != "keys") write(value, true);
      if (view.part == "items") out_.add(")");
    }
    out_.add("])");
  }

  Runtime& runtime_;
  Text& out_;
};

/// Returns `str(value)`.
inline Text to_text(Runtime& runtime, const Value& value) {
  if (value.is_text()) return value.text();
  Text out;
  Writer(runtime, out).write(value, false);
  return out;
}

inline Text to_repr(Runtime& runtime, const Value& value) {
  Text out;
  Writer(runtime, out).write(value, true);
  return out;
}

/// The arguments of `json.dumps` accepted by the filter `tojson`.
struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent{};  // per level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, Text& out, const JsonStyle& style) : runtime_(runtime), out_(out), style_(style) {}

  void write(const Value& value, std::size_t depth = 0) {
    const Runtime::Level level(runtime_);
    runtime_.step();
    runtime_.fits(out_.bytes.size());
    switch (value.kind()) {
      case Kind::none: out_.add("null"); return;
      case Kind::boolean: out_.add(value.integer() != 0 ? "true" : "false"); return;
      case Kind::integer: out_.add(std::to_string(value.integer())); return;
      case Kind::real: out_.add(real(value.real())); return;
      case Kind::text: return text(value.text());
      case Kind::list:
      case Kind::tuple: return list(value.as<List>().items, depth);
      case Kind::dict: return dict(value.as<Dict>(), depth);
      default: runtime_.fail("tojson: a value of type " + type_name(value) + " has no form in JSON");
    }
  }

 private:
  static std::string real(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return real_text(value);
  }

  void text(const Text& text) {
    constexpr const char* digits = "0123456789abcdef";
    out_.add("\"");
    out_.add(changed_characters(text, [&](std::string& to, char32_t point, std::size_t) {
      constexpr std::string_view plain = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
      const std::size_t found = point < 0x80 ? plain.find(static_cast<char>(point)) : plain.npos;
      const auto unit = [&](unsigned u) {
        to += {'\\', 'u', digits[u >> 12 & 15], digits[u >> 8 & 15], digits[u >> 4 & 15], digits[u & 15]};
      };
      if (found != plain.npos) {
        to += {'\\', letters[found]};
      } else if (point < 0x20 || (style_.ascii && point >= 0x7F && point < 0x10000 && point != 0x7F)) {
        unit(point);
      } else if (style_.ascii && point >= 0x10000) {
        unit(0xD800u + ((point - 0x10000u) >> 10));
        unit(0xDC00u + ((point - 0x10000u) & 0x3FFu));
      } else {
        append_utf8(to, point);
      }
    }));
    out_.add("\"");
  }

  void list(const std::vector<Value>& items, std::size_t depth) {
    if (items.empty()) return out_.add("[]");
    out_.add("[");
    for (std::size_t i = 0; i < items.size(); ++i) {
      separate(i, depth + 1);
      write(items[i], depth + 1);
    }
    line(depth);
    out_.add("]");
  }

  Text key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::text: return key.text();
      case Kind::none: return {"null", {}, false};
      case Kind::boolean: return {key.integer() != 0 ? "true" : "false", {}, false};
      case Kind::integer: return {std::to_string(key.integer()), {}, false};
      case Kind::real: return {real(key.real()), {}, false};
      default: runtime_.fail("tojson: keys of an object are texts, numbers, booleans or none, not " + type_name(key));
    }
  }

  void dict(const Dict& dict, std::size_t depth) {
    if (dict.entries.empty()) return out_.add("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) sort(entries);
    out_.add("{");
    for (std::size_t i = 0; i < entries.size(); ++i) {
      separate(i, depth + 1);
      text(key_text(entries[i]->first));
      out_.add(style_.key_separator);
      write(entries[i]->second, depth + 1);
    }
    line(depth);
    out_.add("}");
  }

  void sort(std::vector<const std::pair<Value, Value>*>& entries) {
    const bool texts = entries[0]->first.is_text();
    for (const auto* entry : entries) {
      if (entries.size() > 1 && (texts ? !entry->first.is_text() : !entry->first.is_number())) {
        runtime_.fail("tojson: keys of different types cannot be sorted");
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      return texts ? a->first.text().bytes < b->first.text().bytes : a->first.real() < b->first.real();
    });
  }

  void separate(std::size_t index, std::size_t depth) {
    if (index > 0) out_.add(style_.item_separator);
    line(depth);
  }

  void line(std::size_t depth) {
    if (!style_.indent) return;
    out_.add("\n");
    for (std::size_t i = 0; i < depth; ++i) out_.add(*style_.indent);
  }

  Runtime& runtime_;
  Text& out_;
  const JsonStyle& style_;
};

}  // namespace veneer::jinja
