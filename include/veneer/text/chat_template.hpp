// SPDX-License-Identifier: Apache-2.0
/// \file chat_template.hpp
/// ChatTemplate: renders a conversation as the text that a model was trained on.
///
///     const ModelChat chat = read_chat_template("path/to/hf-model");                       // text/chat_folder.hpp
///     const RenderedChat text = chat.chat_template.render(messages, chat.tokens, true);    // for a reply of the model
///     const auto learned = render_for_training(chat.chat_template, messages, chat.tokens); // text/chat_training.hpp
///
/// The template of a model is a program in Jinja (text/jinja.hpp). It is rendered with the variables of transformers:
///
///     messages                objects with role, content and other keys; keys with null are left out, and thoughts
///                             named reasoning, thinking or reasoning_content have the last two names
///     tools, documents        lists, or none
///     add_generation_prompt   whether the text ends where the assistant's next turn begins
///     bos_token, eos_token, pad_token, unk_token      if the tokenizer names them
///     the keys of `chat_template_kwargs` of a record
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/json.hpp"
#include "veneer/text/chat/families.hpp"
#include "veneer/text/jinja.hpp"
#include "veneer/text/message.hpp"
#include "veneer/text/normalize.hpp"

namespace veneer {

/// A conversation that a chat template refuses, or in which the text of the assistant cannot be determined.
struct ChatError : FormatError {
  using FormatError::FormatError;
};

/// The texts of a model's special tokens; empty if it has none.
struct ChatTokens {
  std::string bos;
  std::string eos;
  std::string pad = {};
  std::string unk = {};
};

/// A rendered conversation. `contents` are the disjoint ranges of `text` that come from messages, tools and documents,
/// in order: tokenizer.encode(text, {.add_special_tokens = false}, contents) makes no special token of them.
/// `generations` are the ranges that the template marks with {% generation %}.
struct RenderedChat {
  std::string text;
  std::vector<ByteRange> contents;
  std::vector<ByteRange> generations;
};

class ChatTemplate {
 public:
  /// Parses a template. `name` is for messages: a family or a file. `with_tools` replaces it if there are
  /// tools. Throws `JinjaError`.
  ChatTemplate(std::string name, std::string jinja, std::optional<std::string> with_tools = {})
      : name_(std::move(name)), plain_(parse(std::move(jinja))) {
    if (with_tools) with_tools_ = parse(std::move(*with_tools));
  }

  /// Returns the family with this name. Throws `ArgumentError` that lists the names.
  static ChatTemplate named(std::string_view family) {
    std::string names;
    for (const ChatFamily& known : chat_families) {
      if (known.name == family) return ChatTemplate(std::string(family), std::string(known.jinja));
      names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    throw ArgumentError("chat template \"" + printable(family) +
                        "\": found no file and no template of that name; there are " + names);
  }

  static std::vector<std::string_view> names() {
    std::vector<std::string_view> all;
    for (const ChatFamily& family : chat_families) all.push_back(family.name);
    return all;
  }

  const std::string& name() const { return name_; }

  /// Returns whether the template marks replies with {% generation %}.
  bool marks_replies(const ChatVariables& variables = {}) const { return chosen(variables).jinja.has_generation(); }

  /// Returns whether the template uses a variable, or a key of messages, with this name, that is, contains the name.
  bool mentions(std::string_view name, const ChatVariables& variables = {}) const {
    return chosen(variables).source.find(name) != std::string::npos;
  }

  /// Returns the text of a conversation; with `generation_prompt` it ends where the assistant's next turn begins.
  /// Throws `ChatError` that names the message, and has the template's text if the template raises an exception.
  RenderedChat render(std::span<const Message> messages, const ChatTokens& tokens, bool generation_prompt,
                      const ChatVariables& variables = {}) const;

  /// Returns the text that the template writes after a reply, up to the next turn, without white space around it and
  /// without the EOS that closes a whole conversation. A model that writes it has ended its reply. If the template
  /// writes nothing, this is the text of EOS.
  std::string end_of_turn(const ChatTokens& tokens) const;

 private:
  struct Parsed {
    std::string source;
    JinjaTemplate jinja;
  };

  std::shared_ptr<const Parsed> parse(std::string jinja) const {
    return std::make_shared<const Parsed>(Parsed{jinja, JinjaTemplate(jinja, "chat template " + name_)});
  }

  /// Returns the template for tools if there are tools, as in transformers.
  const Parsed& chosen(const ChatVariables& variables) const {
    return with_tools_ != nullptr && !variables.tools.is_null() ? *with_tools_ : *plain_;
  }

  [[noreturn]] void refuse(const JinjaError& error, std::span<const Message> messages, const ChatTokens& tokens,
                           bool generation_prompt, const ChatVariables& variables) const;

  std::string name_;
  std::shared_ptr<const Parsed> plain_, with_tools_;
};

namespace detail {

/// Returns a message as passed to templates.
inline Json template_message(const Message& message) {
  if (message.whole.is_null()) return {{"role", message.role}, {"content", message.content}};
  constexpr std::string_view names[] = {"reasoning_content", "thinking", "reasoning"};
  Json made = Json::object();
  Json thoughts;
  for (const std::string_view name : names) {
    const Json* found = find_json(message.whole, name);
    if (found != nullptr && thoughts.is_null()) thoughts = *found;
  }
  if (!thoughts.is_null()) made["thinking"] = thoughts;
  for (const auto& [name, value] : message.whole.items())
    if (!value.is_null()) made[name] = value;
  if (!thoughts.is_null()) made["reasoning_content"] = thoughts;
  return made;
}

/// Returns the variables of a template.
inline Json template_variables(std::span<const Message> messages, const ChatTokens& tokens, bool generation_prompt,
                               const ChatVariables& others) {
  Json all = Json::object();
  for (const auto& [name, text] : {std::pair{"bos_token", &tokens.bos},
                                   {"eos_token", &tokens.eos},
                                   {"unk_token", &tokens.unk},
                                   {"pad_token", &tokens.pad}})
    if (!text->empty()) all[name] = *text;
  if (others.arguments.is_object()) {
    for (const auto& [name, value] : others.arguments.items()) all[name] = value;
  }
  Json list = Json::array();
  for (const Message& message : messages) list.push_back(template_message(message));
  all["messages"] = std::move(list);
  all["tools"] = others.tools;
  all["documents"] = others.documents;
  all["add_generation_prompt"] = generation_prompt;
  return all;
}

/// Removes ranges that are the role of a message: templates make special tokens of roles.
inline std::vector<ByteRange> without_roles(const std::string& text, std::vector<ByteRange> ranges,
                                            std::span<const Message> messages) {
  std::erase_if(ranges, [&](ByteRange range) {
    const std::string_view found = std::string_view(text).substr(range.begin, range.end - range.begin);
    return found.empty() ||
           std::any_of(messages.begin(), messages.end(), [&](const Message& message) { return message.role == found; });
  });
  return ranges;
}

}  // namespace detail

inline RenderedChat ChatTemplate::render(std::span<const Message> messages, const ChatTokens& tokens,
                                         bool generation_prompt, const ChatVariables& variables) const {
  if (messages.empty()) {
    throw ChatError("chat template " + name_ +
                    ": Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  try {
    RenderedJinja made =
        chosen(variables).jinja.render(detail::template_variables(messages, tokens, generation_prompt, variables));
    std::vector<ByteRange> contents = detail::without_roles(made.text, std::move(made.inputs), messages);
    return {std::move(made.text), std::move(contents), std::move(made.generations)};
  } catch (const JinjaError& error) {
    refuse(error, messages, tokens, generation_prompt, variables);
  }
}

/// Throws a ChatError. After an exception of the template it names the message: the last one of the shortest prefix of
/// messages that gives the same exception.
inline void ChatTemplate::refuse(const JinjaError& error, std::span<const Message> messages, const ChatTokens& tokens,
                                 bool generation_prompt, const ChatVariables& variables) const {
  constexpr std::size_t looked_at = 64;
  if (!error.raised()) throw ChatError(error.what());
  for (std::size_t count = 1; count <= std::min(messages.size(), looked_at); ++count) {
    try {
      chosen(variables).jinja.render(
          detail::template_variables(messages.first(count), tokens, generation_prompt, variables));
    } catch (const JinjaError& earlier) {
      if (earlier.raised() != error.raised()) continue;
      throw ChatError("chat template " + name_ + ": message " + std::to_string(count) + " (" +
                      printable(messages[count - 1].role) + "): " + *error.raised());
    }
  }
  throw ChatError("chat template " + name_ + ": " + *error.raised());
}

inline std::string ChatTemplate::end_of_turn(const ChatTokens& tokens) const {
  constexpr std::string_view said = "veneer says";
  const std::vector<Message> messages{{"user", "veneer asks"}, {"assistant", std::string(said)}};
  std::string text;
  try {
    text = render(messages, tokens, false).text;
  } catch (const ChatError&) {
    return tokens.eos;
  }
  const std::size_t at = text.rfind(said);
  if (at == std::string::npos) return tokens.eos;
  std::string_view end = std::string_view(text).substr(at + said.size());
  const auto trim = [&] {
    constexpr std::string_view space = " \t\r\n";
    end.remove_prefix(std::min(end.find_first_not_of(space), end.size()));
    end = end.substr(0, end.find_last_not_of(space) + 1);
  };
  trim();
  if (!tokens.eos.empty() && end.size() > tokens.eos.size() && end.ends_with(tokens.eos)) {
    end.remove_suffix(tokens.eos.size());
    trim();
  }
  return end.empty() ? tokens.eos : std::string(end);
}

/// A model's template and the texts of its special tokens.
struct ModelChat {
  ChatTemplate chat_template;
  ChatTokens tokens;
};

}  // namespace veneer
