// SPDX-License-Identifier: Apache-2.0
/// \file session.hpp
/// Session: a model with its adapter, and the operations of the subcommands. Only session.cpp compiles the model.
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
struct Completion;       // common/exact_match.hpp
struct CombineOptions;   // peft/combine.hpp
struct GenerateOptions;  // nn/generate.hpp
struct MergedWeight;     // peft/merge.hpp
struct MergeOptions;     // peft/merge.hpp
struct WeightedAdapter;  // peft/combine.hpp
}  // namespace veneer

namespace veneer::program {

/// Right-padded sequences of one length.
struct PaddedBatch {
  index_t rows = 0, length = 0;
  std::vector<std::int32_t> ids;  // (rows, length)
  std::vector<index_t> valid;     // (rows): number of valid ids of each
};

/// A loss summed over the active targets.
struct SummedLoss {
  double sum = 0.0;
  index_t targets = 0;
};

/// The quantisation error of one weight: || decoded - read || / || read ||.
struct QuantisedWeight {
  std::string name;
  double relative_error = 0.0;
};

class Session {
 public:
  /// Loads the model and the adapter of the flags, or the sum of several; warnings go to stderr.
  /// \throws ArgumentError, FormatError, IoError
  explicit Session(const ModelFlags& flags) : Session(flags, flags.quant.options()) {}
  /// Loads the model with linear layers quantised with these options as they are read.
  Session(const ModelFlags& flags, const std::optional<QuantizeOptions>& quantise);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const LlamaConfig& config() const;
  const std::filesystem::path& folder() const;

  /// Returns the logits, (rows, length, vocabulary), computed in blocks of rows.
  std::vector<float> logits(const PaddedBatch& batch) const;

  /// Returns the continuation of `prompt`.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& prompt, const GenerateOptions& options) const;

  /// Returns the greedy completion of each prompt, with the expected one.
  /// \param tokenization  options of tokenization
  std::vector<Completion> complete(const Tokenizer& tokenizer, const std::vector<Record>& records,
                                   index_t max_new_tokens, const ExampleOptions& tokenization) const;

  SummedLoss loss(const ExampleStore& examples, std::size_t begin, std::size_t end) const;

  /// Converts every dense weight to 32 bits.
  void widen();

  /// Returns whether an adapter of the embedding also applies to the head, as for trained tokens.
  bool head_follows() const;

  /// Merges the adapter into the weights; the session then has a plain model.
  std::vector<MergedWeight> merge(const MergeOptions& options);

  /// Returns the errors of the weights that were quantised as they were read. Each weight is read again for this, one
  /// at a time.
  std::vector<QuantisedWeight> quantise_errors() const;

  /// Writes the model as a Hugging Face folder.
  void save(const std::filesystem::path& folder);

  /// Writes the model with its adapter merged as a GGUF file; `keys` are those of the tokenizer.
  void save_gguf(const std::filesystem::path& file, const std::vector<GgufKey>& keys, GgmlType type) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// An adapter's folder and its name.
struct AdapterFolder {
  std::string name, folder;
};

/// A model with switchable adapters, and one growing sequence, for a conversation.
class SwitchingSession {
 public:
  /// Loads the model and each of the adapters; the first is active.
  /// \throws ArgumentError, FormatError, IoError
  SwitchingSession(const ModelFlags& flags, const std::vector<AdapterFolder>& adapters);
  ~SwitchingSession();
  SwitchingSession(const SwitchingSession&) = delete;
  SwitchingSession& operator=(const SwitchingSession&) = delete;

  const LlamaConfig& config() const;

  /// Switches to the adapter with this name, or to none if it is empty.
  /// \throws ArgumentError for an unknown name
  void use(const std::string& name);
  const std::string& active() const;

  /// Returns the continuation of `ids`. The common prefix with the last call is not recomputed if the adapter
  /// is the same.
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& ids, const GenerateOptions& options);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// A written adapter.
struct AdapterChange {
  AdapterConfig config;
  AdapterPlan plan;
  bool rewritten = false;  // its factors differ from those read
};

/// Writes the only adapter of the flags as a PEFT folder, or converted to plain LoRA. Reads no weights of the model,
/// unless the folder needs some.
/// \throws ArgumentError, FormatError, IoError
AdapterChange export_adapter(const ModelFlags& flags, bool fold, const std::filesystem::path& out);

/// Writes the only adapter of the flags as a GGUF file. Reads no weights of the model, unless the adapter's
/// folder has some.
/// \returns the number of modules, and whether lora_b includes their scales
/// \throws ArgumentError for an adapter that llama.cpp cannot apply; FormatError, IoError
std::pair<std::size_t, bool> export_gguf_adapter(const ModelFlags& flags, const std::filesystem::path& out,
                                                 GgmlType type);

/// Writes a combination of adapters, each given by its folder, as a PEFT folder.
/// \throws ArgumentError, FormatError, IoError
AdapterChange combine_adapters(const ModelFlags& flags, const std::vector<WeightedAdapter>& parts,
                               const CombineOptions& options, const std::filesystem::path& out);

/// Returns the plan of an adapter of this config; no weight is allocated.
AdapterPlan plan_of(const LlamaConfig& model, const AdapterConfig& adapter);

}  // namespace veneer::program
