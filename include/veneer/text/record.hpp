// SPDX-License-Identifier: Apache-2.0
/// \file record.hpp
/// Record: one record of training data as in its file, before tokenization.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/dataset_error.hpp"
#include "veneer/text/message.hpp"

namespace veneer {

enum class DatasetFormat { messages, conversations, prompt_completion, instruction, text, input_ids, plain };

/// Returns the name of a format in messages.
inline std::string_view to_string(DatasetFormat format) {
  constexpr std::array<std::string_view, 7> names{
      "messages", "conversations", "prompt + completion", "instruction + output", "text", "input_ids", "plain text"};
  return names[static_cast<std::size_t>(format)];
}

/// One record. Members that its format does not have are empty.
struct Record {
  DatasetFormat format = DatasetFormat::text;
  std::size_t line = 0;
  std::string prompt;                // of prompt + completion, and of instruction + output
  std::string text;                  // the completion, or the text
  std::vector<std::int32_t> ids;     // (tokens)
  std::vector<std::int32_t> labels;  // (tokens), not shifted; `ignored_label` for tokens that are not trained on
  std::vector<Message> messages;     // of a conversation
  std::size_t prompt_messages = 0;   // number of messages of the prompt, which are not trained on
  ChatVariables variables;           // other variables of the chat template

  bool is_conversation() const { return !messages.empty(); }
  /// Returns whether message i is trained on.
  bool is_trained(std::size_t i) const { return i >= prompt_messages && messages[i].is_trained(); }
  /// Returns the index of the last message of the assistant; the number of messages if there is none.
  std::size_t last_reply() const {
    std::size_t at = messages.size();
    while (at > 0 && messages[at - 1].role != "assistant") --at;
    return at > 0 ? at - 1 : messages.size();
  }
  /// Returns whether there is a prompt, empty or not, followed by a text.
  bool has_prompt() const { return format == DatasetFormat::prompt_completion || format == DatasetFormat::instruction; }
};

/// A note on a valid file.
struct DatasetNote {
  std::size_t line;
  DatasetReason reason;
  friend bool operator==(const DatasetNote&, const DatasetNote&) = default;
};

/// A list of notes in the order of lines; only the first are kept, all are counted.
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

}  // namespace veneer
