// SPDX-License-Identifier: Apache-2.0
/// \file operations.hpp
/// Truth, equality, order, membership, iteration and length of values, as in Python.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"
#include "veneer/text/jinja/write.hpp"

namespace veneer::jinja {

inline bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none: return false;
    case Kind::boolean:
    case Kind::integer: return value.integer() != 0;
    case Kind::real: return value.real() != 0;
    case Kind::text: return !value.text().bytes.empty();
    case Kind::list:
    case Kind::tuple: return !value.as<List>().items.empty();
    case Kind::dict: return !value.as<Dict>().entries.empty();
    case Kind::range: return value.as<Range>().size() > 0;
    case Kind::view: return !value.as<View>().dict->entries.empty();
    default: return true;
  }
}

/// Returns -1, 0 or 1; 2 if one is a NaN.
inline int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  const double left = a.real(), right = b.real();
  return left < right ? -1 : left > right ? 1 : left == right ? 0 : 2;
}

bool equal(Runtime& runtime, const Value& a, const Value& b);

/// Returns the entry of `key`, or null. Throws for keys that Python cannot hash.
inline const Value* find_entry(Runtime& runtime, const Dict& dict, const Value& key) {
  if (key.is(Kind::list) || key.is(Kind::dict)) runtime.fail("a value of type " + type_name(key) + " is not a key");
  if (key.is_text()) {
    for (const auto& [name, value] : dict.entries) {
      if (name.is_text() && name.text().bytes == key.text().bytes) return &value;
    }
    return nullptr;
  }
  for (const auto& [name, value] : dict.entries) {
    if (!name.is_text() && equal(runtime, name, key)) return &value;
  }
  return nullptr;
}

inline const Value* find_entry(const Dict& dict, const std::string& key) {
  for (const auto& [name, value] : dict.entries) {
    if (name.is_text() && name.text().bytes == key) return &value;
  }
  return nullptr;
}

/// Sets an entry, replacing one with an equal key.
inline void put_entry(Runtime& runtime, Dict& dict, Value key, Value value) {
  runtime.step(1 + dict.entries.size() / 16);
  if (const Value* found = find_entry(runtime, dict, key)) {
    *const_cast<Value*>(found) = std::move(value);
  } else {
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
}

inline bool equal_dicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = find_entry(runtime, b, key);
    if (other == nullptr || !equal(runtime, value, *other)) return false;
  }
  return true;
}

inline bool equal(Runtime& runtime, const Value& a, const Value& b) {
  const Runtime::Level level(runtime);
  runtime.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::none: return true;
    case Kind::text: return a.text().bytes == b.text().bytes;
    case Kind::list:
    case Kind::tuple: {
      const auto& left = a.as<List>().items;
      const auto& right = b.as<List>().items;
      return left.size() == right.size() &&
             std::equal(left.begin(), left.end(), right.begin(),
                        [&](const Value& x, const Value& y) { return equal(runtime, x, y); });
    }
    case Kind::dict: return equal_dicts(runtime, a.as<Dict>(), b.as<Dict>());
    case Kind::range: {
      const Range& x = a.as<Range>();
      const Range& y = b.as<Range>();
      return x.size() == y.size() && (x.size() == 0 || (x.start == y.start && (x.size() == 1 || x.step == y.step)));
    }
    case Kind::function: {
      const auto& x = a.as<Function>();
      const auto& y = b.as<Function>();
      return &x == &y || (!x.self.is_missing() && x.name == y.name && x.self.identity() == y.self.identity());
    }
    default: return a.identity() == b.identity();
  }
}

/// Returns the order of two values: negative, 0 or positive; 2 for NaN. `sign` is the operator in the message.
inline int compare(Runtime& runtime, const Value& a, const Value& b, const std::string& sign) {
  const Runtime::Level level(runtime);
  runtime.step();
  if (a.is_undefined()) fail_undefined(runtime, a);
  if (b.is_undefined()) fail_undefined(runtime, b);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is_text() && b.is_text())
    return a.text().bytes.compare(b.text().bytes) < 0 ? -1 : a.text().bytes == b.text().bytes ? 0 : 1;
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& left = a.as<List>().items;
    const auto& right = b.as<List>().items;
    for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
      if (!equal(runtime, left[i], right[i])) return compare(runtime, left[i], right[i], sign);
    }
    return left.size() < right.size() ? -1 : left.size() > right.size() ? 1 : 0;
  }
  runtime.fail("'" + sign + "' is not defined between " + type_name(a) + " and " + type_name(b));
}

/// Returns the items of a view: copies of keys, values or pairs.
inline std::vector<Value> view_items(Runtime& runtime, const View& view) {
  std::vector<Value> items;
  for (const auto& [key, value] : view.dict->entries) {
    items.push_back(view.part == "keys" ? key : view.part == "values" ? value : make_tuple(runtime, {key, value}));
  }
  return items;
}

inline bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::none:
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
    case Kind::space:
    case Kind::function: return false;
    default: return true;
  }
}

/// Returns a function that yields the next item of `value`, or returns false at the end.
inline std::function<bool(Value&)> iterate(Runtime& runtime, const Value& value) {
  const auto from = [&runtime](std::vector<Value> items) {
    return [&runtime, items = std::move(items), at = std::size_t{0}](Value& item) mutable {
      if (at == items.size()) return false;
      runtime.step();
      item = items[at++];
      return true;
    };
  };
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined: return [](Value&) { return false; };
    case Kind::text:
      return [&runtime, value, at = std::size_t{0}](Value& item) mutable {
        const Text& text = value.text();
        if (at == text.bytes.size()) return false;
        runtime.step();
        const std::size_t end = at + point_at(text.bytes, at).length;
        item = make_text(runtime, text.part(at, end));
        at = end;
        return true;
      };
    case Kind::list:
    case Kind::tuple:
      return [&runtime, value, at = std::size_t{0}](Value& item) mutable {
        const auto& items = value.as<List>().items;
        if (at == items.size()) return false;
        runtime.step();
        item = items[at++];
        return true;
      };
    case Kind::dict: {
      std::vector<Value> keys;
      for (const auto& entry : value.as<Dict>().entries) keys.push_back(entry.first);
      runtime.charge(keys.size() * sizeof(Value));
      return from(std::move(keys));
    }
    case Kind::view: return from(view_items(runtime, value.as<View>()));
    case Kind::range:
      return [&runtime, value, at = std::int64_t{0}](Value& item) mutable {
        const Range& range = value.as<Range>();
        if (at == range.size()) return false;
        runtime.step();
        item = range.start + at++ * range.step;
        return true;
      };
    case Kind::iterator:
      return [&runtime, value](Value& item) {
        Iterator& iterator = value.as<Iterator>();
        if (iterator.at == iterator.items.size()) {
          if (iterator.error) std::rethrow_exception(std::exchange(iterator.error, nullptr));
          return false;
        }
        runtime.step();
        item = iterator.items[iterator.at++];
        return true;
      };
    case Kind::loop:
      return [&runtime, value](Value& item) {
        Value next;
        Loop& loop = value.as<Loop>();
        if (!loop.next(next)) return false;
        runtime.step();
        ++loop.index0;
        loop.before = std::exchange(loop.current, next);
        item = make_tuple(runtime, {std::move(next), value});
        return true;
      };
    default: runtime.fail("a value of type " + type_name(value) + " is not iterable");
  }
}

/// Returns all items: `list(value)`.
inline std::vector<Value> items_of(Runtime& runtime, const Value& value) {
  if (value.is_sequence()) {
    runtime.step(value.as<List>().items.size());
    return value.as<List>().items;
  }
  std::vector<Value> items;
  Value item;
  for (const auto next = iterate(runtime, value); next(item);) {
    runtime.charge(sizeof(Value));
    items.push_back(item);
  }
  return items;
}

/// Returns the number of remaining items of a loop, which can still be read.
inline std::int64_t loop_length(Loop& loop) {
  if (loop.length < 0) {
    std::vector<Value> rest(loop.ahead.rbegin(), loop.ahead.rend());
    Value item;
    while (loop.pull(item)) rest.push_back(item);
    loop.length = loop.index0 + 1 + static_cast<std::int64_t>(rest.size());
    loop.ahead.assign(rest.rbegin(), rest.rend());
  }
  return loop.length;
}

/// Returns `len(value)`, or -1 if it has none.
inline std::int64_t length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined: return 0;
    case Kind::text: return static_cast<std::int64_t>(count_characters(value.text().bytes));
    case Kind::list:
    case Kind::tuple: return static_cast<std::int64_t>(value.as<List>().items.size());
    case Kind::dict: return static_cast<std::int64_t>(value.as<Dict>().entries.size());
    case Kind::view: return static_cast<std::int64_t>(value.as<View>().dict->entries.size());
    case Kind::range: return value.as<Range>().size();
    case Kind::loop: return loop_length(value.as<Loop>());
    default: return -1;
  }
}

/// Returns `item in container`.
inline bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text()) runtime.fail("'in' a text needs a text on its left, not " + type_name(item));
    runtime.step(1 + container.text().bytes.size() / 64);
    return container.text().bytes.find(item.text().bytes) != std::string::npos;
  }
  if (container.is(Kind::dict)) {
    runtime.step(1 + container.as<Dict>().entries.size() / 16);
    return find_entry(runtime, container.as<Dict>(), item) != nullptr;
  }
  Value other;
  for (const auto next = iterate(runtime, container); next(other);) {
    if (equal(runtime, other, item)) return true;
  }
  return false;
}

}  // namespace veneer::jinja
