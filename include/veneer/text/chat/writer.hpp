// SPDX-License-Identifier: Apache-2.0
/// \file writer.hpp
/// What a family of chat templates is written against: a text that remembers which of it is a message's own.
///
///     inline void chatml_turn(ChatWriter& out, std::size_t i) {
///       out.markup("<|im_start|>", out.message(i).role, "\n");
///       out.content(i);
///       out.markup("<|im_end|>\n");
///     }
/// A family is two functions. `turn(out, i)` writes message i; it may look at the messages before it, and at whether
/// one follows and of which role. `close(out)` writes what stands behind the last. A conversation is all its turns and
/// the close; nobody takes back what was written. That is why a mask can be found in one pass: see chat_template.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/text/message.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// A conversation that a chat template refuses, or of which it can't be said what the assistant wrote.
struct ChatError : FormatError {
  using FormatError::FormatError;
};

/// The texts of a model's special tokens; empty where it has none.
struct ChatTokens {
  std::string bos;
  std::string eos;
};

class ChatWriter {
 public:
  ChatWriter(std::string_view family, std::span<const Message> messages, const ChatTokens& tokens,
             bool generation_prompt)
      : family_(family), messages_(messages), tokens_(tokens), generation_prompt_(generation_prompt) {}

  std::size_t count() const { return messages_.size(); }
  const Message& message(std::size_t i) const { return messages_[i]; }
  bool is(std::size_t i, std::string_view role) const { return messages_[i].role == role; }
  std::string_view bos() const { return tokens_.bos; }
  std::string_view eos() const { return tokens_.eos; }
  /// Whether the assistant's turn is to be begun.
  bool generation_prompt() const { return generation_prompt_; }

  /// The template's own texts.
  template <class... Text>
  void markup(const Text&... text) {
    (text_.append(std::string_view(text)), ...);
  }

  /// What message i says, or the part of it that the template takes.
  void content(std::size_t i) { content(i, messages_[i].content); }
  void content(std::size_t i, std::string_view text) {
    contents_.emplace_back(i, ByteRange{text_.size(), text_.size() + text.size()});
    text_.append(text);
  }

  /// Where the template raises an error. \throws ChatError
  [[noreturn]] void refuse(std::size_t i, std::string_view reason) const {
    throw ChatError("chat template " + std::string(family_) + ": message " + std::to_string(i + 1) + " (" +
                    printable(messages_[i].role) + "): " + std::string(reason));
  }

  const std::string& text() const { return text_; }
  std::string take_text() { return std::move(text_); }
  /// In the order in which they were written; a message that the template leaves out is not among them.
  const std::vector<std::pair<std::size_t, ByteRange>>& contents() const { return contents_; }

 private:
  std::string_view family_;
  std::span<const Message> messages_;
  const ChatTokens& tokens_;
  bool generation_prompt_;
  std::string text_;
  std::vector<std::pair<std::size_t, ByteRange>> contents_;
};

/// One family: its name, how its template is known, and the template as two functions.
struct ChatFamily {
  std::string_view name;
  std::string_view fingerprint;             // SHA-256 of the template's text without its last line end
  std::array<std::string_view, 2> markers;  // texts that all of its like hold: a hint, never a choice
  std::string_view end_of_turn;             // behind what the assistant says; empty: the model's eos token
  void (*turn)(ChatWriter& out, std::size_t i);
  void (*close)(ChatWriter& out);
};

namespace chat {

/// White space as Python's str.strip has it: the Unicode property, and the four separators U+001C to U+001F.
inline bool is_stripped(char32_t value) { return is_white_space(value) || (value >= 0x1C && value <= 0x1F); }

inline std::string_view strip_begin(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint point = decode_utf8(text, at);
    if (point.length == 0 || !is_stripped(point.value)) break;
    at += point.length;
  }
  return text.substr(at);
}

inline std::string_view strip_end(std::string_view text) {
  while (!text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && is_continuation(text, at)) --at;
    const CodePoint point = decode_utf8(text, at);
    if (at + point.length != text.size() || !is_stripped(point.value)) break;
    text = text.substr(0, at);
  }
  return text;
}

/// Jinja's `| trim`.
inline std::string_view strip(std::string_view text) { return strip_end(strip_begin(text)); }

/// The rule of several families: from message `first` on, every other one is the user's.
inline void check_alternation(const ChatWriter& out, std::size_t i, std::size_t first, std::string_view reason) {
  if (out.is(i, "user") != ((i - first) % 2 == 0)) out.refuse(i, reason);
}

inline constexpr std::string_view must_alternate =
    "Conversation roles must alternate user/assistant/user/assistant/...";

/// For families that write nothing behind the last turn.
inline void no_close(ChatWriter&) {}

}  // namespace chat
}  // namespace veneer
