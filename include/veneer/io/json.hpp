// SPDX-License-Identifier: Apache-2.0
/// \file json.hpp
/// Strict JSON values: parsing with limits, and typed access whose errors name the file and the key.
///
///     const Json config = read_json("model/config.json");
///     const std::int64_t hidden = json_integer(config, "hidden_size", "model/config.json");
///     const auto heads = find_integer(config, "num_key_value_heads", "model/config.json");  // empty if absent or null
///
/// Duplicate keys in an object are refused, integers are exact, and the order of the file is kept.
/// veneer/io/json_events.hpp lists the other errors. RFC 8259.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/io/json_dump.hpp"
#include "veneer/io/json_events.hpp"

namespace veneer {

namespace detail {

/// A builder of values from events. Members are appended, and names compared once, at the end of an object: a search at
/// each insertion would take quadratic time for a vocabulary, and a hash table can be flooded by a hostile file.
class JsonBuilder {
 public:
  explicit JsonBuilder(const JsonSource& source) : source_(source) {}

  void null() { add(nullptr); }
  void boolean(bool value) { add(value); }
  void integer(std::int64_t value) { add(value); }
  void unsigned_integer(std::uint64_t value) { add(value); }
  void number(double value) { add(value); }
  void text(std::string&& value) { add(std::move(value)); }
  void begin_array() { open_.push_back({add(Json::array()), {}}); }
  void begin_object() { open_.push_back({add(Json::object()), {}}); }
  void end_array() { open_.pop_back(); }

  void key(std::string&& name) {
    Frame& frame = open_.back();
    static_cast<Entries&>(frame.value->get_ref<Json::object_t&>()).emplace_back(std::move(name), nullptr);
    frame.name_ends.push_back(source_.read);
  }

  void end_object() {
    const Frame& frame = open_.back();
    const Entries& entries = frame.value->get_ref<const Json::object_t&>();
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return entries[a].first < entries[b].first; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const std::string& name = entries[order[i]].first;
      if (name != entries[order[i - 1]].first) continue;
      source_.fail(JsonRule::duplicate, frame.name_ends[order[i]] - 1,
                   "the name \"" + printable(name) + "\" is given twice in one object: remove one of the two");
    }
    open_.pop_back();
  }

  Json take() { return std::move(root_); }

 private:
  using Entries = Json::object_t::Container;
  struct Frame {
    Json* value;  // a stable address: only the innermost open container grows
    std::vector<std::size_t> name_ends;
  };

  template <class Value>
  Json* add(Value&& value) {
    if (open_.empty()) {
      root_ = Json(std::forward<Value>(value));
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      parent.push_back(Json(std::forward<Value>(value)));
      return &parent.back();
    }
    Json& slot = static_cast<Entries&>(parent.get_ref<Json::object_t&>()).back().second;
    slot = Json(std::forward<Value>(value));
    return &slot;
  }

  const JsonSource& source_;
  Json root_;
  std::vector<Frame> open_;
};

}  // namespace detail

/// Parses `text`. `where` names the text in messages: a path, or a path and a line. Throws `JsonError`.
inline Json parse_json(std::string_view text, const std::string& where, JsonLimits limits = {}) {
  detail::JsonSource source{text, where};
  detail::JsonBuilder builder(source);
  read_json_events(source, limits, builder);
  return builder.take();
}

/// Parses a file. Throws `IoError` if it cannot be read, `JsonError` if it is not JSON within the limits.
inline Json read_json(const std::filesystem::path& path, JsonLimits limits = {}) {
  return parse_json(read_text(path, limits.bytes), path.string(), limits);
}

/// Returns a short description of `value` for a message: `the text "relu"`, `the number 3.5`, `an object`.
inline std::string describe_json(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_null()) return "null";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_string()) return "the text \"" + printable(value.get_ref<const std::string&>(), 60) + '"';
  return "the number " + dump_python(value);
}

/// Returns the value of `key`, or null if `object` has no such key.
inline const Json* find_json(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

/// Returns the value of `key`. Throws `FormatError` if `object` is not an object or has no such key.
inline const Json& json_member(const Json& object, std::string_view key, const std::string& where) {
  expects<FormatError>(object.is_object(), where + ": expected an object, found " + describe_json(object));
  const Json* found = find_json(object, key);
  if (found == nullptr) throw FormatError(where + ": the key \"" + std::string(key) + "\" is missing");
  return *found;
}

/// Reads `value` as `Value`: bool, std::int64_t, double (integers too), std::string, or a vector of one of them.
/// `what` names the value in the message: the file and the key. Kinds are not converted: 2.0 is not an integer, 1 is
/// not a boolean.
template <class Value>
Value json_as(const Json& value, const std::string& what) {
  const auto refuse = [&](const char* expected) {
    throw FormatError(what + ": expected " + expected + ", found " + describe_json(value));
  };
  if constexpr (std::is_same_v<Value, bool>) {
    if (!value.is_boolean()) refuse("true or false");
    return value.get<bool>();
  } else if constexpr (std::is_same_v<Value, std::int64_t>) {
    if (!value.is_number_integer()) refuse("an integer");
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > largest) refuse("an integer below 2^63");
    return value.get<std::int64_t>();
  } else if constexpr (std::is_same_v<Value, double>) {
    if (!value.is_number()) refuse("a number");
    return value.get<double>();
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!value.is_string()) refuse("a text");
    return value.get<std::string>();
  } else {
    if (!value.is_array()) refuse("a list");
    Value items;
    items.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
      items.push_back(json_as<typename Value::value_type>(value[i], what + "[" + std::to_string(i) + "]"));
    }
    return items;
  }
}

/// Returns the value of `key` as `Value`. The key is required.
template <class Value>
Value json_get(const Json& object, std::string_view key, const std::string& where) {
  return json_as<Value>(json_member(object, key, where), where + ": \"" + std::string(key) + '"');
}

/// Returns the value of `key` as `Value`, or nullopt if the key is absent or null.
template <class Value>
std::optional<Value> json_find(const Json& object, std::string_view key, const std::string& where) {
  expects<FormatError>(object.is_object(), where + ": expected an object, found " + describe_json(object));
  const Json* found = find_json(object, key);
  if (found == nullptr || found->is_null()) return std::nullopt;
  return json_as<Value>(*found, where + ": \"" + std::string(key) + '"');
}

// Accessors by kind. `json_...` requires the key; `find_...` returns nullopt if it is absent or null. `where`
// is the file.

inline std::int64_t json_integer(const Json& object, std::string_view key, const std::string& where) {
  return json_get<std::int64_t>(object, key, where);
}
inline double json_number(const Json& object, std::string_view key, const std::string& where) {
  return json_get<double>(object, key, where);
}
inline bool json_boolean(const Json& object, std::string_view key, const std::string& where) {
  return json_get<bool>(object, key, where);
}
inline std::string json_text(const Json& object, std::string_view key, const std::string& where) {
  return json_get<std::string>(object, key, where);
}
inline std::optional<std::int64_t> find_integer(const Json& object, std::string_view key, const std::string& where) {
  return json_find<std::int64_t>(object, key, where);
}
inline std::optional<double> find_number(const Json& object, std::string_view key, const std::string& where) {
  return json_find<double>(object, key, where);
}
inline std::optional<bool> find_boolean(const Json& object, std::string_view key, const std::string& where) {
  return json_find<bool>(object, key, where);
}
inline std::optional<std::string> find_text(const Json& object, std::string_view key, const std::string& where) {
  return json_find<std::string>(object, key, where);
}

}  // namespace veneer
