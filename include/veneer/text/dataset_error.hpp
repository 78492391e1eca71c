// SPDX-License-Identifier: Apache-2.0
/// \file dataset_error.hpp
/// DatasetError: the errors in files of training data, and their position: the line, the key, the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/core/error.hpp"

namespace veneer {

enum class DatasetReason {
  // errors, in the order in which a line is checked
  other_file,         // Parquet, CSV, a compressed file
  line_too_long,      // over 64 MiB
  utf8,               // ill-formed bytes
  too_deep,           // over 512 levels
  json,               // not one JSON value (RFC 8259)
  not_an_object,      //
  surrogate,          // half a pair, as \ud800
  duplicate_key,      // a duplicate key in an object
  unknown_format,     // the first line has the keys of no format
  mixed_formats,      // a later line has the keys of another format
  missing_field,      //
  wrong_type,         //
  empty_messages,     // a list of messages without one
  unknown_role,       // not a role of messages
  unsupported_key,    // an unsupported key that changes the rendered text or the trained tokens
  no_assistant_turn,  // a conversation without a reply to train on
  bad_id,             // an id or label outside the vocabulary
  length_mismatch,    // different numbers of labels and ids
  empty_file,         // no record at all
  // notes: the file can be used
  empty_text,        // a record without text: dropped
  empty_target,      // only the end is trained on: kept
  no_trained_token,  // no label to train on: dropped
};

/// Returns the name of a reason, as in the list above.
inline std::string_view to_string(DatasetReason reason) {
  switch (reason) {
    case DatasetReason::other_file: return "other_file";
    case DatasetReason::line_too_long: return "line_too_long";
    case DatasetReason::utf8: return "utf8";
    case DatasetReason::too_deep: return "too_deep";
    case DatasetReason::json: return "json";
    case DatasetReason::not_an_object: return "not_an_object";
    case DatasetReason::surrogate: return "surrogate";
    case DatasetReason::duplicate_key: return "duplicate_key";
    case DatasetReason::unknown_format: return "unknown_format";
    case DatasetReason::mixed_formats: return "mixed_formats";
    case DatasetReason::missing_field: return "missing_field";
    case DatasetReason::wrong_type: return "wrong_type";
    case DatasetReason::empty_messages: return "empty_messages";
    case DatasetReason::unknown_role: return "unknown_role";
    case DatasetReason::unsupported_key: return "unsupported_key";
    case DatasetReason::no_assistant_turn: return "no_assistant_turn";
    case DatasetReason::bad_id: return "bad_id";
    case DatasetReason::length_mismatch: return "length_mismatch";
    case DatasetReason::empty_file: return "empty_file";
    case DatasetReason::empty_text: return "empty_text";
    case DatasetReason::empty_target: return "empty_target";
    case DatasetReason::no_trained_token: return "no_trained_token";
  }
  return "unknown";
}

/// A position in a file: lines are counted from 1 (0: the whole file), bytes from 0, from the start of the file.
struct DatasetPlace {
  std::size_t line = 0;
  std::string key = {};
  std::optional<std::uint64_t> byte = {};
};

/// Invalid data.
struct DatasetError : FormatError {
  DatasetError(DatasetReason why, DatasetPlace where, const std::string& file, const std::string& message)
      : FormatError(describe(where, file) + message), reason(why), place(std::move(where)) {}

  DatasetReason reason;
  DatasetPlace place;

 private:
  static std::string describe(const DatasetPlace& place, const std::string& file) {
    std::string text = file + ": ";
    if (place.line > 0) text += "line " + std::to_string(place.line);
    if (place.byte) text += (place.line > 0 ? " (byte " : "byte (") + std::to_string(*place.byte) + ")";
    if (place.line > 0 || place.byte) text += ": ";
    if (!place.key.empty()) text += '"' + place.key + "\": ";
    return text;
  }
};

}  // namespace veneer
