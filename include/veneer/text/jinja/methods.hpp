// SPDX-License-Identifier: Apache-2.0
/// \file methods.hpp
/// The methods of str, dict, list, tuple and range. Methods that change their object are hidden, as in the immutable
/// sandbox of jinja2; the other methods of Python are refused by name when they are called.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/jinja/letters.hpp"
#include "veneer/text/jinja/parameters.hpp"
#include "veneer/text/jinja/split.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

Value format_method(Runtime& runtime, const Text& pattern, const Arguments& arguments);
using Method = Value (*)(Runtime&, const Value&, const Arguments&);

inline void no_arguments(Runtime& runtime, const char* name, const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty())
    runtime.fail(std::string(name) + "() takes no arguments");
}

/// Throws for keyword arguments, which most methods of Python do not accept.
inline void no_keywords(Runtime& runtime, const char* name, const Arguments& arguments) {
  if (!arguments.named.empty()) runtime.fail(std::string(name) + "() takes no keyword arguments");
}

template <Text (*Change)(const Text&)>
Value change_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  return make_text(runtime, Change(self.text()));
}

template <bool (*Has)(char32_t)>
Value characters_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_arguments(runtime, "the method", arguments);
  return all_characters(self.text().bytes, Has);
}

template <bool Left, bool Right>
Value strip_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "strip", arguments);
  const Parameters given(runtime, "strip", arguments, {"chars"});
  return make_text(runtime, strip(self.text(), Left, Right, given.is_none(0) ? nullptr : &given.text(0)));
}

/// Returns the bytes of the characters [begin, end) given by the arguments `first` and `first + 1`.
inline ByteRange range_argument(const Text& text, const Parameters& given, std::size_t first) {
  const auto size = static_cast<std::int64_t>(count_characters(text.bytes));
  const auto bound = [&](std::size_t index, std::int64_t otherwise) {
    if (given.is_none(index)) return otherwise;
    const std::int64_t value = given.integer(index, 0);
    return value < 0 ? std::max<std::int64_t>(value + size, 0) : value;
  };
  const std::int64_t begin = bound(first, 0), end = std::min(bound(first + 1, size), size);
  if (begin > end) return {1, 0};  // no text matches there, not even an empty one
  return {byte_of_character(text.bytes, static_cast<std::size_t>(begin)),
          byte_of_character(text.bytes, static_cast<std::size_t>(end))};
}

/// Implements find, rfind, index and rindex.
template <bool Last, bool Must>
Value find_text_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "find", arguments);
  const Parameters given(runtime, "find", arguments, {"sub", "start", "end"}, 1);
  const Text& text = self.text();
  const std::string& wanted = given.text(0).bytes;
  const ByteRange range = range_argument(text, given, 1);
  runtime.step(1 + text.bytes.size() / 64);
  std::size_t found = std::string::npos;
  if (range.begin <= range.end && wanted.size() <= range.end - range.begin) {
    found = Last ? text.bytes.rfind(wanted, range.end - wanted.size()) : text.bytes.find(wanted, range.begin);
    if (found != std::string::npos && (found < range.begin || found + wanted.size() > range.end))
      found = std::string::npos;
  }
  if (found != std::string::npos) {
    return static_cast<std::int64_t>(count_characters(std::string_view(text.bytes).substr(0, found)));
  }
  if (Must) runtime.fail("index: the text is not found");
  return std::int64_t{-1};
}

inline Value count_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "count", arguments);
  const Parameters given(runtime, "count", arguments, {"sub", "start", "end"}, 1);
  const Text& text = self.text();
  const std::string& wanted = given.text(0).bytes;
  const ByteRange range = range_argument(text, given, 1);
  if (range.begin > range.end) return std::int64_t{0};
  const auto part = std::string_view(text.bytes).substr(range.begin, range.end - range.begin);
  if (wanted.empty()) return static_cast<std::int64_t>(count_characters(part)) + 1;
  std::int64_t count = 0;
  for (std::size_t at = part.find(wanted); at != part.npos; at = part.find(wanted, at + wanted.size())) ++count;
  return count;
}

/// Implements startswith and endswith, with one text or a tuple of texts.
template <bool End>
Value affix_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "startswith", arguments);
  const Parameters given(runtime, End ? "endswith" : "startswith", arguments, {"prefix", "start", "end"}, 1);
  const ByteRange range = range_argument(self.text(), given, 1);
  const std::vector<Value> wanted = given[0].is(Kind::tuple) ? given[0].as<List>().items : std::vector<Value>{given[0]};
  for (const Value& affix : wanted) {
    if (!affix.is_text())
      runtime.fail("startswith and endswith take a text or a tuple of texts, not " + type_name(affix));
    if (range.begin > range.end) continue;
    const auto part = std::string_view(self.text().bytes).substr(range.begin, range.end - range.begin);
    if (End ? part.ends_with(affix.text().bytes) : part.starts_with(affix.text().bytes)) return true;
  }
  return false;
}

inline Value join_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "join", arguments);
  const Parameters given(runtime, "join", arguments, {"iterable"}, 1);
  const std::vector<Value> items = items_of(runtime, given[0]);
  Text out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_text())
      runtime.fail("join: item " + std::to_string(i) + " is not a text but " + type_name(items[i]));
    if (i > 0) out.add(self.text());
    out.add(items[i].text());
    runtime.fits(out.bytes.size());
  }
  return make_text(runtime, std::move(out));
}

inline Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "replace", arguments);
  const Parameters given(runtime, "replace", arguments, {"old", "new", "count"}, 2);
  return make_text(runtime, replaced(runtime, self.text(), given.text(0), given.text(1), given.integer(2, -1)));
}

template <bool Right>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters given(runtime, "split", arguments, {"sep", "maxsplit"});
  const std::int64_t most = given.integer(1, -1);
  const Text* separator = given.is_none(0) ? nullptr : &given.text(0);
  if (separator != nullptr && separator->bytes.empty()) runtime.fail("split: the separator is empty");
  return make_list(runtime, texts(runtime, self.text(), split(self.text(), separator, most, Right)));
}

inline Value splitlines_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Parameters given(runtime, "splitlines", arguments, {"keepends"});
  return make_list(runtime, texts(runtime, self.text(), lines(self.text().bytes, given.flag(0))));
}

template <bool Last>
Value partition_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "partition", arguments);
  const Parameters given(runtime, "partition", arguments, {"sep"}, 1);
  const Text& text = self.text();
  const std::string& separator = given.text(0).bytes;
  if (separator.empty()) runtime.fail("partition: the separator is empty");
  const std::size_t at = Last ? text.bytes.rfind(separator) : text.bytes.find(separator);
  std::vector<ByteRange> parts;
  const std::size_t size = text.bytes.size();
  if (at != std::string::npos)
    parts = {{0, at}, {at, at + separator.size()}, {at + separator.size(), size}};
  else if (Last)
    parts = {{0, 0}, {0, 0}, {0, size}};
  else
    parts = {{0, size}, {size, size}, {size, size}};
  return make_tuple(runtime, texts(runtime, text, parts));
}

template <bool Suffix>
Value remove_affix_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "removeprefix", arguments);
  const Parameters given(runtime, "removeprefix", arguments, {"prefix"}, 1);
  const std::string& affix = given.text(0).bytes;
  const std::string& bytes = self.text().bytes;
  const bool has = Suffix ? bytes.ends_with(affix) : bytes.starts_with(affix);
  if (!has) return self;
  return make_text(runtime,
                   self.text().part(Suffix ? 0 : affix.size(), Suffix ? bytes.size() - affix.size() : bytes.size()));
}

/// Implements center, ljust, rjust and zfill: `Mode` is c, l, r or z.
template <char Mode>
Value pad_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "center", arguments);
  if (Mode == 'z') {
    const Parameters given(runtime, "zfill", arguments, {"width"}, 1);
    return make_text(runtime, zero_filled(runtime, self.text(), given.integer(0, 0)));
  }
  const Parameters given(runtime, "center", arguments, {"width", "fillchar"}, 1);
  const Text fill = given.has(1) ? given.text(1) : Text{" ", {}, false};
  if (count_characters(fill.bytes) != 1) runtime.fail("the fill text is not one character");
  return make_text(runtime, filled(runtime, self.text(), given.integer(0, 0), fill, Mode));
}

inline Value format_text_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return format_method(runtime, self.text(), arguments);
}

template <bool Upper>
Value case_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_arguments(runtime, "isupper", arguments);
  return is_all_case(self.text().bytes, Upper);
}

inline bool is_alphanumeric(char32_t p) { return is_alphabetic(p) || is_numeric(p); }
inline bool is_digit_character(char32_t p) { return is_decimal(p) || is_other_digit(p); }
inline bool is_ascii_character(char32_t p) { return p < 0x80; }

inline const std::unordered_map<std::string_view, Method>& text_methods() {
  static const std::unordered_map<std::string_view, Method> methods = {
      {"capitalize", change_method<capitalize>},
      {"title", change_method<title>},
      {"upper", change_method<upper>},
      {"lower", change_method<lower>},
      {"swapcase", change_method<swapcase>},
      {"strip", strip_method<true, true>},
      {"lstrip", strip_method<true, false>},
      {"rstrip", strip_method<false, true>},
      {"find", find_text_method<false, false>},
      {"rfind", find_text_method<true, false>},
      {"index", find_text_method<false, true>},
      {"rindex", find_text_method<true, true>},
      {"count", count_method},
      {"startswith", affix_method<false>},
      {"endswith", affix_method<true>},
      {"join", join_method},
      {"replace", replace_method},
      {"split", split_method<false>},
      {"rsplit", split_method<true>},
      {"splitlines", splitlines_method},
      {"partition", partition_method<false>},
      {"rpartition", partition_method<true>},
      {"removeprefix", remove_affix_method<false>},
      {"removesuffix", remove_affix_method<true>},
      {"center", pad_method<'c'>},
      {"ljust", pad_method<'l'>},
      {"rjust", pad_method<'r'>},
      {"zfill", pad_method<'z'>},
      {"format", format_text_method},
      {"isupper", case_method<true>},
      {"islower", case_method<false>},
      {"isalpha", characters_method<is_alphabetic>},
      {"isalnum", characters_method<is_alphanumeric>},
      {"isdecimal", characters_method<is_decimal>},
      {"isdigit", characters_method<is_digit_character>},
      {"isnumeric", characters_method<is_numeric>},
      {"isspace", characters_method<is_space>},
      {"isascii",
       [](Runtime& runtime, const Value& self, const Arguments& arguments) -> Value {
         no_arguments(runtime, "isascii", arguments);
         return self.text().bytes.empty() || all_characters(self.text().bytes, is_ascii_character);
       }},
      {"isprintable", [](Runtime& runtime, const Value& self, const Arguments& arguments) -> Value {
         no_arguments(runtime, "isprintable", arguments);
         return self.text().bytes.empty() || all_characters(self.text().bytes, is_printable);
       }}};
  return methods;
}

template <char Part>
Value view_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const char* name = Part == 'k' ? "keys" : Part == 'v' ? "values" : "items";
  no_arguments(runtime, name, arguments);
  runtime.charge(sizeof(View));
  nested(runtime, self.as<Dict>().nesting);
  return {Kind::view, std::make_shared<View>(View{name, self.share<Dict>()})};
}

inline Value get_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "get", arguments);
  const Parameters given(runtime, "get", arguments, {"key", "default"}, 1);
  const Value* found = find_entry(runtime, self.as<Dict>(), given[0]);
  return found != nullptr ? *found : given.has(1) ? given[1] : Value::none();
}

inline Value copy_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_arguments(runtime, "copy", arguments);
  return self.is(Kind::dict) ? make_dict(runtime, self.as<Dict>().entries) : make_list(runtime, self.as<List>().items);
}

inline Value count_item_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "count", arguments);
  const Parameters given(runtime, "count", arguments, {"value"}, 1);
  const std::vector<Value> items = items_of(runtime, self);
  return static_cast<std::int64_t>(
      std::count_if(items.begin(), items.end(), [&](const Value& item) { return equal(runtime, item, given[0]); }));
}

inline Value index_item_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  no_keywords(runtime, "index", arguments);
  const Parameters given(runtime, "index", arguments, {"value", "start", "stop"}, 1);
  const std::vector<Value> items = items_of(runtime, self);
  const auto size = static_cast<std::int64_t>(items.size());
  std::int64_t at = given.integer(1, 0), stop = given.integer(2, size);
  if (at < 0) at = std::max<std::int64_t>(at + size, 0);
  if (stop < 0) stop += size;
  for (; at < std::min(stop, size); ++at) {
    if (equal(runtime, items[static_cast<std::size_t>(at)], given[0])) return at;
  }
  runtime.fail("index: the value is not in the list");
}

/// Returns the method `name` of a value, or null.
inline Method known_method(const Value& self, const std::string& name) {
  if (self.is_text()) {
    const auto found = text_methods().find(name);
    return found == text_methods().end() ? nullptr : found->second;
  }
  if (self.is(Kind::dict)) {
    if (name == "items") return view_method<'i'>;
    if (name == "keys") return view_method<'k'>;
    if (name == "values") return view_method<'v'>;
    if (name == "get") return get_method;
    if (name == "copy") return copy_method;
  }
  if (self.is_sequence() || self.is(Kind::range)) {
    if (name == "count") return count_item_method;
    if (name == "index") return index_item_method;
    if (name == "copy" && self.is(Kind::list)) return copy_method;
  }
  return nullptr;
}

/// Returns whether Python has the method or attribute, which is not supported here.
inline bool is_refused(const Value& self, std::string_view name) {
  const auto any = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  switch (self.kind()) {
    case Kind::text:
      return any(
          {"casefold", "encode", "expandtabs", "format_map", "isidentifier", "istitle", "maketrans", "translate"});
    case Kind::dict: return any({"fromkeys"});
    case Kind::boolean:
    case Kind::integer:
      return any({"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag",
                  "numerator", "real", "to_bytes"});
    case Kind::real: return any({"as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real"});
    case Kind::view: return any({"mapping", "isdisjoint"});
    case Kind::iterator: return any({"close", "send", "throw"});
    default: return false;
  }
}

inline bool is_mutation(const Value& self, std::string_view name) {
  const auto any = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (self.is(Kind::list)) return any({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  return self.is(Kind::dict) && any({"clear", "pop", "popitem", "setdefault", "update"});
}

/// Returns a bound method, or missing. A method that changes its object is undefined.
inline Value find_method(Runtime& runtime, const Value& self, const std::string& name) {
  if (const Method method = known_method(self, name)) {
    return make_function(
        runtime, name,
        [method, self](Runtime& caller, Arguments& arguments) { return method(caller, self, arguments); }, self);
  }
  if (is_mutation(self, name)) {
    return make_undefined("'" + name + "' changes a " + type_name(self) + ", which templates are not allowed to");
  }
  if (!is_refused(self, name)) return {};
  return make_function(
      runtime, name,
      [name](Runtime& caller, Arguments&) -> Value { caller.fail("the method '" + name + "' is not supported"); },
      self);
}

}  // namespace veneer::jinja
