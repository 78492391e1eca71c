// SPDX-License-Identifier: Apache-2.0
/// \file access.hpp
/// `object.name`, `object[index]` and slices, with the rules of jinja2's immutable sandbox.
///
/// `object.name` prefers an attribute (a method, `loop.index`) over an item, `object[index]` the item. Missing
/// names are undefined, and so are those hidden by the sandbox: names with a leading underscore, and methods that
/// change their object.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/jinja/methods.hpp"
#include "veneer/text/jinja/operations.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

inline Value loop_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  Loop& loop = value.as<Loop>();
  Value item;
  if (name == "index") return loop.index0 + 1;
  if (name == "index0") return loop.index0;
  if (name == "first") return loop.index0 == 0;
  if (name == "last") return !loop.peek(item);
  if (name == "length") return loop_length(loop);
  if (name == "revindex") return loop_length(loop) - loop.index0;
  if (name == "revindex0") return loop_length(loop) - loop.index0 - 1;
  if (name == "depth") return loop.depth0 + 1;
  if (name == "depth0") return loop.depth0;
  if (name == "previtem") return loop.index0 > 0 ? loop.before : make_undefined("there is no previous item");
  if (name == "nextitem") return loop.peek(item) ? item : make_undefined("there is no next item");
  if (name == "cycle") {
    return make_function(
        runtime, name,
        [value](Runtime& caller, Arguments& arguments) {
          const auto& items = arguments.positional;
          if (items.empty()) caller.fail("loop.cycle: no items to choose from");
          return items[static_cast<std::size_t>(value.as<Loop>().index0) % items.size()];
        },
        value);
  }
  if (name == "changed") {
    return make_function(
        runtime, name,
        [value](Runtime& caller, Arguments& arguments) -> Value {
          const Value now = make_tuple(caller, arguments.positional);
          Value& before = value.as<Loop>().changed;
          if (!before.is_missing() && equal(caller, before, now)) return false;
          before = now;
          return true;
        },
        value);
  }
  return {};
}

/// Returns the attribute `name`, or missing.
inline Value find_attribute(Runtime& runtime, const Value& object, const std::string& name) {
  switch (object.kind()) {
    case Kind::undefined:
    case Kind::missing: fail_undefined(runtime, object);
    case Kind::loop: return loop_attribute(runtime, object, name);
    case Kind::space: {
      const Value* found = find_entry(object.as<Space>().attributes, name);
      return found == nullptr ? Value() : *found;
    }
    case Kind::function:
      if (name == "name" && object.as<Function>().self.is_missing()) {
        return make_text(runtime, object.as<Function>().name);
      }
      return {};
    case Kind::range: {
      const Range& range = object.as<Range>();
      if (name == "start") return range.start;
      if (name == "stop") return range.stop;
      if (name == "step") return range.step;
      return find_method(runtime, object, name);
    }
    case Kind::tuple:
      if (object.as<List>().grouped && (name == "grouper" || name == "list")) {
        return object.as<List>().items[name == "list" ? 1 : 0];
      }
      return find_method(runtime, object, name);
    default: return find_method(runtime, object, name);
  }
}

/// Returns `object[key]` for values that Python can index, or missing.
inline Value find_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(runtime, object);
  if (object.is(Kind::dict)) {
    if (key.is(Kind::list) || key.is(Kind::dict)) return {};
    const Value* found = find_entry(runtime, object.as<Dict>(), key);
    return found == nullptr ? Value() : *found;
  }
  if (!key.is_integer()) return {};
  const bool indexable = object.is_text() || object.is_sequence() || object.is(Kind::range);
  if (!indexable) return {};
  const std::int64_t size = length_of(object);
  const std::int64_t index = key.integer() < 0 ? key.integer() + size : key.integer();
  if (index < 0 || index >= size) return {};
  if (object.is_sequence()) return object.as<List>().items[static_cast<std::size_t>(index)];
  if (object.is(Kind::range)) return object.as<Range>().start + index * object.as<Range>().step;
  const Text& text = object.text();
  runtime.step(1 + text.bytes.size() / 64);
  const std::size_t at = byte_of_character(text.bytes, static_cast<std::size_t>(index));
  return make_text(runtime, text.part(at, at + point_at(text.bytes, at).length));
}

inline std::string missing_message(const Value& object, const std::string& what) {
  return "a value of type " + type_name(object) + " has no '" + printable(what, 60) + "'";
}

/// Returns `object.name`.
inline Value get_attribute(Runtime& runtime, const Value& object, const Value& key) {
  const std::string& name = key.text().bytes;
  if (object.is_undefined() && name.starts_with("__")) return make_undefined("names with '__' are hidden");
  Value found = find_attribute(runtime, object, name);
  if (found.is_missing()) {
    found = find_item(runtime, object, key);
  } else if (name[0] == '_') {
    found = {};
  }
  return found.is_missing() ? make_undefined(missing_message(object, name)) : found;
}

/// Returns `object[key]`.
inline Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  Value found = find_item(runtime, object, key);
  if (found.is_missing() && key.is_text() && !key.text().bytes.empty()) {
    found = find_attribute(runtime, object, key.text().bytes);
    if (key.text().bytes[0] == '_') found = {};
  }
  if (!found.is_missing()) return found;
  return make_undefined(
      missing_message(object, key.is_text() ? key.text().bytes : "element " + to_repr(runtime, key).bytes));
}

/// Returns the items start, start + step, ... before stop, as Python's `slice.indices`.
inline Range slice_range(Runtime& runtime, std::int64_t size, const Value (&parts)[3]) {
  std::optional<std::int64_t> given[3];
  for (std::size_t i = 0; i < 3; ++i) {
    if (parts[i].is_missing() || parts[i].is(Kind::none)) continue;
    if (!parts[i].is_integer()) runtime.fail("a slice takes integers, not " + type_name(parts[i]));
    given[i] = parts[i].integer();
  }
  const std::int64_t furthest = size + 1;  // a longer step also takes one item
  const std::int64_t step = std::clamp(given[2].value_or(1), -furthest, furthest);
  if (step == 0) runtime.fail("the step of a slice is 0");
  const std::int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
  const auto bound = [&](const std::optional<std::int64_t>& value, std::int64_t otherwise) {
    if (!value) return otherwise;
    return std::clamp(*value < 0 ? *value + size : *value, low, high);
  };
  return {bound(given[0], step < 0 ? high : low), bound(given[1], step < 0 ? low : high), step};
}

inline std::vector<std::size_t> slice_indices(Runtime& runtime, const Range& range) {
  std::vector<std::size_t> indices;
  runtime.step(static_cast<std::size_t>(range.size()) / 8);
  for (std::int64_t i = 0; i < range.size(); ++i) {
    indices.push_back(static_cast<std::size_t>(range.start + i * range.step));
  }
  return indices;
}

/// Returns `object[start:stop:step]`.
inline Value get_slice(Runtime& runtime, const Value& object, const Value (&parts)[3]) {
  if (object.is_undefined()) fail_undefined(runtime, object);
  const bool sliceable = object.is_text() || object.is_sequence() || object.is(Kind::range);
  if (!sliceable) runtime.fail("a value of type " + type_name(object) + " cannot be sliced");
  const Range slice = slice_range(runtime, length_of(object), parts);
  if (object.is(Kind::range)) {
    const Range& range = object.as<Range>();
    const auto at = [&](std::int64_t index) { return range.start + index * range.step; };
    return {Kind::range, std::make_shared<Range>(Range{at(slice.start), at(slice.stop), range.step * slice.step})};
  }
  const auto indices = slice_indices(runtime, slice);
  if (object.is_sequence()) {
    std::vector<Value> items;
    for (const std::size_t index : indices) items.push_back(object.as<List>().items[index]);
    return make_list(runtime, std::move(items), object.kind());
  }
  const Text& text = object.text();
  const auto offsets = character_offsets(text.bytes);
  runtime.charge(offsets.size() * sizeof(std::size_t));
  const bool contiguous = indices.size() < 2 || indices[1] == indices[0] + 1;
  if (indices.empty()) return make_text(runtime, text.part(0, 0));
  if (contiguous) return make_text(runtime, text.part(offsets[indices.front()], offsets[indices.back() + 1]));
  Text out;
  out.markup = text.markup;
  for (const std::size_t index : indices) {
    out.add(std::string_view(text.bytes).substr(offsets[index], offsets[index + 1] - offsets[index]),
            text.is_input(offsets[index]));
  }
  return make_text(runtime, std::move(out));
}

}  // namespace veneer::jinja
