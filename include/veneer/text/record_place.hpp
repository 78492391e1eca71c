// SPDX-License-Identifier: Apache-2.0
/// \file record_place.hpp
/// RecordPlace: the line of a record, and access to its fields with errors that name line and key.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/io/json.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/json_scan.hpp"

namespace veneer {

/// Returns a short description of a field of a record or message: "null", "a list", "the number 3".
inline std::string describe_field(const JsonField& field) {
  switch (field.kind) {
    case JsonKind::null: return "null";
    case JsonKind::string: return "the text " + printable(field.value, 40);
    case JsonKind::array: return "a list";
    case JsonKind::object: return "an object";
    default: return printable(field.value, 40);
  }
}

/// Returns whether a field is empty: null, "", [] or {}.
inline bool is_empty_field(const JsonField& field) {
  if (field.kind == JsonKind::null) return true;
  if (field.kind == JsonKind::boolean || field.kind == JsonKind::number) return false;
  const std::string_view inside = field.value.substr(1, field.value.size() - 2);
  return field.kind == JsonKind::string ? inside.empty()
                                        : inside.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

class RecordPlace {
 public:
  /// \param file  must outlive this object
  RecordPlace(std::size_t line, const std::string& file) : line_(line), file_(file) {}

  std::size_t line() const { return line_; }

  [[noreturn]] void fail(DatasetReason reason, const std::string& key, const std::string& message) const {
    throw DatasetError(reason, {line_, key, {}}, file_, message);
  }

  [[noreturn]] void fail_kind(const JsonField& field, const std::string& key, const std::string& expected) const {
    fail(DatasetReason::wrong_type, key, "found " + describe_field(field) + ", expected " + expected);
  }

  /// Returns the field with this name. `within` is the path of the object in the record.
  const JsonField& need(const JsonScan& scan, const std::string& name, const std::string& within = {}) const {
    const JsonField* field = scan.find(name);
    if (field == nullptr) fail(DatasetReason::missing_field, within + name, "is missing");
    return *field;
  }

  std::string need_text(const JsonField& field, const std::string& within = {}) const {
    if (field.kind != JsonKind::string) fail_kind(field, within + std::string(field.name), "a text");
    return unescape_json(field.value);
  }

  /// Returns a field that must be a list. `of` describes its items.
  const JsonField& need_list(const JsonField& field, const std::string& of) const {
    if (field.kind != JsonKind::array) fail_kind(field, std::string(field.name), "a list of " + of);
    return field;
  }

  /// Parses the JSON in a text, which is at `key` in the record.
  Json parse(std::string_view text, const std::string& key) const {
    try {
      return parse_json(text, "its value", {std::size_t{64} << 20, 512});
    } catch (const JsonError& error) {
      fail(DatasetReason::json, key, error.what());
    }
  }

 private:
  std::size_t line_;
  const std::string& file_;
};

}  // namespace veneer
