// SPDX-License-Identifier: Apache-2.0
/// \file chat_template.hpp
/// ChatTemplate: a conversation as the text that a model was taught to see.
///
///     const ModelChat chat = read_chat_template("path/to/hf-model");
///     const RenderedChat text = chat.chat_template.render(messages, chat.tokens, true);  // the model goes on
///     const TrainingChat learned = render_for_training(chat.chat_template, messages, chat.tokens);
///
/// A model brings its template as a program in Jinja, out of a stranger's file. It is not run: the templates that are
/// known are a closed set, each a small file in text/chat, equal to its original to the byte. A model's template is
/// recognised by its whole text, or a family is named; anything else is refused.
///
/// What is learned of a conversation, for assistant message i of messages[0..n):
///     S = length of render(messages[0..i), with generation prompt),   E = length of render(messages[0..i], without)
///     where both are beginnings of the whole text (a closing EOS of the second does not count). [S, E) without the
///     spaces, tabs and line ends at its end is trained, so the last trained token is the one that ends the turn.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/sha256.hpp"
#include "veneer/text/chat/chatml.hpp"
#include "veneer/text/chat/gemma.hpp"
#include "veneer/text/chat/llama2.hpp"
#include "veneer/text/chat/llama3.hpp"
#include "veneer/text/chat/mistral.hpp"
#include "veneer/text/chat/mistral_system.hpp"
#include "veneer/text/chat/phi3.hpp"
#include "veneer/text/chat/qwen25.hpp"
#include "veneer/text/chat/writer.hpp"
#include "veneer/text/chat/zephyr.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/special_tokens.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

namespace detail {

/// Every family that is known. A new one is a file in text/chat and a name here.
inline constexpr std::array<const ChatFamily*, 11> chat_families{
    &chat::llama3, &chat::llama2, &chat::mistral_v01, &chat::mistral_v02,   &chat::mistral_system, &chat::chatml,
    &chat::zephyr, &chat::gemma,  &chat::phi3,        &chat::phi3_original, &chat::qwen25};

inline std::string chat_family_names() {
  std::string names;
  for (const ChatFamily* family : chat_families) names += (names.empty() ? "" : ", ") + std::string(family->name);
  return names;
}

}  // namespace detail

/// A rendered conversation. `contents` has a range of `text` for each message: what the message itself says, so that
/// tokenizer.encode(text, {.add_special_tokens = false}, contents) makes no special token of a user's words. They are
/// in order; the range of a message that the template leaves out is empty.
struct RenderedChat {
  std::string text;
  std::vector<ByteRange> contents;
};

/// A conversation to learn from: `trained` has a range of `text` for each message of the assistant.
struct TrainingChat {
  std::string text;
  std::vector<ByteRange> contents;
  std::vector<ByteRange> trained;
};

class ChatTemplate {
 public:
  /// The family of that name. Throws `ArgumentError` that lists the names.
  static ChatTemplate named(std::string_view family) {
    for (const ChatFamily* known : detail::chat_families) {
      if (known->name == family) return ChatTemplate(known);
    }
    throw ArgumentError("chat template \"" + printable(family) + "\": not known; there are " +
                        detail::chat_family_names());
  }

  /// The family whose template this is, to the byte; a line end at the end more or less does not count.
  static std::optional<ChatTemplate> recognise(std::string_view jinja) {
    if (jinja.ends_with('\n')) jinja.remove_suffix(1);
    const std::string fingerprint = sha256(jinja);
    for (const ChatFamily* known : detail::chat_families) {
      if (known->fingerprint == fingerprint) return ChatTemplate(known);
    }
    return std::nullopt;
  }

  static std::vector<std::string_view> names() {
    std::vector<std::string_view> all;
    for (const ChatFamily* family : detail::chat_families) all.push_back(family->name);
    return all;
  }

  std::string_view name() const { return family_->name; }
  const ChatFamily& family() const { return *family_; }

  /// The text behind each reply of the assistant: a model that writes it has said all.
  std::string_view end_of_turn(const ChatTokens& tokens) const {
    return family_->end_of_turn.empty() ? std::string_view(tokens.eos) : family_->end_of_turn;
  }

  /// The text of a conversation; with `generation_prompt` it ends where the assistant's next turn begins.
  /// Throws `ChatError` that names the message, with the words of the template where that raises an error.
  RenderedChat render(std::span<const Message> messages, const ChatTokens& tokens, bool generation_prompt) const;

 private:
  explicit ChatTemplate(const ChatFamily* family) : family_(family) {}

  const ChatFamily* family_;
};

namespace detail {

/// The contents by message; where one was left out, the empty range behind the one before it, so that all are in order.
inline std::vector<ByteRange> contents_of(const ChatWriter& out) {
  std::vector<ByteRange> contents;
  for (const auto& [message, range] : out.contents()) {
    const std::size_t end = contents.empty() ? 0 : contents.back().end;
    contents.resize(message, {end, end});
    contents.push_back(range);
  }
  const std::size_t end = contents.empty() ? 0 : contents.back().end;
  contents.resize(out.count(), {end, end});
  return contents;
}

/// Writes turns [first, all) of a conversation and its close.
inline ChatWriter write_chat(const ChatFamily& family, std::span<const Message> messages, const ChatTokens& tokens,
                             bool generation_prompt, std::size_t first, std::vector<std::size_t>* starts) {
  ChatWriter out(family.name, messages, tokens, generation_prompt);
  for (std::size_t i = first; i < messages.size(); ++i) {
    if (starts != nullptr) starts->push_back(out.text().size());
    family.turn(out, i);
  }
  family.close(out);
  return out;
}

/// Finds what is learned in one pass: a prefix of a conversation differs from the whole in its last turn, which no
/// longer sees one behind it, and in the close. So that much is written again for each reply, not all before it.
class ChatMask {
 public:
  ChatMask(const ChatFamily& family, std::span<const Message> messages, const ChatTokens& tokens,
           const std::string& text, const std::vector<std::size_t>& starts)
      : family_(family), messages_(messages), tokens_(tokens), text_(text), starts_(starts) {}

  /// The bytes that message i, of the assistant, teaches.
  ByteRange trained(std::size_t i) const {
    if (i == 0) fail(i, "the conversation before it is empty, and does not render");
    const std::optional<std::size_t> begin = prefix(i, true);
    const std::optional<std::size_t> end = prefix(i + 1, false);
    if (!begin || !end || *end < *begin) fail(i, "the conversation up to it is not the beginning of the whole");
    const std::string_view reply = std::string_view(text_).substr(*begin, *end - *begin);
    return {*begin, *begin + reply.find_last_not_of(" \t\r\n") + 1};  // npos + 1 is 0: nothing but white space
  }

 private:
  /// How long the first `count` messages are as text, if that is how the whole begins.
  std::optional<std::size_t> prefix(std::size_t count, bool generation_prompt) const {
    const ChatWriter out = write_chat(family_, messages_.first(count), tokens_, generation_prompt, count - 1, nullptr);
    const std::size_t start = starts_[count - 1];
    const std::string_view whole = std::string_view(text_).substr(start);
    std::string_view tail = out.text();
    if (!whole.starts_with(tail) && !generation_prompt && !tokens_.eos.empty() && tail.ends_with(tokens_.eos))
      tail.remove_suffix(tokens_.eos.size());
    return whole.starts_with(tail) ? std::optional(start + tail.size()) : std::nullopt;
  }

  [[noreturn]] void fail(std::size_t i, const std::string& why) const {
    throw ChatError("chat template " + std::string(family_.name) + ": message " + std::to_string(i + 1) + " (" +
                    printable(messages_[i].role) + "): it can't be told which text is learned: " + why);
  }

  const ChatFamily& family_;
  std::span<const Message> messages_;
  const ChatTokens& tokens_;
  const std::string& text_;
  const std::vector<std::size_t>& starts_;
};

inline ChatWriter write_whole_chat(const ChatFamily& family, std::span<const Message> messages,
                                   const ChatTokens& tokens, bool generation_prompt, std::vector<std::size_t>* starts) {
  if (messages.empty()) {
    throw ChatError("chat template " + std::string(family.name) +
                    ": Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  return write_chat(family, messages, tokens, generation_prompt, 0, starts);
}

}  // namespace detail

inline RenderedChat ChatTemplate::render(std::span<const Message> messages, const ChatTokens& tokens,
                                         bool generation_prompt) const {
  ChatWriter out = detail::write_whole_chat(*family_, messages, tokens, generation_prompt, nullptr);
  return {out.take_text(), detail::contents_of(out)};
}

/// The text of a whole conversation and what of it is learned.
/// Throws `ChatError`, also where it can't be told what the assistant wrote: such a conversation must not be trained
/// on.
inline TrainingChat render_for_training(const ChatTemplate& chat, std::span<const Message> messages,
                                        const ChatTokens& tokens) {
  std::vector<std::size_t> starts;
  ChatWriter out = detail::write_whole_chat(chat.family(), messages, tokens, false, &starts);
  TrainingChat made{out.take_text(), detail::contents_of(out), {}};
  const detail::ChatMask mask(chat.family(), messages, tokens, made.text, starts);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "assistant") made.trained.push_back(mask.trained(i));
  }
  return made;
}

/// A model's template and the texts of its special tokens.
struct ModelChat {
  ChatTemplate chat_template;
  ChatTokens tokens;
};

namespace detail {

/// The template that a tokenizer_config.json holds: a text, or the one named "default" in a list.
inline std::optional<std::string> find_chat_template(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::string text = read_text(path, settings_limit);
  const JsonScan file = scan_settings(text, path);
  const JsonField* field = file.find("chat_template");
  if (field == nullptr || field->kind == JsonKind::null) return std::nullopt;
  if (field->kind == JsonKind::string) return unescape_json(field->value);
  const std::string where = path.string() + ": \"chat_template\"";
  expects<FormatError>(field->kind == JsonKind::array, where + ": expected a text or a list of templates with names");
  const Json list = parse_json(field->value, where, {settings_limit, 64});
  for (const Json& entry : list) {
    const Json* name = entry.is_object() ? find_json(entry, "name") : nullptr;
    const Json* found = entry.is_object() ? find_json(entry, "template") : nullptr;
    expects<FormatError>(
        name != nullptr && name->is_string() && found != nullptr && found->is_string(),
        where + ": expected objects with the texts \"name\" and \"template\", found " + describe_json(entry));
    if (name->get_ref<const std::string&>() == "default") return found->get<std::string>();
  }
  throw FormatError(where + ": none of the templates in the list is named \"default\"");
}

/// The families whose markers a text holds, to say what it may be.
inline std::string resembling_families(std::string_view jinja) {
  std::string names;
  for (const ChatFamily* family : chat_families) {
    const bool alike = std::all_of(family->markers.begin(), family->markers.end(), [&](std::string_view marker) {
      return jinja.find(marker) != std::string_view::npos;
    });
    if (alike) names += (names.empty() ? "" : ", ") + std::string(family->name);
  }
  return names;
}

[[noreturn]] inline void fail_unrecognised(const std::string& where, std::string_view jinja) {
  const std::string alike = resembling_families(jinja);
  throw FormatError(
      where + ": this chat template is none of those that are known by their whole text: " + chat_family_names() +
      ". " +
      (alike.empty() ? "It holds the markers of none of them"
                     : "It holds the markers of " + alike + ", which need not mean that it does the same") +
      ". To use one, name it: --chat-template NAME");
}

inline ChatTemplate find_family(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "chat_template.jinja", settings = folder / "tokenizer_config.json";
  std::optional<std::string> jinja;
  std::string where = file.string();
  if (std::filesystem::exists(file)) {
    jinja = read_text(file, settings_limit);
  } else {
    jinja = find_chat_template(settings);
    where = settings.string() + ": \"chat_template\"";
  }
  if (!jinja) {
    throw FormatError(folder.string() +
                      ": no chat template: there is no chat_template.jinja, and no \"chat_template\" in "
                      "tokenizer_config.json. To use a known one, name it: --chat-template NAME, one of " +
                      chat_family_names());
  }
  if (const auto known = ChatTemplate::recognise(*jinja)) return *known;
  fail_unrecognised(where, *jinja);
}

}  // namespace detail

/// Throws `FormatError` for a tokenizer that knows BOS or EOS and does not find it in a text, where a rendered
/// conversation has it: a tokenizer.model alone.
inline void check_chat_tokenizer(const ModelChat& chat, const Tokenizer& tokenizer) {
  for (const std::string& text : {chat.tokens.bos, chat.tokens.eos}) {
    const auto id = text.empty() ? std::nullopt : tokenizer.id(text);
    if (!id || tokenizer.encode(text, {.add_special_tokens = false}) == std::vector{*id}) continue;
    throw FormatError("chat template " + std::string(chat.chat_template.name()) + ": the tokenizer does not find " +
                      text +
                      " in a text, as tokenizer.model alone never does: save the tokenizer with transformers' "
                      "AutoTokenizer, which writes a tokenizer.json");
  }
}

/// The chat template of a model's folder: `chat_template.jinja`, else `chat_template` of tokenizer_config.json; or the
/// family that is named, whatever the folder holds. Throws `FormatError` when the template is not one of those that are
/// known, or needs an EOS that the folder does not name; `ArgumentError` for an unknown name; `IoError`.
inline ModelChat read_chat_template(const std::filesystem::path& folder,
                                    const std::optional<std::string>& family = {}) {
  const ChatTemplate chat = family ? ChatTemplate::named(*family) : detail::find_family(folder);
  const SpecialTokens special = read_special_tokens(folder);
  ModelChat model{chat, {special.bos.value_or(""), special.eos.value_or("")}};
  if (chat.end_of_turn(model.tokens).empty()) {
    throw FormatError(folder.string() + ": the chat template " + std::string(chat.name()) +
                      " ends a reply with the eos token, and tokenizer_config.json names none: add \"eos_token\"");
  }
  return model;
}

}  // namespace veneer
