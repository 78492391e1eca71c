// SPDX-License-Identifier: Apache-2.0
/// \file dataset.hpp
/// DatasetReader: reads records of training data, one JSON object per line, or a plain text.
///
///     {"messages": [{"role": "user", "content": "2+2?"},   the replies of the assistant are trained on
///                   {"role": "assistant", "content": "4"}]}
///     {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}         the same
///     {"prompt": "2+2=", "completion": "4"}                the text after the prompt is trained on
///     {"prompt": [MESSAGES], "completion": [MESSAGES]}     one conversation; its replies in the completion
///     {"instruction": "Add.", "input": "2 2", "output": "4"}    the output; `input` is optional
///     {"text": "Once upon a time"}                          all of it
///     {"input_ids": [1, 5, 9], "labels": [-100, 5, 9]}     ids; all of them if there are no labels
///     anything in a file whose name ends in .txt           one text
///
/// Conversations may have `system`, `tools`, `documents` and `chat_template_kwargs`, instructions `system` and
/// `history`; messages: message_fields.hpp.
///
/// The keys of the first line decide the format of all; in this order if a line has the keys of several: `messages`,
/// `conversations`, `prompt` and `completion`, `instruction` and `output`, `text`, `input_ids`. A record with an
/// unsupported key that would change the rendered text or the trained tokens is an error (record_fields.hpp); other
/// keys are ignored. Files are read line by line. Lines of white space are skipped but counted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/text/dataset_error.hpp"
#include "veneer/text/file_kind.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/line_reader.hpp"
#include "veneer/text/plain_text.hpp"
#include "veneer/text/record.hpp"
#include "veneer/text/record_fields.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// A reader of the records of a file, one at a time.
class DatasetReader {
 public:
  /// \param rows  exclusive bound of ids and labels in the file; 0 if unknown. Throws `IoError`.
  explicit DatasetReader(const std::filesystem::path& path, std::int32_t rows = 0)
      : rows_(rows), path_(path), name_(path.string()), lines_(path) {
    if (is_plain_text(path)) format_ = DatasetFormat::plain;
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

  /// Returns the format, after the first record was read. Prompts and completions that are lists of
  /// messages are `messages`.
  std::optional<DatasetFormat> format() const { return lists_ ? DatasetFormat::messages : format_; }

  /// Returns notes on dropped records (`empty_text`), and on records with few trained tokens (`empty_target`).
  const DatasetNotes& dropped() const { return dropped_; }
  const DatasetNotes& warnings() const { return warnings_; }

 private:
  using Reason = DatasetReason;

  [[noreturn]] void fail(Reason reason, DatasetPlace place, const std::string& message) const {
    throw DatasetError(reason, std::move(place), name_, message);
  }

  static bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos; }

  /// Reads a line. Returns false if it has no record to keep.
  bool read_line(const Line& line, Record& record) {
    const std::string_view text = line.text;
    const auto at = [&](std::size_t byte) { return DatasetPlace{line.number, "", line.offset + byte}; };
    if (!format_) {
      const std::size_t begin = std::min(text.find_first_not_of(" \t\r"), text.size());
      if (const auto kind = binary_kind(text.substr(begin))) fail(Reason::other_file, {}, *kind);
    }
    if (const auto bad = find_invalid_utf8(text))
      fail(Reason::utf8, at(*bad), "the bytes are not UTF-8: save the file as UTF-8");
    if (is_blank(text)) return false;
    constexpr std::size_t depth_limit = 512;
    if (json_depth(text) > depth_limit) fail(Reason::too_deep, {line.number, "", {}}, "nested deeper than 512 levels");
    const JsonScan scan = scan_json(text);
    if (scan.syntax_error) {
      if (const auto kind = format_ ? std::nullopt : text_kind(text, path_))
        fail(Reason::json, at(*scan.syntax_error), *kind);
      fail(Reason::json, at(*scan.syntax_error), "not valid JSON: expected one object per line, on one line");
    }
    if (scan.kind != JsonKind::object) {
      fail(Reason::not_an_object, {line.number, "", {}},
           scan.kind == JsonKind::array ? "found a list, expected a JSON object per line: jq -c '.[]' writes a list so"
                                        : "expected a JSON object");
    }
    if (scan.lone_surrogate) fail(Reason::surrogate, at(*scan.lone_surrogate), "an escape is half of a surrogate pair");
    if (scan.duplicate) {
      fail(Reason::duplicate_key, {line.number, *scan.duplicate, {}}, "is given twice: remove one of the two");
    }
    return read_object(scan, record);
  }

  bool read_object(const JsonScan& scan, Record& record) {
    const std::optional<DatasetFormat> found = detect_format(scan);
    if (!format_ && !found) {
      fail(Reason::unknown_format, {line_, "", {}},
           "has the keys of no format; expected messages, conversations, prompt and completion, instruction and "
           "output, text, or input_ids");
    }
    if (!format_) {
      format_ = found;
    } else if (found && *found != *format_) {
      fail(Reason::mixed_formats, {line_, "", {}},
           "has the keys of \"" + std::string(to_string(*found)) + "\", the first record those of \"" +
               std::string(to_string(*format_)) + "\": a file has one format");
    }
    const std::optional<Reason> note = RecordFields(scan, line_, name_, rows_).read(*format_, record);
    lists_ = lists_ || (format_ == DatasetFormat::prompt_completion && record.is_conversation());
    if (note == Reason::empty_text) return dropped_.add(line_, *note), false;
    if (note) warnings_.add(line_, *note);
    return true;
  }

  bool next_plain(Record& record) {
    if (std::exchange(done_, true)) return false;
    record = Record{};
    record.format = DatasetFormat::plain;
    record.line = 1;
    record.text = PlainText(path_).text();
    return true;
  }

  std::int32_t rows_;
  std::filesystem::path path_;
  std::string name_;
  LineReader lines_;
  std::optional<DatasetFormat> format_;
  std::size_t line_ = 0;
  bool lists_ = false;  // some prompts and completions are lists of messages
  bool done_ = false;   // the one text of a plain file is read
  DatasetNotes dropped_;
  DatasetNotes warnings_;
};

}  // namespace veneer
