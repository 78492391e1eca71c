// SPDX-License-Identifier: Apache-2.0
/// \file generate.cpp
/// veneer generate: what a model writes behind a prompt, printed as it comes.
#include "veneer/nn/generate.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "veneer/text/stream_decoder.hpp"

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct GenerateFlags {
  ModelFlags model;
  std::string prompt;
  bool chat = false;
  GenerateOptions options;
};

/// The prompt as examples of a data set hold it: what the tokenizer puts in front, and nothing behind.
std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text) {
  expects(!text.empty() || !tokenizer.prefix().empty(),
          "--prompt: is empty, and the tokenizer puts nothing in front of a text: name something to begin with");
  if (text.empty()) return {tokenizer.prefix().begin(), tokenizer.prefix().end()};
  Record record;
  record.format = DatasetFormat::prompt_completion;
  record.prompt = text;
  std::vector<std::int32_t> ids = ExampleMaker(&tokenizer, {.add_eos = false}).make(record).ids;
  ids.resize(ids.size() - tokenizer.suffix().size());
  return ids;
}

/// \throws FormatError when the two don't belong together
void check_ids(const std::vector<std::int32_t>& ids, const LlamaConfig& config, const std::string& where) {
  const std::int32_t largest = *std::max_element(ids.begin(), ids.end());
  if (largest < config.vocab_size) return;
  throw FormatError(where + ": the tokenizer gives the id " + std::to_string(largest) + ", the model has " +
                    std::to_string(config.vocab_size) + " rows: they don't belong together");
}

int run_generate(const GenerateFlags& flags) {
  if (flags.chat) throw ArgumentError("--chat: chat templates are not supported yet; give the whole text as --prompt");
  flags.model.apply();
  const Tokenizer tokenizer = Tokenizer::from_folder(flags.model.model);
  std::string text = flags.prompt;
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  const std::vector<std::int32_t> prompt = prompt_ids(tokenizer, text);
  const Session session(flags.model);
  check_ids(prompt, session.config(), flags.model.model);
  const index_t longest = static_cast<index_t>(prompt.size()) + flags.options.max_new_tokens;
  if (longest > session.config().max_position_embeddings) {
    note("warning: prompt and --max-new-tokens come to " + std::to_string(longest) + " tokens; the model knows " +
         std::to_string(session.config().max_position_embeddings) + " positions");
  }
  GenerateOptions options = flags.options;
  options.stop = stop_ids(session.folder(), session.config(), tokenizer);
  StreamDecoder stream(tokenizer, true);
  options.on_token = [&](std::size_t, std::int32_t id) {
    const bool ends = std::find(options.stop.begin(), options.stop.end(), id) != options.stop.end();
    if (!ends) print(stream.push(id));
    flush();
    return true;
  };
  const auto begin = std::chrono::steady_clock::now();
  const std::size_t count = session.generate(prompt, options).size();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  print(stream.flush() + "\n");
  flush();
  char rate[64];
  std::snprintf(rate, sizeof rate, "%.1f", static_cast<double>(count) / std::max(seconds, 1e-9));
  note(counted(prompt.size(), "token") + " of prompt, " + counted(count, "new token") + ", " + rate + " a second");
  return done;
}

}  // namespace

void add_generate(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "write on behind a prompt");
  flags->model.add_to(*command);
  GenerateOptions& options = flags->options;
  command->add_option("--prompt", flags->prompt, "text to begin with; - reads it from stdin")->required();
  command->add_flag("--chat", flags->chat, "apply the model's chat template");
  command->add_option("--max-new-tokens", options.max_new_tokens, "end after this many")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", options.temperature, "0: always the most likely token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--top-k", options.top_k, "draw from this many tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", options.top_p, "draw from the fewest tokens that together reach this share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--repetition-penalty", options.repetition_penalty, "above 1: tokens seen before are less likely")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  command->add_option("--seed", options.seed, "of the draws")->capture_default_str();
  command->callback([flags, &run] { run = [flags] { return run_generate(*flags); }; });
}

}  // namespace veneer::program
