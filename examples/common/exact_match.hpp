// SPDX-License-Identifier: Apache-2.0
/// \file exact_match.hpp
/// complete(model, tokenizer, records): the greedy completions of prompts, and whether they equal the expected ones,
/// byte for byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/nn/generate.hpp"
#include "veneer/text/chat_folder.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/stream_decoder.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// A prompt with the expected and the generated completion.
struct Completion {
  std::string prompt, expected, found;
  bool exact() const { return expected == found; }
};

struct CompletionOptions {
  index_t max_new_tokens = 72;
  std::size_t batch = 64;
  std::vector<std::int32_t> stop = {};  // ids that end a completion
  ExampleOptions tokenization = {};     // the rendering of conversations
};

namespace detail {

/// Returns the part of a text before the end of its turn: a model without a token for the end writes it in several
/// tokens, and continues.
inline std::string until(const std::string& text, std::string_view end) {
  return end.empty() ? text : text.substr(0, text.find(end));
}

/// Returns the text that `made` adds to that of `prompt`.
inline std::string completion_text(const Tokenizer& tokenizer, const std::vector<std::int32_t>& prompt,
                                   const std::vector<std::int32_t>& made) {
  StreamDecoder stream(tokenizer, true, prompt);
  std::string text;
  for (const std::int32_t id : made) text += stream.push(id);
  return text + stream.flush();
}

}  // namespace detail

/// Returns greedy completions of prompts, computed in batches. For a conversation, the last reply is generated.
/// \throws FormatError when a record has no prompt, or is a conversation and there is no chat template
template <class Model>
std::vector<Completion> complete(const Model& model, const Tokenizer& tokenizer, const std::vector<Record>& records,
                                 const CompletionOptions& options) {
  std::vector<Completion> all;
  ExampleOptions tokenization = options.tokenization;
  tokenization.add_eos = false;
  const ExampleMaker maker(&tokenizer, tokenization);
  std::vector<std::int32_t> stop = options.stop;
  const ReplyEnd end_of_turn = tokenization.chat ? reply_end(*tokenization.chat, tokenizer) : ReplyEnd{};
  if (end_of_turn.id) stop.push_back(*end_of_turn.id);
  for (std::size_t begin = 0; begin < records.size(); begin += options.batch) {
    std::vector<std::vector<std::int32_t>> prompts;
    const std::size_t end = std::min(records.size(), begin + options.batch);
    for (std::size_t i = begin; i < end; ++i) {
      expects<FormatError>(records[i].has_prompt() || records[i].is_conversation(),
                           "line " + std::to_string(records[i].line) +
                               ": exact match needs a prompt and a completion, or a conversation");
      prompts.push_back(maker.prompt(records[i]));
    }
    const auto made = generate(model, prompts, {.max_new_tokens = options.max_new_tokens, .stop = stop});
    for (std::size_t i = begin; i < end; ++i) {
      const Record& record = records[i];
      if (!record.is_conversation()) {
        all.push_back(
            {record.prompt, record.text, detail::completion_text(tokenizer, prompts[i - begin], made[i - begin])});
        continue;
      }
      const std::string found = tokenizer.decode(made[i - begin], true);
      const std::size_t reply = record.last_reply();
      all.push_back({reply == 0 ? "" : record.messages[reply - 1].content,
                     detail::until(maker.reply(record), end_of_turn.text), detail::until(found, end_of_turn.text)});
    }
  }
  return all;
}

/// Returns the fraction of exact matches, from 0 to 1.
inline double exact_share(const std::vector<Completion>& completions) {
  const auto exact =
      std::count_if(completions.begin(), completions.end(), [](const Completion& c) { return c.exact(); });
  return completions.empty() ? 0.0 : static_cast<double>(exact) / static_cast<double>(completions.size());
}

/// Returns all records of a file.
inline std::vector<Record> read_records(const std::filesystem::path& path) {
  std::vector<Record> records;
  DatasetReader reader(path);
  for (Record record; reader.next(record);) records.push_back(record);
  return records;
}

}  // namespace veneer
