// SPDX-License-Identifier: Apache-2.0
/// \file train_settings.hpp
/// TrainSettings: all settings of a training run, as flags, as JSON in its checkpoints, and as YAML with its results.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/train/trainer.hpp"

#include "command.hpp"
#include "data_flags.hpp"
#include "model_flags.hpp"

namespace veneer::program {

struct TrainSettings {
  std::string model, data, out, adapter, resume;
  AdapterFlags adapter_flags;
  std::string replay;
  std::string add_tokens;  // a file with a token per line
  double replay_share = 0.125;
  double epochs = 1;
  index_t steps = 0;  // 0: determined by the epochs
  index_t batch = 8, grad_accum = 1, seq = 512;
  double learning_rate = 2e-4;
  std::string schedule = "linear";
  std::string warmup = "0";  // steps, or, below 1, a fraction of them
  double weight_decay = 0.01, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, clip = 1.0;
  double lora_plus_ratio = 0;  // 0: off
  double lora_plus_embedding_lr = 1e-6;
  index_t eva_batches = 16;
  std::uint64_t seed = 0;
  bool shuffle = true;
  DataFlags tokenization;
  bool packing = false;
  std::string eval;
  double eval_split = 0;
  index_t eval_every = 0, save_every = 0;
  bool checkpointing = false;
  std::string dtype = "auto", device = "cpu";
  QuantFlags quant;
  int threads = 0;
  bool dry_run = false, json = false, quiet = false;
  bool shipped = false;  // no --model: the shipped model and task

  void add_to(CLI::App& command);

  /// Sets the shipped defaults if no model is given, uses the settings of the adapter if one is continued, and throws
  /// for inconsistent settings.
  /// \throws ArgumentError with the flag's name
  void settle(const CLI::App& command);

  /// Compares the given flags with the settings of a checkpoint. \throws ArgumentError with the differences
  void refuse_conflicts_with(const TrainSettings& saved, const std::string& where) const;

  Json to_json() const;
  static TrainSettings from_json(const Json& json, const std::string& where);
  /// Returns a recipe of these settings, for --config.
  std::string to_yaml() const;

  /// \throws ArgumentError for a number that is not finite, a text that is not UTF-8
  void check_values() const;
  index_t warmup_steps(index_t total) const;
  bool full() const { return adapter_flags.method == "full"; }

 private:
  void take_adapter();

  std::vector<std::string> given_;  // flags, by their long names
};

/// Returns the path of a shipped model or task.
std::string shipped_data(const std::string& name);

}  // namespace veneer::program
