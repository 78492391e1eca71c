// SPDX-License-Identifier: Apache-2.0
/// \file generate.cpp
/// veneer generate: prints the continuation of a prompt while it is generated.
#include "veneer/nn/generate.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "command.hpp"
#include "conversation.hpp"
#include "reply.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

/// Returns the ids of the prompt as in examples of a data set: with the tokens that the tokenizer adds before,
/// and none after.
std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& text) {
  expects(!text.empty() || !tokenizer.prefix().empty(),
          "--prompt: is empty, and the tokenizer adds no token before a text: give a text to begin with");
  Record record;
  record.format = DatasetFormat::prompt_completion;
  record.prompt = text;
  return ExampleMaker(&tokenizer, {.add_eos = false}).prompt(record);
}

void warn_length(std::size_t prompt, index_t max_new_tokens, const LlamaConfig& config) {
  const index_t longest = static_cast<index_t>(prompt) + max_new_tokens;
  if (longest <= config.max_position_embeddings) return;
  note("warning: prompt and --max-new-tokens come to " + std::to_string(longest) + " tokens; the model supports " +
       std::to_string(config.max_position_embeddings) + " positions");
}

int run_plain(const GenerateFlags& flags) {
  expects(flags.prompt.has_value(), "--prompt: is required; or --chat, for a conversation");
  expects(!flags.system && !flags.chat_template, "--system and --chat-template: require --chat");
  const StopTexts stop(flags.stop);
  flags.model.apply();
  const Tokenizer tokenizer = Tokenizer::from_folder(text_folder(flags.model));
  const std::vector<std::int32_t> prompt = prompt_ids(tokenizer, prompt_text(flags));
  const Session session(flags.model);
  check_ids(prompt, session.config(), flags.model.model);
  warn_length(prompt.size(), flags.options.max_new_tokens, session.config());
  GenerateOptions options = flags.options;
  options.stop = stop_ids(session.folder(), session.config(), tokenizer);
  add_stop_tokens(tokenizer, flags.stop, options.stop);
  Reply reply(tokenizer, options.stop, stop, prompt);
  options.on_token = [&](std::size_t, std::int32_t id) { return reply.take(id); };
  const auto begin = std::chrono::steady_clock::now();
  const std::size_t count = session.generate(prompt, options).size();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  reply.finish();
  note_speed(prompt.size(), count, seconds);
  return done;
}

}  // namespace

std::string prompt_text(const GenerateFlags& flags) {
  std::string text = *flags.prompt;
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  check_utf8("--prompt", text);
  return text;
}

void check_utf8(const char* flag, const std::string& text) {
  if (const auto bad = find_invalid_utf8(text))
    throw ArgumentError(std::string(flag) + ": byte " + std::to_string(*bad) + " is not UTF-8");
}

void add_stop_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                     std::vector<std::int32_t>& ids) {
  for (const std::string& text : texts) {
    const auto id = tokenizer.id(text);
    if (id && tokenizer.is_special(*id)) ids.push_back(*id);
  }
}

void check_ids(const std::vector<std::int32_t>& ids, const LlamaConfig& config, const std::string& where) {
  expects<FormatError>(!ids.empty(), where + ": the tokenizer gives no tokens for the text");
  const std::int32_t largest = *std::max_element(ids.begin(), ids.end());
  if (largest < config.vocab_size) return;
  throw FormatError(where + ": the tokenizer gives the id " + std::to_string(largest) + ", the model has " +
                    std::to_string(config.vocab_size) + " rows: they don't belong together");
}

void note_speed(std::size_t prompt, std::size_t made, double seconds) {
  char rate[64];
  std::snprintf(rate, sizeof rate, "%.1f", static_cast<double>(made) / std::max(seconds, 1e-9));
  note(counted(prompt, "token") + " of prompt, " + counted(made, "new token") + ", " + rate + " a second");
}

void add_generate(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "print the continuation of a prompt");
  flags->model.add_to(*command);
  GenerateOptions& options = flags->options;
  command->add_option("--prompt", flags->prompt, "text to begin with; - reads it from stdin");
  command->add_flag("--chat", flags->chat,
                    "the prompt is a user's turn, in the model's chat template; without --prompt, hold a conversation "
                    "on the terminal");
  command->add_option("--chat-template", flags->chat_template,
                      "with --chat: a known template by name, or a .jinja file, instead of the model's");
  command->add_option("--system", flags->system, "with --chat: the system message");
  command->add_option("--stop", flags->stop, "text that ends the output, and is not part of it; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--max-new-tokens", options.max_new_tokens, "largest number of new tokens")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", options.temperature, "0: always the most likely token")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--top-k", options.top_k, "draw from this many tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", options.top_p, "draw from the fewest tokens that together reach this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--repetition-penalty", options.repetition_penalty, "above 1: tokens seen before are less likely")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  command->add_option("--seed", options.seed, "seed of the draws")->check(whole_number)->capture_default_str();
  command->callback([flags, &run] { run = [flags] { return flags->chat ? run_chat(*flags) : run_plain(*flags); }; });
}

}  // namespace veneer::program
