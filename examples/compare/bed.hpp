// SPDX-License-Identifier: Apache-2.0
/// \file bed.hpp
/// Bed: the test bed of all comparisons, with the shipped model, its tasks, and the measurements. Only bed.cpp
/// compiles the model.
///
///   exact match    fraction of held-out lines whose greedy completion is the recorded one, byte for byte
///   old skills     the same fraction on base.test.jsonl: the abilities of the base
///   prose          nats per token on prose.test.jsonl
///   training loss  nats per token on the first 512 training lines
/// Settings are trained together, alternating after each step, on the same lines, so that times can be compared: other
/// work on the machine affects all of them.
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

/// The scored data sets, and their sizes.
struct Scope {
  std::string split = "test";  // of the task: test or valid
  std::size_t lines = 0;       // of each file, evenly spread; 0: all
  bool others = true;          // also old skills, prose and training loss
};

struct Footprint {
  double peak = 0.0;     // largest number of bytes in use, for the weights and a few steps
  double weights = 0.0;  // bytes in use before training
  double file = 0.0;     // bytes of the safetensors file written by training
};

/// Two adapters on one base. Rows: no adapter, the first, the second; columns: the first's task, the second's.
struct SwapReport {
  double exact[3][2] = {};
  double swap_seconds = 0.0;   // median of exchanging all adapters of the model
  double load_seconds = 0.0;   // time of reading one from its folder
  double swap_bytes = 0.0;     // allocated from the arena by the exchange
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

  /// Scores the shipped base.
  Scores untrained(const std::string& task, const Scope& scope) const;

  /// Trains all settings, alternating after each step, then scores them.
  std::vector<Outcome> run(const std::vector<Setting>& settings, const Scope& scope) const;

  /// Trains one setting for some steps and measures the arena, then writes the result and measures the file.
  Footprint footprint(const Setting& setting, index_t steps) const;

  /// Trains two adapters, writes and loads them, and scores them in turn on one base.
  SwapReport swap(const Setting& first, const Setting& second, const Scope& scope) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Returns the plan of an adapter of this config; no weight is allocated.
AdapterPlan plan_of(const LlamaConfig& model, const AdapterConfig& adapter);

}  // namespace veneer::compare
