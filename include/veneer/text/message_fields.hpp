// SPDX-License-Identifier: Apache-2.0
/// \file message_fields.hpp
/// MessageFields: reads one message of a conversation from the JSON of a record.
///
///     {"role": "assistant", "content": "4", "weight": 0}        OpenAI's format; other keys are for the chat template
///     {"role": "user", "content": [{"type": "text", "text": "2+2?"}]}      parts of text are joined
///     {"role": "assistant", "content": null, "tool_calls": [...]}          a call needs no text
///     {"from": "gpt", "value": "4"}                             ShareGPT's format, with LLaMA-Factory's names:
///     {"from": "function_call", "value": "{\"name\": \"add\", \"arguments\": {}}"}   an assistant's tool_calls
///     {"from": "observation", "value": "4"}                     role `tool`
///
/// `weight` (0 or 1), `train`, `training` and `loss` (true or false) determine whether a message is trained on. A
/// `weight` of 1 changes nothing: as in OpenAI and axolotl, it does not make a message of a user trained on.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/message.hpp"
#include "veneer/text/record_place.hpp"

namespace veneer {

/// A reader of the messages of one list. Throws `DatasetError` with line and key.
class MessageFields {
 public:
  /// \param sharegpt  messages have `from` and `value`, not `role` and `content`
  MessageFields(const RecordPlace& place, bool sharegpt)
      : place_(place),
        role_(sharegpt ? "from" : "role"),
        content_(sharegpt ? "value" : "content"),
        sharegpt_(sharegpt) {}

  /// Reads the message in `item`; `at` is its path in the record.
  Message read(std::string_view item, const std::string& at) const {
    const JsonScan fields = scan_json(item);
    if (fields.kind != JsonKind::object)
      place_.fail(Reason::wrong_type, at, "expected an object with " + role_ + " and " + content_);
    const std::string said = place_.need_text(place_.need(fields, role_, at + "."), at + ".");
    if (sharegpt_ && said == "function_call") return call(fields, at);
    Message message{known_role(said, at), {}, {}, {}};
    const JsonField* content = fields.find(content_);
    const bool calls = message.role == "assistant" && holds(fields, "tool_calls");
    if (content == nullptr && !calls) place_.fail(Reason::missing_field, at + "." + content_, "is missing");
    const bool silent = content == nullptr || (content->kind == JsonKind::null && calls);
    if (!silent) message.content = text_of(*content, at + "." + content_);
    if (const std::size_t known = content == nullptr ? 1 : 2; fields.fields.size() > known) {
      message.whole = others(item, at, message.role);
      if (content != nullptr) message.whole["content"] = silent ? Json() : Json(message.content);
    }
    finish(fields, at, message);
    return message;
  }

 private:
  using Reason = DatasetReason;

  static bool holds(const JsonScan& fields, std::string_view name) {
    const JsonField* field = fields.find(name);
    return field != nullptr && !is_empty_field(*field);
  }

  /// Returns all keys of a message in their order, under their names in templates.
  Json others(std::string_view item, const std::string& at, const std::string& role) const {
    Json whole = Json::object();
    const Json all = place_.parse(item, at);
    for (const auto& [name, value] : all.items()) {
      if (name == role_) {
        whole["role"] = role;
      } else {
        whole[name == content_ ? "content" : name] = value;
      }
    }
    return whole;
  }

  std::string known_role(const std::string& name, const std::string& at) const {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> renamed{
        {{"human", "user"}, {"gpt", "assistant"}, {"observation", "tool"}}};
    for (const auto& [from, to] : renamed) {
      if (sharegpt_ && name == from) return std::string(to);
    }
    for (const std::string_view role : {"system", "developer", "user", "assistant", "tool", "function"}) {
      if (name == role) return name;
    }
    std::string expected = "system, developer, user, assistant, tool or function";
    if (sharegpt_) expected = "system, human (or user), gpt (or assistant), function_call or observation (or tool)";
    place_.fail(Reason::unknown_role, at + "." + role_, "found \"" + printable(name, 40) + "\", expected " + expected);
  }

  /// Returns the text of a message: a text, or the concatenation of text parts.
  std::string text_of(const JsonField& field, const std::string& key) const {
    if (field.kind == JsonKind::string) return unescape_json(field.value);
    if (field.kind != JsonKind::array) {
      place_.fail_kind(field, key,
                       "a text or a list of parts" +
                           std::string(field.kind == JsonKind::null ? "; null is for calls of tools" : ""));
    }
    std::string text;
    const std::vector<std::string_view> parts = json_items(field.value);
    for (std::size_t i = 0; i < parts.size(); ++i) text += part_text(parts[i], key + "[" + std::to_string(i) + "]");
    return text;
  }

  std::string part_text(std::string_view part, const std::string& at) const {
    if (part.starts_with('"')) return unescape_json(part);
    const JsonScan fields = scan_json(part);
    if (fields.kind != JsonKind::object) place_.fail(Reason::wrong_type, at, "expected a text or {\"type\": \"text\"}");
    const JsonField* type = fields.find("type");
    const std::string kind = type == nullptr ? "text" : place_.need_text(*type, at + ".");
    if (kind != "text" && kind != "input_text" && kind != "output_text") {
      place_.fail(Reason::unsupported_key, at + ".type",
                  "found a part of type \"" + printable(kind, 40) + "\"; only text can be trained on");
    }
    return place_.need_text(place_.need(fields, "text", at + "."), at + ".");
  }

  /// Reads a call of tools in ShareGPT data: JSON in a text.
  Message call(const JsonScan& fields, const std::string& at) const {
    const std::string key = at + "." + content_;
    Json calls = place_.parse(place_.need_text(place_.need(fields, content_, at + "."), at + "."), key);
    if (!calls.is_array()) calls = Json::array({calls});
    Message message{"assistant", {}, {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array()}}, {}};
    for (const Json& one : calls) {
      const Json* name = one.is_object() ? find_json(one, "name") : nullptr;
      if (name == nullptr || !name->is_string() || !one.contains("arguments"))
        place_.fail(Reason::wrong_type, key, "expected {\"name\": ..., \"arguments\": ...}, or a list of such calls");
      message.whole["tool_calls"].push_back({{"type", "function"}, {"function", one}});
    }
    finish(fields, at, message);
    return message;
  }

  /// Reads whether the message is trained on, and throws for unsupported keys that would change this.
  void finish(const JsonScan& fields, const std::string& at, Message& message) const {
    constexpr std::array<std::string_view, 11> unsupported{
        "image",        "images",          "audio",       "audios",     "video",        "videos",
        "train_detail", "training_detail", "loss_weight", "loss_scale", "function_call"};
    for (const std::string_view name : unsupported) {
      if (!holds(fields, name)) continue;
      place_.fail(Reason::unsupported_key, at + "." + std::string(name),
                  name == "function_call" ? "is not supported: write the call as tool_calls" : "is not supported");
    }
    std::string decided;  // the key that determines whether the message is trained on
    for (const char* name : {"weight", "train", "training", "loss"}) {
      const JsonField* field = fields.find(name);
      if (field == nullptr || field->kind == JsonKind::null) continue;
      const bool on = is_on(*field, at);
      if (on && std::string_view(name) == "weight") continue;
      if (!decided.empty() && *message.trained != on)
        place_.fail(Reason::wrong_type, at + "." + name, "contradicts \"" + decided + "\"");
      decided = name;
      message.trained = on;
    }
  }

  bool is_on(const JsonField& field, const std::string& at) const {
    if (field.kind == JsonKind::boolean) return field.value == "true";
    const Json value = field.kind == JsonKind::number ? place_.parse(field.value, at) : Json();
    if (value == 0 || value == 1) return value == 1;
    place_.fail_kind(field, at + "." + std::string(field.name), "0 or 1: a message is trained on, or it is not");
  }

  const RecordPlace& place_;
  std::string role_, content_;
  bool sharegpt_;
};

}  // namespace veneer
