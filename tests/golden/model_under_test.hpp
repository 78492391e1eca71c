// SPDX-License-Identifier: Apache-2.0
/// \file model_under_test.hpp
/// ModelUnderTest: a model with an interface for the golden tests: folders and token ids in, plain lists
/// of numbers out.
///
/// All templates of a Llama are instantiated once, in model_under_test.cpp; the tests around it compile in seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "veneer/nn/llama_config.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/peft/combine.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/peft/plan.hpp"

namespace veneer::testing {

/// Values by name, each in row-major order.
using NamedValues = std::map<std::string, std::vector<float>>;

/// Sequences of one length, padded on the right.
struct TokenBatch {
  index_t rows = 0, length = 0;
  std::vector<std::int32_t> ids;      // (rows * length)
  std::vector<index_t> valid;         // (rows): number of tokens that are not padding
  std::vector<std::int32_t> targets;  // (rows * length): the label of the next token, -100 if there is none

  /// Returns the number of active targets.
  index_t counted() const;
};

/// The results of a step.
struct StepResult {
  std::vector<double> micro_losses;
  double loss = 0.0;           // their mean
  double gradient_norm = 0.0;  // before clipping
};

class ModelUnderTest {
 public:
  /// Loads a model; every allocated block of memory is filled with NaN.
  /// \param four_bits  quantises the linear layers as they are read
  explicit ModelUnderTest(const std::filesystem::path& folder, bool four_bits = false);
  ~ModelUnderTest();
  ModelUnderTest(ModelUnderTest&&) noexcept;

  const LlamaConfig& config() const;

  /// Converts all weights to float, as in the reference implementation.
  void widen();
  /// Rounds all weights to bfloat16, and computes in it from now on.
  void narrow();
  /// Rounds all weights to bfloat16, and computes in float.
  void round();
  AdapterPlan train_everything();
  /// Returns the plan of an adapter of every linear layer.
  AdapterPlan plan_all_linear(index_t rank);
  /// Returns greedy ids after a prompt, with a cache of keys and values.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& prompt, index_t count) const;
  /// Loads an adapter. The plan includes the warnings of the file.
  const AdapterPlan& load_adapter(const std::filesystem::path& folder);
  /// \param as_read  keep the form, types and unknown settings of the folder it was read from
  void save_adapter(const std::filesystem::path& folder, bool as_read = true);
  void detach();

  /// Merges, keeping the weights needed to unmerge.
  const std::vector<MergedWeight>& merge(Rounding rounding = Rounding::once);
  const std::vector<MergedWeight>& merge(MergeOptions options);
  void unmerge();
  /// Writes the model with the config.json of the folder it came from.
  void save(const std::filesystem::path& folder, bool with_base_files = true);

  /// Returns the logits, (rows * length, vocabulary), including padding.
  std::vector<float> logits(const TokenBatch& batch) const;
  /// Returns hidden states: "embed", "layer0", ..., "norm", each (rows * length, hidden).
  NamedValues hidden(const TokenBatch& batch) const;
  /// Returns the mean over the targets, and adds the gradients of `share` times the mean.
  double backward(const TokenBatch& batch, double share = 1.0);

  /// Returns gradients and values of the trained parameters, by the keys of an adapter file, or of a checkpoint
  /// without an adapter.
  NamedValues gradients();
  NamedValues parameters();
  void clear_gradients();

  /// Returns the active weights and biases of the base: the trained value if there is one.
  NamedValues weights() const;
  /// Returns the bytes of stored weights, preceded by a letter of their type; empty if none is stored.
  std::map<std::string, std::string> stored() const;
  /// Returns dtype, shape and bytes of all tensors of a checkpoint of the base, 4-bit weights in their parts.
  std::map<std::string, std::string> tensors();

  void optimise(const AdamWOptions& options, const std::function<ParameterGroup(const std::string&, int)>& group = {});
  /// Returns the kept triplets of each AdaLoRA module; empty lists before the first mask.
  std::map<std::string, std::vector<bool>> kept_triplets() const;
  /// Runs one step: mean loss of the micro-batches, their gradient, clipping (0: none), one update.
  StepResult step(const std::vector<TokenBatch>& micro_batches, double learning_rate, double max_norm = 0.0);
  /// Computes the gradient of a step without the update.
  StepResult gather(const std::vector<TokenBatch>& micro_batches);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// A module of a plain LoRA adapter.
struct LoraFactors {
  index_t rank = 0;
  double scaling = 0.0;
  std::vector<float> down, up;  // A: (rank, in), B: (out, rank)
};

/// One model with named adapters.
class SeveralUnderTest {
 public:
  /// \param four_bits  the linear layers as NF4
  explicit SeveralUnderTest(const std::filesystem::path& folder, bool four_bits = false);
  ~SeveralUnderTest();
  SeveralUnderTest(SeveralUnderTest&&) noexcept;

  void load(const std::string& name, const std::filesystem::path& folder);
  void save(const std::string& name, const std::filesystem::path& folder) const;
  AdapterPlan combine(const std::string& name, const std::vector<WeightedAdapter>& parts,
                      const CombineOptions& options);
  /// Writes an adapter converted to plain LoRA; returns whether its factors were rewritten.
  bool export_lora(const std::string& name, const std::filesystem::path& folder);
  std::map<std::string, LoraFactors> factors(const std::string& name) const;

  /// Returns logits, (rows * length, vocabulary): of one adapter, of a sum, or with one adapter per row.
  std::vector<float> logits(const std::string& name, const TokenBatch& batch) const;
  std::vector<float> sum(const std::vector<std::string>& names, const TokenBatch& batch) const;
  std::vector<float> mixed(const std::vector<std::string>& names, const TokenBatch& batch) const;
  /// Returns greedy tokens after one prompt per row, with one adapter per row.
  std::vector<std::vector<std::int32_t>> generate(const std::vector<std::string>& names,
                                                  const std::vector<std::vector<std::int32_t>>& prompts) const;
  /// Returns the names of the trained parameters of a sum, and their names in the adapter alone.
  std::vector<std::string> learning(const std::vector<std::string>& names, const std::string& one) const;
  /// Returns the merged weights of a sum, by name.
  NamedValues merged(const std::vector<std::string>& names) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace veneer::testing
