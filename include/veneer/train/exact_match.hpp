// SPDX-License-Identifier: Apache-2.0
/// \file exact_match.hpp
/// complete(model, tokenizer, records): what a model says to each prompt, greedily, and whether that is the completion,
/// byte for byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "veneer/nn/generate.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// A prompt with what was expected and what came.
struct Completion {
  std::string prompt, expected, found;
  bool exact() const { return expected == found; }
};

struct CompletionOptions {
  index_t max_new_tokens = 72;
  std::size_t batch = 64;
  std::vector<std::int32_t> stop = {};  // ids that end a completion
};

/// Greedy completions of prompts, many at a time.
/// \throws FormatError when a record has no prompt
template <class Model>
std::vector<Completion> complete(const Model& model, const Tokenizer& tokenizer, const std::vector<Record>& records,
                                 const CompletionOptions& options) {
  std::vector<Completion> all;
  const ExampleMaker maker(&tokenizer, {.add_eos = false});
  for (std::size_t begin = 0; begin < records.size(); begin += options.batch) {
    std::vector<std::vector<std::int32_t>> prompts;
    const std::size_t end = std::min(records.size(), begin + options.batch);
    for (std::size_t i = begin; i < end; ++i) {
      expects<FormatError>(records[i].format == DatasetFormat::prompt_completion,
                           "line " + std::to_string(records[i].line) + ": exact match needs a prompt and a completion");
      Record prompt = records[i];
      prompt.text.clear();
      prompts.push_back(maker.make(prompt).ids);
    }
    const auto made = generate(model, prompts, {.max_new_tokens = options.max_new_tokens, .stop = options.stop});
    for (std::size_t i = begin; i < end; ++i) {
      all.push_back({records[i].prompt, records[i].text, tokenizer.decode(made[i - begin], true)});
    }
  }
  return all;
}

/// The share that is exact, from 0 to 1.
inline double exact_share(const std::vector<Completion>& completions) {
  const auto exact =
      std::count_if(completions.begin(), completions.end(), [](const Completion& c) { return c.exact(); });
  return completions.empty() ? 0.0 : static_cast<double>(exact) / static_cast<double>(completions.size());
}

/// All records of a file.
inline std::vector<Record> read_records(const std::filesystem::path& path) {
  std::vector<Record> records;
  DatasetReader reader(path);
  for (Record record; reader.next(record);) records.push_back(record);
  return records;
}

}  // namespace veneer
