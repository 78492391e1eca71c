// SPDX-License-Identifier: Apache-2.0
/// \file bed.hpp
/// The bed of all comparisons: the shipped model, its tasks, and what is measured of it. bed.cpp alone
/// compiles the model.
///
///   exact match    share of held-out lines whose greedy completion is the recorded one, byte for byte
///   old skills     the same, on base.test.jsonl: what the base knew before
///   prose          nats per token on prose.test.jsonl
///   training loss  nats per token on the first 512 lines that were learnt from
/// Settings are trained side by side, a step of each in turn on the same lines, so that times can be compared: other
/// work on the machine meets all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "veneer/nn/llama_config.hpp"
#include "veneer/peft/config.hpp"
#include "veneer/peft/plan.hpp"

#include "setting.hpp"

namespace veneer::compare {

struct Scores {
  double exact = 0.0, old_skills = 0.0, prose = 0.0, training_loss = 0.0;
};

struct Outcome {
  Setting setting;
  Scores scores;
  index_t trainable = 0;
  double tokens_per_second = 0.0;
  double relative_time = 1.0;  // median over the steps of (time per token / the first setting's)
};

/// What is scored, and on how much.
struct Scope {
  std::string split = "test";  // of the task: test or valid
  std::size_t lines = 0;       // of each file, evenly spread; 0: all
  bool others = true;          // old skills, prose and training loss too
};

struct Footprint {
  double peak = 0.0;     // bytes in use at most, of the weights and a few steps
  double weights = 0.0;  // bytes in use before anything is trained
  double file = 0.0;     // bytes of the safetensors file that training leaves
};

/// Two adapters on one base. Rows: no adapter, the first, the second; columns: the first's task, the second's.
struct SwapReport {
  double exact[3][2] = {};
  double swap_seconds = 0.0;   // median of exchanging all adapters of the model
  double load_seconds = 0.0;   // reading one from its folder
  double swap_bytes = 0.0;     // taken from the arena by exchanging
  double adapter_bytes = 0.0;  // of one, in memory
  double base_bytes = 0.0;     // of the one base, in memory
};

class Bed {
 public:
  /// \param data  the folder examples/data
  explicit Bed(const std::filesystem::path& data);
  ~Bed();
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;

  /// The base as it is shipped.
  Scores untrained(const std::string& task, const Scope& scope) const;

  /// Trains side by side, then scores.
  std::vector<Outcome> run(const std::vector<Setting>& settings, const Scope& scope) const;

  /// Trains alone for some steps and measures the arena, then writes what was trained and measures the file.
  Footprint footprint(const Setting& setting, index_t steps) const;

  /// Trains two adapters, writes and loads them, and scores them in turn on one base.
  SwapReport swap(const Setting& first, const Setting& second, const Scope& scope) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// What an adapter of this config would change about a model; no weight is allocated.
AdapterPlan plan_of(const LlamaConfig& model, const LoraConfig& adapter);

}  // namespace veneer::compare
