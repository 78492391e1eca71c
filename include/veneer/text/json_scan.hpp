// SPDX-License-Identifier: Apache-2.0
/// \file json_scan.hpp
/// scan_json: checks that a text is one JSON value (RFC 8259) and finds its fields, without building the value.
///
/// For lines of data: most of a line is one long string or not used, other keys may have any value (huge numbers,
/// deep nesting), and errors must name the violated rule. The results are ranges of the text; strings are
/// unescaped on request.
///
/// Strict: no comments, no trailing commas, no control characters in strings, no text after the value. Unpaired
/// surrogates and duplicate names in an object are valid JSON, and are reported separately.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/unicode.hpp"

namespace veneer {

enum class JsonKind { null, boolean, number, string, array, object };

/// A field of the outermost object: its name, and the text of its value.
struct JsonField {
  std::string_view name;
  JsonKind kind = JsonKind::null;
  std::string_view value;
};

/// The result of a scan. Names are views of the text or of `unescaped`.
struct JsonScan {
  std::optional<std::size_t> syntax_error;    // the invalid byte
  std::optional<std::size_t> lone_surrogate;  // the byte of its escape
  std::optional<std::string> duplicate;       // the path of a duplicate name: `a`, `messages[0].role`
  JsonKind kind = JsonKind::null;             // of the value
  std::vector<JsonField> fields;              // of the value, if it is an object
  std::deque<std::string> unescaped;          // names with escapes

  const JsonField* find(std::string_view name) const& {
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const JsonField& field) { return field.name == name; });
    return found == fields.end() ? nullptr : &*found;
  }
  const JsonField* find(std::string_view) const&& = delete;  // the field would dangle
};

namespace detail {

/// A scanner by recursive descent, in one pass. The caller bounds the nesting.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, JsonScan& result) : text_(text), result_(result) {}

  void run() {
    const bool good = value(&result_.kind) && (skip_space(), at_ == text_.size());
    if (!good) result_.syntax_error = at_;
  }

 private:
  static constexpr std::size_t in_object = static_cast<std::size_t>(-1);
  struct Level {
    std::string_view name;          // of the current field
    std::size_t index = in_object;  // of the current item of an array
  };

  bool value(JsonKind* kind) {
    skip_space();
    switch (peek()) {
      case '{': return *kind = JsonKind::object, object();
      case '[': return *kind = JsonKind::array, array();
      case '"': return *kind = JsonKind::string, string();
      case 't': return *kind = JsonKind::boolean, word("true");
      case 'f': return *kind = JsonKind::boolean, word("false");
      case 'n': return *kind = JsonKind::null, word("null");
      default: return *kind = JsonKind::number, number();
    }
  }

  bool object() {
    ++at_;
    levels_.push_back({});
    const std::size_t first_name = names_.size();
    const bool good = members();
    if (good) check_names(first_name);
    names_.resize(first_name);
    levels_.pop_back();
    return good;
  }

  bool members() {
    skip_space();
    if (take('}')) return true;
    do {
      skip_space();
      const std::size_t begin = at_;
      if (peek() != '"' || !string()) return false;
      const std::string_view name = name_of(text_.substr(begin, at_ - begin));
      names_.push_back(name);
      levels_.back().name = name;
      skip_space();
      if (!take(':')) return false;
      skip_space();
      const std::size_t value_begin = at_;
      JsonKind kind{};
      if (!value(&kind)) return false;
      if (levels_.size() == 1) result_.fields.push_back({name, kind, text_.substr(value_begin, at_ - value_begin)});
      skip_space();
    } while (take(','));
    return take('}');
  }

  bool array() {
    ++at_;
    skip_space();
    if (take(']')) return true;
    levels_.push_back({{}, 0});
    do {
      JsonKind kind{};
      if (!value(&kind)) return false;
      ++levels_.back().index;
      skip_space();
    } while (take(','));
    levels_.pop_back();
    return take(']');
  }

  bool string() {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        ++at_;
      } else if (!escape()) {
        return false;
      }
    }
    return false;
  }

  bool escape() {
    const std::size_t begin = at_;
    if (text_.size() < at_ + 2) return at_ = text_.size(), false;
    const char c = text_[at_ + 1];
    if (c != 'u') {
      if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) return false;
      return at_ += 2, true;
    }
    const std::optional<char32_t> unit = hex_value(text_, at_ + 2, 4);
    if (!unit) return false;
    at_ += 6;
    if (*unit < 0xD800 || *unit > 0xDFFF) return true;
    const std::optional<char32_t> low = text_.substr(at_, 2) == "\\u" ? hex_value(text_, at_ + 2, 4) : std::nullopt;
    if (*unit <= 0xDBFF && low && *low >= 0xDC00 && *low <= 0xDFFF) {
      at_ += 6;
    } else if (!result_.lone_surrogate) {
      result_.lone_surrogate = begin;
    }
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return false;
    }
    return true;
  }

  bool digits() {
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > begin;
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return false;
    return at_ += expected.size(), true;
  }

  void check_names(std::size_t first) {
    const auto begin = names_.begin() + static_cast<std::ptrdiff_t>(first);
    std::sort(begin, names_.end());
    const auto twice = std::adjacent_find(begin, names_.end());
    if (twice == names_.end() || result_.duplicate) return;
    std::string path;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      if (level.index != in_object) {
        path += '[' + std::to_string(level.index) + ']';
        continue;
      }
      if (!path.empty()) path += '.';
      path += i + 1 == levels_.size() ? *twice : level.name;
    }
    result_.duplicate = path;
  }

  /// Returns the name in a quoted string.
  std::string_view name_of(std::string_view quoted);

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c) return false;
    return ++at_, true;
  }

  std::string_view text_;
  JsonScan& result_;
  std::size_t at_ = 0;
  std::vector<Level> levels_;            // the open objects and arrays
  std::vector<std::string_view> names_;  // of all open objects
};

}  // namespace detail

/// Returns the text of a JSON string; `quoted` is a string found by a scan, without unpaired surrogates.
inline std::string unescape_json(std::string_view quoted) {
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  std::string out;
  out.reserve(inside.size());
  for (std::size_t at = 0; at < inside.size();) {
    const std::size_t next = std::min(inside.find('\\', at), inside.size());
    out.append(inside.substr(at, next - at));
    at = next;
    if (at == inside.size()) break;
    const char c = inside[at + 1];
    at += 2;
    if (c != 'u') {
      constexpr std::string_view letters = "bfnrt";
      const std::size_t letter = letters.find(c);
      out += letter == std::string_view::npos ? c : "\b\f\n\r\t"[letter];
      continue;
    }
    char32_t value = hex_value(inside, at, 4).value_or(0xFFFD);
    at += 4;
    if (value >= 0xD800 && value <= 0xDBFF) {
      const char32_t low = hex_value(inside, at + 2, 4).value_or(0xDC00);
      value = 0x10000 + ((value - 0xD800) << 10) + ((low - 0xDC00) & 0x3FFu);
      at += 6;
    }
    append_utf8(out, value);
  }
  return out;
}

inline std::string_view detail::JsonScanner::name_of(std::string_view quoted) {
  if (quoted.find('\\') == std::string_view::npos) return quoted.substr(1, quoted.size() - 2);
  return result_.unescaped.emplace_back(unescape_json(quoted));
}

/// Scans `text`, which must be UTF-8 and not nested deeper than the stack allows: see `json_depth`.
inline JsonScan scan_json(std::string_view text) {
  JsonScan result;
  detail::JsonScanner(text, result).run();
  return result;
}

namespace detail {

/// Calls f(at, byte) for the bytes of a text outside JSON strings; quotes are part of a string.
template <class F>
void each_outside_strings(std::string_view text, const F& f) {
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else {
      f(at, c);
    }
  }
}

}  // namespace detail

/// Returns the texts of the items of a JSON array, without the surrounding space. `array` was found by a scan.
inline std::vector<std::string_view> json_items(std::string_view array) {
  const std::string_view inside = array.substr(1, array.size() - 2);
  std::vector<std::string_view> items;
  constexpr std::string_view space = " \t\n\r";
  std::size_t depth = 0, begin = 0;
  const auto add = [&](std::size_t end) {
    begin = inside.find_first_not_of(space, begin);
    if (begin < end) items.push_back(inside.substr(begin, inside.find_last_not_of(space, end - 1) + 1 - begin));
    begin = end + 1;
  };
  detail::each_outside_strings(inside, [&](std::size_t at, char c) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == ',' && depth == 0) add(at);
  });
  add(inside.size());  // adds no item if the brackets are empty
  return items;
}

/// Returns the largest number of open arrays and objects in `text`; brackets in strings are not counted. The text need
/// not be valid JSON.
inline std::size_t json_depth(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  detail::each_outside_strings(text, [&](std::size_t, char c) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ']' || c == '}') && depth > 0) --depth;
  });
  return deepest;
}

}  // namespace veneer
