// SPDX-License-Identifier: Apache-2.0
/// \file record_fields.hpp
/// RecordFields: the fields of a line of JSON as one record, for each format of `dataset.hpp`.
///
/// The prompts of instruction + output are those of Stanford Alpaca (Taori et al. 2023), which many published data sets
/// were made for.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/label.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/record.hpp"

namespace veneer {

/// The prompt of an instruction, with its input where there is one.
inline std::string alpaca_prompt(std::string_view instruction, std::string_view input) {
  std::string prompt = "Below is an instruction that describes a task";
  prompt += input.empty() ? ". " : ", paired with an input that provides further context. ";
  prompt += "Write a response that appropriately completes the request.\n\n### Instruction:\n";
  prompt += instruction;
  if (!input.empty()) prompt.append("\n\n### Input:\n").append(input);
  return prompt += "\n\n### Response:\n";
}

/// The format whose keys a record has.
inline std::optional<DatasetFormat> detect_format(const JsonScan& scan) {
  const auto has = [&](std::string_view name) { return scan.find(name) != nullptr; };
  if (has("messages")) return DatasetFormat::messages;
  if (has("conversations")) return DatasetFormat::conversations;
  if (has("prompt") && has("completion")) return DatasetFormat::prompt_completion;
  if (has("instruction") && has("output")) return DatasetFormat::instruction;
  if (has("text")) return DatasetFormat::text;
  if (has("input_ids")) return DatasetFormat::input_ids;
  return std::nullopt;
}

/// Reads the fields of one line. Throws `DatasetError` with line and key.
class RecordFields {
 public:
  /// `rows`: ids and labels must be below; 0 if that is not known.
  RecordFields(const JsonScan& scan, std::size_t line, const std::string& file, std::int32_t rows)
      : scan_(scan), line_(line), file_(file), rows_(rows) {}

  /// The record of a format; what there is to note about it, or nothing.
  std::optional<DatasetReason> read(DatasetFormat format, Record& record) const {
    record = Record{};
    record.format = format;
    record.line = line_;
    switch (format) {
      case DatasetFormat::messages: return read_messages("messages", "role", "content", record);
      case DatasetFormat::conversations: return read_messages("conversations", "from", "value", record);
      case DatasetFormat::prompt_completion: return read_prompt_completion(record);
      case DatasetFormat::instruction: return read_instruction(record);
      case DatasetFormat::text: return read_text_field(record);
      default: return read_ids(record);
    }
  }

 private:
  using Reason = DatasetReason;

  [[noreturn]] void fail(Reason reason, const std::string& key, const std::string& message) const {
    throw DatasetError(reason, {line_, key, {}}, file_, message);
  }

  const JsonField& need(const JsonScan& scan, const std::string& name, const std::string& within = {}) const {
    const JsonField* field = scan.find(name);
    if (field == nullptr) fail(Reason::missing_field, within + name, "is missing");
    return *field;
  }

  std::string need_text(const JsonField& field, const std::string& within = {}) const {
    if (field.kind != JsonKind::string) fail(Reason::wrong_type, within + std::string(field.name), "expected a text");
    return unescape_json(field.value);
  }

  std::optional<Reason> read_messages(const std::string& key, const std::string& role, const std::string& content,
                                      Record& record) const {
    add_messages(json_items(need_list(need(scan_, key)).value), key, role, content, record);
    return note_of(record, key);
  }

  const JsonField& need_list(const JsonField& field) const {
    if (field.kind != JsonKind::array) fail(Reason::wrong_type, std::string(field.name), "expected a list of messages");
    return field;
  }

  /// Takes the messages of a list. `role` and `content` are the names of a message's fields.
  void add_messages(const std::vector<std::string_view>& items, const std::string& key, const std::string& role,
                    const std::string& content, Record& record) const {
    if (items.empty()) fail(Reason::empty_messages, key, "is empty: a conversation has at least one message");
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string at = key + "[" + std::to_string(i) + "]";
      const JsonScan fields = scan_json(items[i]);
      if (fields.kind != JsonKind::object) {
        fail(Reason::wrong_type, at, "expected an object with " + role + " and " + content);
      }
      const std::string said = need_text(need(fields, role, at + "."), at + ".");
      std::string text = need_text(need(fields, content, at + "."), at + ".");
      const std::optional<std::string_view> known = known_role(said, role == "from");
      if (!known) {
        fail(Reason::unknown_role, at + "." + role,
             "found \"" + printable(said, 40) + "\", expected " +
                 (role == "from" ? "system, human (or user) or gpt (or assistant)" : "system, user or assistant"));
      }
      record.messages.push_back({std::string(*known), std::move(text)});
    }
  }

  /// The role that a name stands for. `sharegpt`: the names of that form are known too.
  static std::optional<std::string_view> known_role(std::string_view name, bool sharegpt) {
    if (sharegpt && name == "human") return "user";
    if (sharegpt && name == "gpt") return "assistant";
    for (const std::string_view role : {"system", "user", "assistant"}) {
      if (name == role) return role;
    }
    return std::nullopt;
  }

  /// What is to be said of a conversation, of whose messages those after the prompt are learned.
  std::optional<Reason> note_of(const Record& record, const std::string& key) const {
    bool any = false, empty = false;
    for (std::size_t i = 0; i < record.messages.size(); ++i) {
      if (record.messages[i].role != "assistant") continue;
      any = true;
      empty = empty || (i >= record.prompt_messages && record.messages[i].content.empty());
    }
    if (!any) fail(Reason::no_assistant_turn, key, "has no message of the assistant, and nothing else is learned");
    return empty ? std::optional(Reason::empty_target) : std::nullopt;
  }

  std::optional<Reason> read_prompt_completion(Record& record) const {
    const JsonField& prompt = need(scan_, "prompt");
    const JsonField& completion = need(scan_, "completion");
    if (prompt.kind != JsonKind::array) {
      record.prompt = need_text(prompt);
      record.text = need_text(completion);
      return note_of_text(record);
    }
    if (completion.kind == JsonKind::string)
      fail(Reason::wrong_type, "completion", "expected a list of messages, as the prompt is one");
    // One conversation, whose messages are counted through.
    std::vector<std::string_view> items = json_items(prompt.value);
    record.prompt_messages = items.size();
    for (const std::string_view item : json_items(need_list(completion).value)) items.push_back(item);
    record.format = DatasetFormat::messages;
    add_messages(items, "prompt+completion", "role", "content", record);
    return note_of(record, "prompt+completion");
  }

  static std::optional<Reason> note_of_text(const Record& record) {
    if (!record.text.empty()) return std::nullopt;
    return record.prompt.empty() ? Reason::empty_text : Reason::empty_target;
  }

  std::optional<Reason> read_instruction(Record& record) const {
    const std::string instruction = need_text(need(scan_, "instruction"));
    const JsonField* input = scan_.find("input");
    record.prompt = alpaca_prompt(instruction, input == nullptr ? std::string() : need_text(*input));
    record.text = need_text(need(scan_, "output"));
    return note_of_text(record);
  }

  std::optional<Reason> read_text_field(Record& record) const {
    record.text = need_text(need(scan_, "text"));
    return record.text.empty() ? std::optional(Reason::empty_text) : std::nullopt;
  }

  std::optional<Reason> read_ids(Record& record) const {
    record.ids = need_ids(need(scan_, "input_ids"), 0);
    const JsonField* labels = scan_.find("labels");
    record.labels = labels == nullptr ? record.ids : need_ids(*labels, ignored_label);
    if (record.labels.size() != record.ids.size()) {
      fail(
          Reason::length_mismatch, "labels",
          "holds " + std::to_string(record.labels.size()) + " numbers, input_ids " + std::to_string(record.ids.size()));
    }
    return record.ids.empty() ? std::optional(Reason::empty_text) : std::nullopt;
  }

  /// A list of ids; `lowest` is the one negative number that may be among them, or 0.
  std::vector<std::int32_t> need_ids(const JsonField& field, std::int32_t lowest) const {
    if (field.kind != JsonKind::array) fail(Reason::wrong_type, std::string(field.name), "expected a list of integers");
    const std::string_view list = field.value.substr(1, field.value.size() - 2);
    constexpr std::string_view between = " \t\n\r,";
    std::vector<std::int32_t> ids;
    const auto refuse_item = [&](Reason reason, std::string_view found) {
      fail(reason, std::string(field.name) + "[" + std::to_string(ids.size()) + "]",
           "found " + printable(found, 40) + ", expected an id" + (rows_ > 0 ? " below " + std::to_string(rows_) : "") +
               (lowest < 0 ? " or -100" : ""));
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

  const JsonScan& scan_;
  std::size_t line_;
  const std::string& file_;
  std::int32_t rows_;
};

}  // namespace veneer
