// SPDX-License-Identifier: Apache-2.0
/// \file str_format.hpp
/// Implementation of `str.format`: `{}`, `{0}`, `{name.attribute[key]!r:>8}`; attributes follow the rules
/// of the sandbox.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/text/jinja/access.hpp"
#include "veneer/text/jinja/format.hpp"

namespace veneer::jinja {

class StringFormat {
 public:
  StringFormat(Runtime& runtime, const Arguments& arguments) : runtime_(runtime), arguments_(arguments) {}

  Text format(const Text& pattern, int depth = 0) {
    if (depth > 1) runtime_.fail("format: fields inside fields are nested too deep");
    const std::string& bytes = pattern.bytes;
    Text out;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t mark = std::min(bytes.find_first_of("{}", at), bytes.size());
      out.add(pattern.part(at, mark));
      runtime_.fits(out.bytes.size());
      at = mark;
      if (at == bytes.size()) break;
      if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
        out.add(std::string_view(bytes).substr(at, 1));
        at += 2;
      } else if (bytes[at] == '}') {
        runtime_.fail("format: a single '}' in the text");
      } else {
        const std::size_t end = field_end(bytes, at + 1);
        out.add(field(pattern.part(at + 1, end), depth));
        at = end + 1;
      }
    }
    return out;
  }

 private:
  std::size_t field_end(const std::string& bytes, std::size_t at) const {
    std::size_t open = 1;
    for (; at < bytes.size(); ++at) {
      if (bytes[at] == '{') ++open;
      if (bytes[at] == '}' && --open == 0) return at;
    }
    runtime_.fail("format: a '{' without '}'");
  }

  Text field(const Text& text, int depth) {
    const std::string& bytes = text.bytes;
    std::size_t brackets = 0, end = 0;
    for (; end < bytes.size(); ++end) {
      if (bytes[end] == '[') ++brackets;
      if (bytes[end] == ']' && brackets > 0) --brackets;
      if (brackets == 0 && (bytes[end] == ':' || bytes[end] == '!')) break;
    }
    Value value = find(bytes.substr(0, end));
    std::size_t at = end;
    if (at < bytes.size() && bytes[at] == '!') {
      const char conversion = at + 1 < bytes.size() ? bytes[at + 1] : '\0';
      if (conversion != 'r' && conversion != 's') runtime_.fail("format: only the conversions !r and !s are supported");
      value = make_text(runtime_, conversion == 'r' ? to_repr(runtime_, value) : to_text(runtime_, value));
      at += 2;
      if (at < bytes.size() && bytes[at] != ':') runtime_.fail("format: expected ':' after the conversion");
    }
    const Text spec = at < bytes.size() ? format(text.part(at + 1, bytes.size()), depth + 1) : Text{};
    return format_value(runtime_, value, spec.bytes);
  }

  /// Returns the value of a field name.
  Value find(const std::string& name) {
    std::size_t at = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, at));
    while (at < name.size()) {
      const bool attribute = name[at] == '.';
      const std::size_t end = attribute ? std::min(name.find_first_of(".[", at + 1), name.size()) : name.find(']', at);
      if (end == std::string::npos || end == at + 1)
        runtime_.fail("format: the field '" + printable(name) + "' is not complete");
      const std::string key = name.substr(at + 1, end - at - 1);
      if (attribute) {
        value = get_attribute(runtime_, value, make_text(runtime_, key));
      } else {
        const auto index =
            key.find_first_not_of("0123456789") == std::string::npos ? parse_integer(key, 10) : std::nullopt;
        value = get_item(runtime_, value, index ? Value(*index) : make_text(runtime_, key));
      }
      at = attribute ? end : end + 1;
      if (at < name.size() && name[at] != '.' && name[at] != '[')
        runtime_.fail("format: expected '.' or '[' after ']'");
    }
    return value;
  }

  Value first(const std::string& name) {
    const bool digits = name.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) {
      for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
      }
      runtime_.fail("format: the argument '" + printable(name, 40) + "' is missing");
    }
    if (name.empty() ? numbered_ : next_ > 0) runtime_.fail("format: numbered and automatic fields are mixed");
    if (!name.empty()) numbered_ = true;
    const auto index = name.empty() ? static_cast<std::int64_t>(next_++) : parse_integer(name, 10).value_or(-1);
    if (index < 0 || static_cast<std::size_t>(index) >= arguments_.positional.size()) {
      runtime_.fail("format: too few arguments");
    }
    return arguments_.positional[static_cast<std::size_t>(index)];
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  std::size_t next_ = 0;
  bool numbered_ = false;
};

inline Value format_method(Runtime& runtime, const Text& pattern, const Arguments& arguments) {
  Text out = StringFormat(runtime, arguments).format(pattern);
  out.markup = pattern.markup;
  return make_text(runtime, std::move(out));
}

}  // namespace veneer::jinja
