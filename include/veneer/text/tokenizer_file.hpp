// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_file.hpp
/// TokenizerFile: typed access to the values of a tokenizer.json, with errors that have the reason and the key.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include "veneer/io/json.hpp"
#include "veneer/text/tokenizer_error.hpp"

namespace veneer::detail {

/// A tokenizer.json and its path for messages. Keys are paths in the JSON: `model.merges[5]`.
class TokenizerFile {
 public:
  using Reason = TokenizerReason;

  TokenizerFile(const Json& root, const std::string& where) : root_(root), where_(where) {}

  const Json& root() const { return root_; }

  [[noreturn]] void fail(Reason reason, const std::string& key, const std::string& message) const {
    throw TokenizerError(reason, key, where_ + (key.empty() ? ": " : ": " + key + ": ") + message);
  }

  void expect(bool good, const std::string& key, const Json& found, const char* expected) const {
    if (!good) fail(Reason::wrong_type, key, std::string("expected ") + expected + ", found " + describe_json(found));
  }

  const Json& member(const Json& object, std::string_view name, const std::string& key) const {
    const Json* found = find_json(object, name);
    if (found == nullptr) fail(Reason::missing_field, key, "is missing");
    return *found;
  }

  bool flag(const Json& object, std::string_view name, const std::string& key) const {
    const std::string path = key + "." + std::string(name);
    const Json& value = member(object, name, path);
    expect(value.is_boolean(), path, value, "true or false");
    return value.get<bool>();
  }

  bool flag_or(const Json& object, std::string_view name, const std::string& key, bool otherwise) const {
    return find_json(object, name) == nullptr ? otherwise : flag(object, name, key);
  }

  const std::string& text(const Json& object, std::string_view name, const std::string& key) const {
    const std::string path = key + "." + std::string(name);
    const Json& value = member(object, name, path);
    expect(value.is_string(), path, value, "a text");
    return value.get_ref<const std::string&>();
  }

  /// Throws for unknown options, since they might change ids.
  void only(const Json& object, const std::string& key, std::initializer_list<std::string_view> known) const {
    for (auto entry = object.begin(); entry != object.end(); ++entry) {
      if (std::find(known.begin(), known.end(), entry.key()) != known.end()) continue;
      fail(Reason::unsupported_option, key + "." + printable(entry.key()), "unknown option; it might change ids");
    }
  }

  /// Returns the `type` of a component, which must be an object.
  const std::string& type_of(const Json& component, const std::string& key) const {
    expect(component.is_object(), key, component, "an object or null");
    return text(component, "type", key);
  }

  static bool is_absent(const Json* value) { return value == nullptr || value->is_null(); }

  const Json& list(const Json& object, std::string_view name, const std::string& key) const {
    const std::string path = key + "." + std::string(name);
    const Json& value = member(object, name, path);
    expect(value.is_array(), path, value, "a list");
    return value;
  }

  std::int32_t id(const Json& value, const std::string& key) const {
    expect(value.is_number(), key, value, "an id");
    constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > static_cast<double>(largest)) {
      fail(Reason::bad_id, key, "expected an id from 0 to 2^31 - 1, found " + describe_json(value));
    }
    return value.get<std::int32_t>();
  }

 private:
  const Json& root_;
  const std::string& where_;
};

}  // namespace veneer::detail
