// SPDX-License-Identifier: Apache-2.0
/// \file train_inputs.hpp
/// TrainInputs: what a training run begins with: settings, the checkpoint to resume, the model's configuration, and the
/// tokenizer with the tokens of --add-tokens.
#pragma once

#include <cstdio>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/text/add_tokens.hpp"
#include "veneer/train/state.hpp"

#include "train_settings.hpp"

namespace veneer::program {

struct TrainInputs {
  TrainSettings settings;
  std::optional<TrainingState> state;  // of the checkpoint to resume
  std::filesystem::path state_folder;
  LlamaConfigFile config_file;
  std::optional<GrownTokenizer> grown;  // with --add-tokens
  std::optional<Tokenizer> tokenizer;

  /// Reads the files of the settings, without data and weights.
  explicit TrainInputs(TrainSettings given) : settings(std::move(given)) {
    if (!settings.resume.empty()) find_state();
    config_file = read_llama_config(std::filesystem::path(settings.model) / "config.json");
    warn_of(config_file.warnings);
    if (settings.dtype == "float16") say("note: --dtype float16 is computed in float32 on a CPU");
    settings.dtype = activation_name(activation_storage(settings.dtype, config_file.config));
    find_tokens();
  }

  void say(const std::string& line) const {
    if (!settings.quiet) std::fprintf(stderr, "%s\n", line.c_str());
  }

  void warn_of(const std::vector<std::string>& warnings) const {
    for (const std::string& warning : warnings) say("warning: " + warning);
  }

  /// Returns the model's configuration in training.
  LlamaConfig config() const {
    LlamaConfig config = config_file.config;
    if (grown) config.vocab_size = grown->rows;
    return config;
  }

  /// Returns the config of the adapter given by the flags. Added tokens are trained, unless the flags exclude it.
  AdapterConfig adapter_config(index_t steps) const {
    AdapterConfig config = settings.adapter_flags.config(steps);
    if (!grown || grown->ids.empty() || !takes_tokens(config.method) || config.trainable_token_indices ||
        config.modules_to_save)
      return config;
    const std::vector<index_t> ids(grown->ids.begin(), grown->ids.end());
    config.trainable_token_indices = {{{"embed_tokens", ids}, {"lm_head", ids}}};
    if (config_file.config.tie_word_embeddings) config.trainable_token_indices = {{{"", ids}}};
    return config;
  }

  /// Returns the config of the trained adapter: of --adapter, or of the flags.
  AdapterConfig planned_adapter() const {
    if (settings.adapter.empty()) return adapter_config(settings.steps);
    AdapterConfig config = read_adapter_config(std::filesystem::path(settings.adapter) / "adapter_config.json").config;
    if (config.target_modules.kind == ModuleChoice::Kind::none)
      config.target_modules = default_target_modules(config_file.config.model_type, config.method);
    return config;
  }

  /// Writes the tokenizer with added tokens, if there are any, next to the adapter.
  void write_tokenizer(const std::filesystem::path& folder) const {
    if (!grown) return;
    detail::copy_along(settings.model, folder);
    write_atomically(folder / "tokenizer.json", grown->json);
  }

 private:
  void find_state() {
    const auto folder = newest_checkpoint(settings.resume);
    if (!folder)
      throw IoError("--resume " + settings.resume + ": neither a checkpoint nor the folder of a run with one");
    state = read_training_state(*folder);
    state_folder = *folder;
    const std::string where = (*folder / "trainer_state.json").string();
    TrainSettings saved = TrainSettings::from_json(state->settings, where);
    settings.refuse_conflicts_with(saved, where);
    saved.out =
        settings.out.empty()
            ? (*folder == std::filesystem::path(settings.resume) ? folder->parent_path().string() : settings.resume)
            : settings.out;
    saved.threads = settings.threads;
    saved.quiet = settings.quiet, saved.json = settings.json, saved.dry_run = settings.dry_run;
    settings = std::move(saved);
  }

  /// Reads the tokenizer, with the added tokens, and the ids of --train-tokens.
  void find_tokens() {
    const std::filesystem::path folder = settings.model;
    if (settings.add_tokens.empty()) {
      tokenizer = find_tokenizer(folder);
    } else if (state) {
      grown.emplace(GrownTokenizer{read_text(state_folder / "tokenizer.json", tokenizer_limits.bytes), {}, 0});
    } else {
      grown = add_tokens(folder, added_texts());
    }
    if (grown) {
      tokenizer = Tokenizer::from_json(grown->json, settings.add_tokens, read_special_tokens(folder));
      grown->rows = tokenizer->largest_id() + 1;
    }
    resolve_tokens(settings.adapter_flags.train_tokens, tokenizer);
  }

  std::vector<std::string> added_texts() const {
    std::istringstream lines(read_text(settings.add_tokens, std::size_t{1} << 24));
    std::vector<std::string> texts;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty()) texts.push_back(line);
    }
    expects<FormatError>(!texts.empty(), settings.add_tokens + ": names no token");
    return texts;
  }
};

}  // namespace veneer::program
