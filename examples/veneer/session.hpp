// SPDX-License-Identifier: Apache-2.0
/// \file session.hpp
/// A model with its adapter, and all that the subcommands ask of it. session.cpp alone compiles the model for them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/gguf/types.hpp"
#include "veneer/nn/llama_config.hpp"
#include "veneer/peft/config.hpp"
#include "veneer/peft/plan.hpp"
#include "veneer/text/dataset.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/tokenizer.hpp"

#include "model_flags.hpp"

namespace veneer {
struct Completion;       // train/exact_match.hpp
struct CombineOptions;   // peft/combine.hpp
struct GenerateOptions;  // nn/generate.hpp
struct MergedWeight;     // peft/merge.hpp
struct MergeOptions;     // peft/merge.hpp
struct WeightedAdapter;  // peft/combine.hpp
}  // namespace veneer

namespace veneer::program {

/// Sequences of one length, right-padded.
struct PaddedBatch {
  index_t rows = 0, length = 0;
  std::vector<std::int32_t> ids;  // (rows, length)
  std::vector<index_t> valid;     // (rows): how many ids of each count
};

/// A loss summed over the targets that count.
struct SummedLoss {
  double sum = 0.0;
  index_t targets = 0;
};

/// What 4 bits cost one weight: || decoded - read || / || read ||.
struct QuantisedWeight {
  std::string name;
  double relative_error = 0.0;
};

class Session {
 public:
  /// Loads the model and the adapter that the flags name, or the sum of several; warnings go to stderr.
  /// \throws ArgumentError, FormatError, IoError
  explicit Session(const ModelFlags& flags) : Session(flags, flags.quant.options()) {}
  /// Linear layers become 4-bit ones of these options as they are read.
  Session(const ModelFlags& flags, const std::optional<QuantizeOptions>& quantise);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const LlamaConfig& config() const;
  const std::filesystem::path& folder() const;

  /// (rows, length, vocabulary), some rows at a time.
  std::vector<float> logits(const PaddedBatch& batch) const;

  /// The new tokens behind `prompt`.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options) const;

  /// What the model says to each prompt, greedily, beside what it should say.
  /// `making`: how conversations are written.
  std::vector<Completion> complete(const Tokenizer& tokenizer, const std::vector<Record>& records,
                                   index_t max_new_tokens, const ExampleOptions& making) const;

  SummedLoss loss(const ExampleStore& examples, std::size_t begin, std::size_t end) const;

  /// Holds every dense weight in 32 bits.
  void widen();

  /// Whether an adapter of the head follows that of the embedding, as that of trained tokens does.
  bool head_follows() const;

  /// Folds the adapter into the weights; the session then holds a plain model.
  std::vector<MergedWeight> merge(const MergeOptions& options);

  /// The weights that became 4-bit ones as they were read. Each is read again for this, one at a time.
  std::vector<QuantisedWeight> quantise_errors() const;

  /// Writes the model as a Hugging Face folder.
  void save(const std::filesystem::path& folder);

  /// Writes the model with its adapter folded in as a GGUF file; `keys`: those of the tokenizer.
  void save_gguf(const std::filesystem::path& file, const std::vector<GgufKey>& keys, GgmlType type) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// An adapter's folder and the name that it goes by.
struct AdapterFolder {
  std::string name, folder;
};

/// A model on which adapters take turns, and one sequence that grows: what a conversation runs on.
class SwitchingSession {
 public:
  /// Loads the model and each of the adapters; the first is active.
  /// \throws ArgumentError, FormatError, IoError
  SwitchingSession(const ModelFlags& flags, const std::vector<AdapterFolder>& adapters);
  ~SwitchingSession();
  SwitchingSession(const SwitchingSession&) = delete;
  SwitchingSession& operator=(const SwitchingSession&) = delete;

  const LlamaConfig& config() const;

  /// Goes on with the adapter of that name, or with none where it is empty.
  /// \throws ArgumentError for an unknown name
  void use(const std::string& name);
  const std::string& active() const;

  /// The new tokens behind `ids`. What they share with the last call is not computed again while the adapter stays.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& ids, const GenerateOptions& options);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// An adapter that was written.
struct AdapterChange {
  LoraConfig config;
  AdapterPlan plan;
  bool rewritten = false;  // its factors are not those that were read
};

/// Writes the flags' one adapter as a PEFT folder, or folded into plain LoRA. Reads no weights of the model, unless the
/// folder is to hold some.
/// \throws ArgumentError, FormatError, IoError
AdapterChange export_adapter(const ModelFlags& flags, bool fold, const std::filesystem::path& out);

/// Writes the flags' one adapter as a GGUF file. Reads no weights of the model, unless the adapter's folder holds some.
/// \returns the number of modules, and whether their scales were folded into lora_b
/// \throws ArgumentError for an adapter that llama.cpp cannot apply; FormatError, IoError
std::pair<std::size_t, bool> export_gguf_adapter(const ModelFlags& flags, const std::filesystem::path& out,
                                                 GgmlType type);

/// Writes a combination of adapters, each named by its folder, as a PEFT folder.
/// \throws ArgumentError, FormatError, IoError
AdapterChange combine_adapters(const ModelFlags& flags, const std::vector<WeightedAdapter>& parts,
                               const CombineOptions& options, const std::filesystem::path& out);

/// What an adapter of this config would change about a model; no weight is allocated.
AdapterPlan plan_of(const LlamaConfig& model, const LoraConfig& adapter);

}  // namespace veneer::program
