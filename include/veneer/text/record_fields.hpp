// SPDX-License-Identifier: Apache-2.0
/// \file record_fields.hpp
/// RecordFields: reads the fields of a JSON line as one record, for each format of `dataset.hpp`.
///
/// The prompts of instruction + output are those of Stanford Alpaca (Taori et al. 2023), used by many published data
/// sets; `system` and `history` are LLaMA-Factory's additions.
///
/// A record with a key whose meaning its format does not support is refused (`reserved_keys`). All other
/// keys are ignored.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
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
#include "veneer/text/message_fields.hpp"
#include "veneer/text/record.hpp"
#include "veneer/text/record_place.hpp"

namespace veneer {

/// The optional context of an instruction.
struct AlpacaContext {
  std::string system;                                        // replaces the sentence that introduces the task
  std::vector<std::pair<std::string, std::string>> history;  // instructions and responses before this one
};

/// Returns the prompt of an instruction, with its input if there is one.
inline std::string alpaca_prompt(std::string_view instruction, std::string_view input,
                                 const AlpacaContext& context = {}) {
  std::string prompt = context.system;
  if (prompt.empty()) {
    prompt = "Below is an instruction that describes a task";
    prompt += input.empty() ? ". " : ", paired with an input that provides further context. ";
    prompt += "Write a response that appropriately completes the request.";
  }
  const auto ask = [&](std::string_view text) { prompt.append("\n\n### Instruction:\n").append(text); };
  const std::string_view answer = "\n\n### Response:\n";
  for (const auto& [before, response] : context.history) ask(before), prompt.append(answer).append(response);
  ask(instruction);
  if (!input.empty()) prompt.append("\n\n### Input:\n").append(input);
  return prompt.append(answer);
}

/// Keys that have a meaning in some format of training data. A record whose format does not have that meaning is
/// refused, unless the value is null or empty. (`weight` may be 1.)
inline constexpr std::array<std::string_view, 17> reserved_keys{
    "system",    "system_prompt", "history", "tools",         "documents", "chat_template_kwargs",
    "functions", "function_call", "image",   "images",        "audio",     "audios",
    "video",     "videos",        "weight",  "sample_weight", "loss_mask"};

/// Returns the format whose keys a record has.
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

/// A reader of the fields of one line. Throws `DatasetError` with line and key.
class RecordFields {
 public:
  /// \param rows  exclusive bound of ids and labels; 0 if unknown
  RecordFields(const JsonScan& scan, std::size_t line, const std::string& file, std::int32_t rows)
      : scan_(scan), place_(line, file), rows_(rows) {}

  /// Reads the record of a format; returns a note about it, if any.
  std::optional<DatasetReason> read(DatasetFormat format, Record& record) const {
    record = Record{};
    record.format = format;
    record.line = place_.line();
    switch (format) {
      case DatasetFormat::messages: return read_messages("messages", record);
      case DatasetFormat::conversations: return read_messages("conversations", record);
      case DatasetFormat::prompt_completion: return read_prompt_completion(record);
      case DatasetFormat::instruction: return read_instruction(record);
      case DatasetFormat::text: return read_text_field(record);
      default: return read_ids(record);
    }
  }

 private:
  using Reason = DatasetReason;

  /// Throws for reserved keys other than these.
  void check_reserved(std::initializer_list<std::string_view> used) const {
    for (const std::string_view key : reserved_keys) {
      const JsonField* field = scan_.find(key);
      if (field == nullptr || is_empty_field(*field) || std::find(used.begin(), used.end(), key) != used.end())
        continue;
      if (key == "weight" && field->kind == JsonKind::number && place_.parse(field->value, "weight") == 1) continue;
      std::string advice = "is not supported in a record of this format: remove it, or the record";
      if (key == "functions") advice = "is not supported: write them as tools";
      if (key == "system_prompt") advice = "is not supported: write it as system";
      place_.fail(Reason::unsupported_key, std::string(key), advice);
    }
  }

  std::optional<Reason> read_messages(const std::string& key, Record& record) const {
    add_messages(json_items(place_.need_list(place_.need(scan_, key), "messages").value), key, record);
    read_variables(record);
    return note_of(record, key);
  }

  /// Adds the messages of a list.
  void add_messages(const std::vector<std::string_view>& items, const std::string& key, Record& record) const {
    if (items.empty()) place_.fail(Reason::empty_messages, key, "is empty: a conversation has at least one message");
    const MessageFields fields(place_, key == "conversations");
    for (std::size_t i = 0; i < items.size(); ++i)
      record.messages.push_back(fields.read(items[i], key + "[" + std::to_string(i) + "]"));
  }

  /// Reads the variables of a conversation in addition to its messages.
  void read_variables(Record& record) const {
    check_reserved({"system", "tools", "documents", "chat_template_kwargs"});
    if (const std::string system = text_or_nothing("system"); !system.empty()) {
      if (record.messages.front().role == "system")
        place_.fail(Reason::unsupported_key, "system", "the messages begin with a system message of their own");
      record.messages.insert(record.messages.begin(), Message{"system", system});
      if (record.prompt_messages > 0) ++record.prompt_messages;
    }
    record.variables.tools = list_or_nothing("tools");
    record.variables.documents = list_or_nothing("documents");
    if (record.format == DatasetFormat::conversations) {
      for (Json& tool : record.variables.tools)  // LLaMA-Factory's: the bare description of a function
        if (tool.is_object() && tool.contains("name")) tool = {{"type", "function"}, {"function", tool}};
    }
    const JsonField* arguments = scan_.find("chat_template_kwargs");
    if (arguments == nullptr || is_empty_field(*arguments)) return;
    if (arguments->kind != JsonKind::object) place_.fail_kind(*arguments, "chat_template_kwargs", "an object");
    record.variables.arguments = place_.parse(arguments->value, "chat_template_kwargs");
  }

  std::string text_or_nothing(const std::string& key) const {
    const JsonField* field = scan_.find(key);
    return field == nullptr || field->kind == JsonKind::null ? "" : place_.need_text(*field);
  }

  /// Reads a list, possibly as JSON in a text; null if there is none.
  Json list_or_nothing(const std::string& key) const {
    const JsonField* field = scan_.find(key);
    if (field == nullptr || field->kind == JsonKind::null) return {};
    const std::string text = field->kind == JsonKind::string ? unescape_json(field->value) : std::string(field->value);
    if (text.empty()) return {};
    Json list = place_.parse(text, key);
    if (!list.is_array()) place_.fail(Reason::wrong_type, key, "found " + describe_json(list) + ", expected a list");
    return list;
  }

  /// Returns the note on a conversation, if any.
  std::optional<Reason> note_of(const Record& record, const std::string& key) const {
    bool any = false, empty = false;
    for (std::size_t i = 0; i < record.messages.size(); ++i) {
      const Message& message = record.messages[i];
      any = any || message.role == "assistant" || message.trained.value_or(false);
      const bool calls = message.whole.is_object() && message.whole.contains("tool_calls");
      empty = empty || (record.is_trained(i) && message.content.empty() && !calls);
    }
    if (!any)
      place_.fail(Reason::no_assistant_turn, key, "has no message of the assistant, and only these are trained on");
    return empty ? std::optional(Reason::empty_target) : std::nullopt;
  }

  std::optional<Reason> read_prompt_completion(Record& record) const {
    const JsonField& prompt = place_.need(scan_, "prompt");
    const JsonField& completion = place_.need(scan_, "completion");
    if (prompt.kind != JsonKind::array) {
      check_reserved({});
      record.prompt = place_.need_text(prompt);
      record.text = place_.need_text(completion);
      return note_of_text(record);
    }
    place_.need_list(completion, "messages, as the prompt is one");
    // One conversation: messages are numbered across both lists.
    std::vector<std::string_view> items = json_items(prompt.value);
    record.prompt_messages = items.size();
    for (const std::string_view item : json_items(completion.value)) items.push_back(item);
    record.format = DatasetFormat::messages;
    add_messages(items, "prompt+completion", record);
    read_variables(record);
    return note_of(record, "prompt+completion");
  }

  static std::optional<Reason> note_of_text(const Record& record) {
    if (!record.text.empty()) return std::nullopt;
    return record.prompt.empty() ? Reason::empty_text : Reason::empty_target;
  }

  std::optional<Reason> read_instruction(Record& record) const {
    check_reserved({"system", "history"});
    const std::string instruction = place_.need_text(place_.need(scan_, "instruction"));
    const JsonField* input = scan_.find("input");
    const AlpacaContext context{text_or_nothing("system"), history()};
    record.prompt = alpaca_prompt(instruction, input == nullptr ? std::string() : place_.need_text(*input), context);
    record.text = place_.need_text(place_.need(scan_, "output"));
    return note_of_text(record);
  }

  /// Reads pairs of an instruction and its response.
  std::vector<std::pair<std::string, std::string>> history() const {
    const Json list = list_or_nothing("history");
    std::vector<std::pair<std::string, std::string>> pairs;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Json& pair = list[i];
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
        place_.fail(Reason::wrong_type, "history[" + std::to_string(i) + "]",
                    "expected a list of two texts, an instruction and its response");
      }
      pairs.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
    }
    return pairs;
  }

  std::optional<Reason> read_text_field(Record& record) const {
    check_reserved({});
    record.text = place_.need_text(place_.need(scan_, "text"));
    return record.text.empty() ? std::optional(Reason::empty_text) : std::nullopt;
  }

  std::optional<Reason> read_ids(Record& record) const {
    check_masks();
    record.ids = need_ids(place_.need(scan_, "input_ids"), 0);
    const JsonField* labels = scan_.find("labels");
    record.labels = labels == nullptr ? record.ids : need_ids(*labels, ignored_label);
    if (record.labels.size() != record.ids.size()) {
      place_.fail(
          Reason::length_mismatch, "labels",
          "holds " + std::to_string(record.labels.size()) + " numbers, input_ids " + std::to_string(record.ids.size()));
    }
    return record.ids.empty() ? std::optional(Reason::empty_text) : std::nullopt;
  }

  /// Throws for masks: only labels exclude tokens from training, and rows are not padded.
  void check_masks() const {
    for (const char* key : {"loss_mask", "completion_mask", "assistant_masks", "assistant_mask", "loss_weights"}) {
      if (const JsonField* mask = scan_.find(key); mask != nullptr && !is_empty_field(*mask))
        place_.fail(Reason::unsupported_key, key,
                    "is not supported: write labels, with -100 for tokens that are not trained on");
    }
    const JsonField* attention = scan_.find("attention_mask");
    if (attention != nullptr && attention->kind == JsonKind::array && attention->value.find('0') != std::string::npos)
      place_.fail(Reason::unsupported_key, "attention_mask", "holds 0: remove the padding, sequences need none");
  }

  /// Reads a list of ids; `lowest` is the only allowed negative number, or 0.
  std::vector<std::int32_t> need_ids(const JsonField& field, std::int32_t lowest) const {
    place_.need_list(field, "integers");
    const std::string_view list = field.value.substr(1, field.value.size() - 2);
    constexpr std::string_view between = " \t\n\r,";
    std::vector<std::int32_t> ids;
    const auto refuse_item = [&](Reason reason, std::string_view found) {
      place_.fail(reason, std::string(field.name) + "[" + std::to_string(ids.size()) + "]",
                  "found " + printable(found, 40) + ", expected an id" +
                      (rows_ > 0 ? " below " + std::to_string(rows_) : "") + (lowest < 0 ? " or -100" : ""));
    };
    // The list is valid JSON, so the texts between commas are numbers, if it contains only numbers.
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
  RecordPlace place_;
  std::int32_t rows_;
};

}  // namespace veneer
