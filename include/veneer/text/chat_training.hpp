// SPDX-License-Identifier: Apache-2.0
/// \file chat_training.hpp
/// The byte ranges of a rendered conversation that are trained on.
///
/// If a template marks replies with {% generation %}, these are the ranges. Otherwise, for message i of messages[0..n):
///     S = length of render(messages[0..i), with the generation prompt for a reply, without it for others)
///     E = length of render(messages[0..i], without the generation prompt)
///     Both texts must be prefixes of the whole text (a final EOS of the second is not compared). [S, E) without white
///     space at its end is trained on, so the last token is the one that ends the turn.
///
/// Some templates render a message differently once others follow it: Qwen3 removes earlier thoughts. Then each
/// message that is trained on becomes a separate text, which ends with it: render(messages[0..i]), from S on. That is
/// the context that the model has when it replies. If S is not the length of a prefix of that text either, the
/// conversation is refused.
///
/// Prefixes are rendered again for each message that is trained on, so the total number of messages in all prefixes is
/// limited by `work_limit`.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/chat_template.hpp"
#include "veneer/text/message.hpp"
#include "veneer/text/normalize.hpp"

namespace veneer {

/// A conversation to train on, or its part up to one message. `trained` has the ranges of `text`, in order.
struct TrainingChat {
  std::string text;
  std::vector<ByteRange> contents;
  std::vector<ByteRange> trained;
  bool marked = false;  // by {% generation %}
  bool whole = true;    // not the part up to one message
};

namespace detail {

class ChatMask {
 public:
  static constexpr std::size_t work_limit = std::size_t{1} << 20;

  /// Messages before `first` are not trained on.
  ChatMask(const ChatTemplate& chat, std::span<const Message> messages, const ChatTokens& tokens,
           const ChatVariables& variables, std::size_t first)
      : chat_(chat), messages_(messages), tokens_(tokens), variables_(variables) {
    for (std::size_t i = first; i < messages.size(); ++i)
      if (messages[i].is_trained()) chosen_.push_back(i);
  }

  std::vector<TrainingChat> texts() {
    RenderedChat whole = chat_.render(messages_, tokens_, false, variables_);
    TrainingChat one{std::move(whole.text), std::move(whole.contents), {}};
    if (!whole.generations.empty()) {
      if (auto marked = from_marks(whole.generations)) {
        one.trained = std::move(*marked);
        one.marked = true;
        return {std::move(one)};
      }
    }
    check_work();
    for (const std::size_t i : chosen_) {
      const std::optional<ByteRange> range = range_in(one.text, i);
      if (!range) return apart();
      one.trained.push_back(trimmed(one.text, *range, i));
    }
    return {std::move(one)};
  }

 private:
  /// Returns the marks of the template; nullopt if a message that is trained on has no mark.
  std::optional<std::vector<ByteRange>> from_marks(const std::vector<ByteRange>& marks) const {
    std::vector<std::size_t> replies;
    for (std::size_t i = 0; i < messages_.size(); ++i)
      if (messages_[i].role == "assistant") replies.push_back(i);
    if (chosen_ == replies) return marks;
    if (marks.size() != replies.size()) return std::nullopt;
    std::vector<ByteRange> ranges;
    std::size_t next = 0;
    for (std::size_t i = 0; i < replies.size(); ++i) {
      if (next == chosen_.size() || chosen_[next] != replies[i]) continue;
      ranges.push_back(marks[i]);
      ++next;
    }
    return next == chosen_.size() ? std::optional(ranges) : std::nullopt;
  }

  /// Returns the bytes of message i, if the renderings up to it, with and without it, are prefixes of `text`.
  std::optional<ByteRange> range_in(const std::string& text, std::size_t i) const {
    const bool reply = messages_[i].role == "assistant";
    if (i == 0 && reply) fail(i, "the conversation before it is empty, and does not render");
    const auto begin = i == 0 ? std::optional<std::size_t>(0) : prefix(text, i, reply);
    const auto end = prefix(text, i + 1, false);
    if (!begin || !end || *end < *begin) return std::nullopt;
    return ByteRange{*begin, *end};
  }

  /// Returns the length of the text of the first `count` messages, if `text` begins with it.
  std::optional<std::size_t> prefix(const std::string& text, std::size_t count, bool generation_prompt) const {
    if (count == messages_.size() && !generation_prompt) return text.size();
    const std::string made = beginning(count, generation_prompt).text;
    std::string_view compared = made;
    const std::string_view eos = tokens_.eos;
    if (!text.starts_with(compared) && !generation_prompt && !eos.empty() && compared.ends_with(eos))
      compared.remove_suffix(eos.size());
    return text.starts_with(compared) ? std::optional(compared.size()) : std::nullopt;
  }

  RenderedChat beginning(std::size_t count, bool generation_prompt) const {
    return chat_.render(messages_.first(count), tokens_, generation_prompt, variables_);
  }

  void check_work() const {
    std::size_t work = 0;
    for (const std::size_t i : chosen_) work += 2 * i + 1;
    if (work <= work_limit) return;
    throw ChatError("chat template " + chat_.name() + ": the conversation has " + std::to_string(messages_.size()) +
                    " messages: too many to determine which text is trained on; split it into several");
  }

  /// Returns a separate text for each message.
  std::vector<TrainingChat> apart() const {
    std::vector<TrainingChat> all;
    for (const std::size_t i : chosen_) {
      const bool reply = messages_[i].role == "assistant";
      RenderedChat made = beginning(i + 1, false);
      const std::string before = i == 0 ? std::string() : beginning(i, reply).text;
      if (!made.text.starts_with(before))
        fail(i, "the text up to it is not a prefix of the text of the whole conversation");
      const ByteRange range = trimmed(made.text, {before.size(), made.text.size()}, i);
      all.push_back({std::move(made.text), std::move(made.contents), {range}, false, false});
    }
    return all;
  }

  ByteRange trimmed(const std::string& text, ByteRange range, std::size_t i) const {
    constexpr std::string_view space = " \t\r\n";
    const std::string_view reply = std::string_view(text).substr(range.begin, range.end - range.begin);
    const std::size_t length = reply.find_last_not_of(space) + 1;  // npos + 1 is 0: only white space
    if (length == 0 && messages_[i].content.find_first_not_of(space) != std::string::npos)
      fail(i, "the template does not write it");
    return {range.begin, range.begin + length};
  }

  [[noreturn]] void fail(std::size_t i, const std::string& why) const {
    throw ChatError("chat template " + chat_.name() + ": message " + std::to_string(i + 1) + " (" +
                    printable(messages_[i].role) + "): it can't be determined which text is trained on: " + why);
  }

  const ChatTemplate& chat_;
  std::span<const Message> messages_;
  const ChatTokens& tokens_;
  const ChatVariables& variables_;
  std::vector<std::size_t> chosen_;  // the messages that are trained on
};

}  // namespace detail

/// Returns the text of a whole conversation and its trained ranges; or several texts, one per message that is trained
/// on, if the template renders a message differently once others follow. Messages before `first` are not trained on.
/// Throws `ChatError`, also if the text of the assistant cannot be determined.
inline std::vector<TrainingChat> render_for_training(const ChatTemplate& chat, std::span<const Message> messages,
                                                     const ChatTokens& tokens, const ChatVariables& variables = {},
                                                     std::size_t first = 0) {
  return detail::ChatMask(chat, messages, tokens, variables, first).texts();
}

/// Throws `ChatError` if a conversation has tools, documents or calls, and the template does not mention them.
inline void check_mentioned(const ChatTemplate& chat, std::span<const Message> messages,
                            const ChatVariables& variables) {
  const auto check = [&](const char* name, const Json* value) {
    if (value == nullptr || !value->is_array() || value->empty() || chat.mentions(name, variables)) return;
    throw ChatError("chat template " + chat.name() + ": has no place for \"" + name + "\" of the record");
  };
  check("tools", &variables.tools);
  check("documents", &variables.documents);
  for (const Message& message : messages)
    if (message.whole.is_object()) check("tool_calls", find_json(message.whole, "tool_calls"));
}

}  // namespace veneer
