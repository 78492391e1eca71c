// SPDX-License-Identifier: Apache-2.0
/// \file chat_folder.hpp
/// Reads the chat template of a model's folder, and checks it against the tokenizer.
///
/// As in transformers, `chat_template.jinja` is the template, and `additional_chat_templates/tool_use.jinja` the one
/// for conversations with tools; if there is no such file, `chat_template` in tokenizer_config.json is used: a text, or
/// a list of {"name", "template"} with the names `default` and `tool_use`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/text/chat_template.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/special_tokens.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

namespace detail {

/// The texts of the templates of a folder.
struct FoundTemplates {
  std::string where;
  std::optional<std::string> plain, with_tools;
};

/// Returns the templates in a tokenizer_config.json.
inline FoundTemplates templates_in_settings(const std::filesystem::path& path) {
  FoundTemplates all{path.string() + ": \"chat_template\"", {}, {}};
  if (!std::filesystem::exists(path)) return all;
  const std::string text = read_text(path, settings_limit);
  const JsonScan file = scan_settings(text, path);
  const JsonField* field = file.find("chat_template");
  if (field == nullptr || field->kind == JsonKind::null) return all;
  if (field->kind == JsonKind::string) {
    all.plain = unescape_json(field->value);
    return all;
  }
  expects<FormatError>(field->kind == JsonKind::array,
                       all.where + ": expected a text or a list of templates with names");
  const Json list = parse_json(field->value, all.where, {settings_limit, 64});
  for (const Json& entry : list) {
    const Json* name = entry.is_object() ? find_json(entry, "name") : nullptr;
    const Json* found = entry.is_object() ? find_json(entry, "template") : nullptr;
    expects<FormatError>(
        name != nullptr && name->is_string() && found != nullptr && found->is_string(),
        all.where + ": expected objects with the texts \"name\" and \"template\", found " + describe_json(entry));
    if (*name == "default") all.plain = found->get<std::string>();
    if (*name == "tool_use") all.with_tools = found->get<std::string>();
  }
  expects<FormatError>(all.plain.has_value(), all.where + ": none of the templates in the list is named \"default\"");
  return all;
}

inline FoundTemplates find_templates(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "chat_template.jinja";
  if (!std::filesystem::exists(file)) return templates_in_settings(folder / "tokenizer_config.json");
  FoundTemplates all{file.string(), read_text(file, settings_limit), {}};
  const std::filesystem::path tools = folder / "additional_chat_templates" / "tool_use.jinja";
  if (std::filesystem::exists(tools)) all.with_tools = read_text(tools, settings_limit);
  return all;
}

/// Returns the requested template: a family by name, or a file.
inline ChatTemplate chosen_template(const std::string& name) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(name, error)) return ChatTemplate::named(name);
  return ChatTemplate(name, read_text(name, settings_limit));
}

inline ChatTemplate template_of(const std::filesystem::path& folder) {
  FoundTemplates found = find_templates(folder);
  if (!found.plain) {
    std::string names;
    for (const std::string_view name : ChatTemplate::names()) names += (names.empty() ? "" : ", ") + std::string(name);
    throw FormatError(folder.string() +
                      ": no chat template: there is no chat_template.jinja, and no \"chat_template\" in "
                      "tokenizer_config.json. To use another, name it: --chat-template NAME or FILE; the names are " +
                      names);
  }
  return ChatTemplate(found.where, std::move(*found.plain), std::move(found.with_tools));
}

}  // namespace detail

/// Returns the chat template of a model's folder, or a given one: a family or a file, which replaces the folder's.
/// Throws `FormatError` for a template that cannot be parsed, or that ends replies with an EOS that the folder does not
/// name; `ArgumentError` for an unknown name; `IoError`.
inline ModelChat read_chat_template(const std::filesystem::path& folder, const std::optional<std::string>& name = {}) {
  ChatTemplate chat = name ? detail::chosen_template(*name) : detail::template_of(folder);
  const SpecialTokens special = read_special_tokens(folder);
  ModelChat model{
      std::move(chat),
      {special.bos.value_or(""), special.eos.value_or(""), special.pad.value_or(""), special.unk.value_or("")}};
  if (model.chat_template.end_of_turn(model.tokens).empty()) {
    throw FormatError(folder.string() + ": the chat template " + model.chat_template.name() +
                      " ends a reply with the eos token, and tokenizer_config.json names none: add \"eos_token\"");
  }
  return model;
}

/// Throws `FormatError` for a tokenizer that does not parse its BOS or EOS in a text, where rendered conversations have
/// them. Only a tokenizer.model does so.
inline void check_chat_tokenizer(const ModelChat& chat, const Tokenizer& tokenizer) {
  for (const std::string& text : {chat.tokens.bos, chat.tokens.eos}) {
    const auto id = text.empty() ? std::nullopt : tokenizer.id(text);
    if (!id || tokenizer.encode(text, {.add_special_tokens = false}) == std::vector{*id}) continue;
    throw FormatError("chat template " + chat.chat_template.name() + ": the tokenizer does not find " + text +
                      " in a text, as tokenizer.model alone never does: save the tokenizer with transformers' "
                      "AutoTokenizer, which writes a tokenizer.json");
  }
}

/// The end of a generated reply: a token, or a text if the vocabulary has no such token.
struct ReplyEnd {
  std::optional<std::int32_t> id;
  std::string text;
};

/// Returns the first special token that the template writes after a reply, or the whole text if it has
/// no special token.
inline ReplyEnd reply_end(const ModelChat& chat, const Tokenizer& tokenizer) {
  const std::string text = chat.chat_template.end_of_turn(chat.tokens);
  if (const auto id = tokenizer.id(text)) return {id, text};
  for (const std::int32_t id : tokenizer.encode(text, {.add_special_tokens = false}))
    if (tokenizer.is_special(id)) return {id, tokenizer.decode(std::vector{id})};
  return {std::nullopt, text};
}

}  // namespace veneer
