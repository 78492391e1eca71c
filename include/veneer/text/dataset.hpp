// SPDX-License-Identifier: Apache-2.0
/// \file dataset.hpp
/// Records of training data, one JSON object a line, or a plain text.
///
///     {"prompt": "2+2=", "completion": "4"}                what comes after the prompt is learned
///     {"text": "Once upon a time"}                         all of it is learned
///     {"input_ids": [1, 5, 9], "labels": [-100, 5, 9]}     ids already, used as they are; all is learned if no labels
///     anything in a file whose name ends in .txt           one text
///
/// The keys of the first line decide the format of all; in this order where a line has the keys of several: `messages`,
/// `conversations`, `prompt` and `completion`, `instruction` and `output`, `text`, `input_ids`. Other keys may hold
/// anything and are left aside. Files are read a line at a time. Lines of white space are skipped but counted.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/label.hpp"
#include "veneer/io/file.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/line_reader.hpp"

namespace veneer {

enum class DatasetFormat { messages, conversations, prompt_completion, instruction, text, input_ids, plain };

/// The name of a format as messages give it.
inline std::string_view to_string(DatasetFormat format) {
  constexpr std::array<std::string_view, 7> names{
      "messages", "conversations", "prompt + completion", "instruction + output", "text", "input_ids", "plain text"};
  return names[static_cast<std::size_t>(format)];
}

/// One record. What its format does not have is empty.
struct Record {
  DatasetFormat format = DatasetFormat::text;
  std::size_t line = 0;
  std::string prompt;
  std::string text;                  // the completion, or the text
  std::vector<std::int32_t> ids;     // (tokens)
  std::vector<std::int32_t> labels;  // (tokens), not shifted; `ignored_label` where nothing is learned
};

/// What was noticed in a file that can be used.
struct DatasetNote {
  std::size_t line;
  DatasetReason reason;
  friend bool operator==(const DatasetNote&, const DatasetNote&) = default;
};

/// Notes in the order of lines; only the first are kept, all are counted.
class DatasetNotes {
 public:
  static constexpr std::size_t kept = 1000;

  void add(std::size_t line, DatasetReason reason) {
    if (first_.size() < kept) first_.push_back({line, reason});
    ++count_;
  }
  std::size_t count() const { return count_; }
  const std::vector<DatasetNote>& first() const { return first_; }

 private:
  std::vector<DatasetNote> first_;
  std::size_t count_ = 0;
};

/// Reads the records of a file, one at a time.
class DatasetReader {
 public:
  /// `rows`: ids and labels in the file must be below; 0 if that is not known. Throws `IoError`.
  explicit DatasetReader(const std::filesystem::path& path, std::int32_t rows = 0)
      : rows_(rows), name_(path.string()), lines_(path, line_limit(path)) {
    if (is_plain(path)) format_ = DatasetFormat::plain;
  }

  /// Reads the next record; false at the end. Throws `DatasetError` and `IoError`.
  bool next(Record& record) {
    if (format_ == DatasetFormat::plain) return next_plain(record);
    while (const std::optional<Line> line = lines_.next()) {
      line_ = line->number;
      if (read_line(*line, record)) return true;
    }
    if (!format_) fail(DatasetReason::empty_file, {}, "holds no record");
    return false;
  }

  /// The format, once the first record is read.
  std::optional<DatasetFormat> format() const { return format_; }

  /// Records that were dropped (`empty_text`), and those that have little to learn from (`empty_target`).
  const DatasetNotes& dropped() const { return dropped_; }
  const DatasetNotes& warnings() const { return warnings_; }

 private:
  using Reason = DatasetReason;

  [[noreturn]] void fail(Reason reason, DatasetPlace place, const std::string& message) const {
    throw DatasetError(reason, std::move(place), name_, message);
  }

  [[noreturn]] void fail_key(Reason reason, const std::string& key, const std::string& message) const {
    fail(reason, {line_, key, {}}, message);
  }

  static bool is_plain(const std::filesystem::path& path) { return path.extension() == ".txt"; }

  /// A record must fit a line; a plain text may have lines of any length.
  static std::size_t line_limit(const std::filesystem::path& path) {
    return is_plain(path) ? std::numeric_limits<std::size_t>::max() : std::size_t{64} << 20;
  }

  static bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos; }

  /// False if the line holds no record to keep.
  bool read_line(const Line& line, Record& record) {
    const std::string_view text = line.text;
    const auto at = [&](std::size_t byte) { return DatasetPlace{line.number, "", line.offset + byte}; };
    if (const auto bad = find_invalid_utf8(text))
      fail(Reason::utf8, at(*bad), "the bytes are not UTF-8: save the file as UTF-8");
    if (is_blank(text)) return false;
    constexpr std::size_t depth_limit = 512;
    if (json_depth(text) > depth_limit) fail(Reason::too_deep, {line.number, "", {}}, "nested deeper than 512 levels");
    const JsonScan scan = scan_json(text);
    if (scan.syntax_error) {
      fail(Reason::json, at(*scan.syntax_error), "not valid JSON: expected one object a line, on one line");
    }
    if (scan.kind != JsonKind::object) fail(Reason::not_an_object, {line.number, "", {}}, "expected a JSON object");
    if (scan.lone_surrogate) fail(Reason::surrogate, at(*scan.lone_surrogate), "an escape is half of a surrogate pair");
    if (scan.duplicate) fail_key(Reason::duplicate_key, *scan.duplicate, "is given twice: remove one of the two");
    return read_object(scan, record);
  }

  bool read_object(const JsonScan& scan, Record& record) {
    const std::optional<DatasetFormat> found = detect(scan);
    if (!format_) {
      if (!found) {
        fail_key(Reason::unknown_format, "",
                 "has the keys of no format; expected prompt and completion, text, or input_ids");
      }
      format_ = found;
    } else if (found && *found != *format_) {
      fail_key(Reason::mixed_formats, "",
               "has the keys of \"" + std::string(to_string(*found)) + "\", the first record those of \"" +
                   std::string(to_string(*format_)) + "\": one format a file");
    }
    record = Record{};
    record.format = *format_;
    record.line = line_;
    switch (*format_) {
      case DatasetFormat::prompt_completion: return read_prompt_completion(scan, record);
      case DatasetFormat::text: return read_text_field(scan, record);
      case DatasetFormat::input_ids: return read_ids(scan, record);
      default: refuse(to_string(*format_));
    }
  }

  [[noreturn]] void refuse(std::string_view form) const {
    fail_key(Reason::unsupported_format, "",
             "the form \"" + std::string(form) +
                 "\" is not supported yet; forms that are: prompt + "
                 "completion (texts), text, input_ids (+ labels), plain .txt files");
  }

  static std::optional<DatasetFormat> detect(const JsonScan& scan) {
    const auto has = [&](std::string_view name) { return scan.find(name) != nullptr; };
    if (has("messages")) return DatasetFormat::messages;
    if (has("conversations")) return DatasetFormat::conversations;
    if (has("prompt") && has("completion")) return DatasetFormat::prompt_completion;
    if (has("instruction") && has("output")) return DatasetFormat::instruction;
    if (has("text")) return DatasetFormat::text;
    if (has("input_ids")) return DatasetFormat::input_ids;
    return std::nullopt;
  }

  const JsonField& need(const JsonScan& scan, const std::string& name) const {
    const JsonField* field = scan.find(name);
    if (field == nullptr) fail_key(Reason::missing_field, name, "is missing");
    return *field;
  }

  std::string need_text(const JsonField& field) const {
    if (field.kind != JsonKind::string) fail_key(Reason::wrong_type, std::string(field.name), "expected a text");
    return unescape_json(field.value);
  }

  bool read_prompt_completion(const JsonScan& scan, Record& record) {
    const JsonField& prompt = need(scan, "prompt");
    const JsonField& completion = need(scan, "completion");
    const bool lists = prompt.kind == JsonKind::array;
    if (lists && completion.kind == JsonKind::array) refuse("prompt + completion as lists of messages");
    if (lists) fail_key(Reason::wrong_type, "completion", "expected a list of messages, as the prompt is one");
    record.prompt = need_text(prompt);
    record.text = need_text(completion);
    if (record.prompt.empty() && record.text.empty()) return drop();
    if (record.text.empty()) warnings_.add(line_, Reason::empty_target);
    return true;
  }

  bool read_text_field(const JsonScan& scan, Record& record) {
    record.text = need_text(need(scan, "text"));
    return record.text.empty() ? drop() : true;
  }

  bool read_ids(const JsonScan& scan, Record& record) {
    record.ids = need_ids(need(scan, "input_ids"), 0);
    const JsonField* labels = scan.find("labels");
    record.labels = labels == nullptr ? record.ids : need_ids(*labels, ignored_label);
    if (record.labels.size() != record.ids.size()) {
      fail_key(
          Reason::length_mismatch, "labels",
          "holds " + std::to_string(record.labels.size()) + " numbers, input_ids " + std::to_string(record.ids.size()));
    }
    return record.ids.empty() ? drop() : true;
  }

  bool drop() {
    dropped_.add(line_, Reason::empty_text);
    return false;
  }

  /// A list of ids; `lowest` is the one negative number that may be among them, or 0.
  std::vector<std::int32_t> need_ids(const JsonField& field, std::int32_t lowest) const {
    if (field.kind != JsonKind::array)
      fail_key(Reason::wrong_type, std::string(field.name), "expected a list of integers");
    const std::string_view list = field.value.substr(1, field.value.size() - 2);
    constexpr std::string_view between = " \t\n\r,";
    std::vector<std::int32_t> ids;
    const auto refuse_item = [&](Reason reason, std::string_view found) {
      fail_key(reason, std::string(field.name) + "[" + std::to_string(ids.size()) + "]",
               "found " + printable(found, 40) + ", expected an id" +
                   (rows_ > 0 ? " below " + std::to_string(rows_) : "") + (lowest < 0 ? " or -100" : ""));
    };
    // The list is known to be JSON, so numbers are what stands between commas, if numbers are all there is.
    for (std::size_t at = list.find_first_not_of(between); at < list.size();) {
      const std::size_t end = std::min(list.find_first_of(between, at), list.size());
      const std::string_view number = list.substr(at, end - at);
      if (number.find_first_not_of("-0123456789") != std::string_view::npos) refuse_item(Reason::wrong_type, number);
      std::int32_t id = 0;
      const auto read = std::from_chars(number.data(), number.data() + number.size(), id);
      const bool outside = (id < 0 && id != lowest) || (rows_ > 0 && id >= rows_);
      if (read.ec != std::errc{} || outside) refuse_item(Reason::bad_id, number);
      ids.push_back(id);
      at = list.find_first_not_of(between, end);
    }
    return ids;
  }

  bool next_plain(Record& record) {
    if (done_) return false;
    done_ = true;
    record = Record{};
    record.format = DatasetFormat::plain;
    record.line = 1;
    while (const std::optional<Line> line = lines_.next()) {
      if (const auto bad = find_invalid_utf8(line->text)) {
        fail(Reason::utf8, {line->number, "", line->offset + *bad}, "the bytes are not UTF-8: save the file as UTF-8");
      }
      record.text.append(line->text);
      if (line->ended) record.text += '\n';
    }
    if (record.text.empty()) fail(Reason::empty_file, {}, "holds no text");
    return true;
  }

  std::int32_t rows_;
  std::string name_;
  LineReader lines_;
  std::optional<DatasetFormat> format_;
  std::size_t line_ = 0;
  bool done_ = false;  // the one text of a plain file is read
  DatasetNotes dropped_;
  DatasetNotes warnings_;
};

}  // namespace veneer
