// SPDX-License-Identifier: Apache-2.0
/// \file model_flags.hpp
/// Common flags of the subcommands that run a model: model, adapter, computation; and functions for output.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "veneer/nn/llama_config.hpp"
#include "veneer/nn/weight_slot.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer::program {

/// The flags --quant and --double-quant: linear layers are quantised as they are read.
struct QuantFlags {
  std::string quant = "none";
  bool double_quant = false;

  void add_to(CLI::App& command);
  /// Returns the quantisation, if any.
  /// \throws ArgumentError for --double-quant without --quant nf4
  std::optional<QuantizeOptions> options() const;
};

/// Adds --dtype, the type of activations.
CLI::Option* add_dtype(CLI::App& command, std::string& dtype);

/// The flags --model, --adapter, --threads, --dtype, --device, --quant and --double-quant.
struct ModelFlags {
  std::string model;
  std::vector<std::string> adapters;
  int threads = 0;  // 0: one per core
  std::string dtype = "auto", device = "cpu";
  QuantFlags quant;

  void add_to(CLI::App& command, bool adapter_needed = false);

  /// Sets the number of threads, and checks type and device.
  /// \throws ArgumentError for a type or a device that is not supported, with the flag's name
  void apply() const;

  /// Returns the folder of the only adapter.
  /// \throws ArgumentError when there are several
  std::filesystem::path only_adapter() const;
};

/// Returns the tokenizer of a model's folder, or nullopt if it has none.
/// \throws TokenizerError, FormatError when the tokenizer is invalid
std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& folder);

/// Replaces texts of tokens by ids, as text; numbers are kept.
/// \throws ArgumentError for a text that is not a token
void resolve_tokens(std::vector<std::string>& tokens, const std::optional<Tokenizer>& tokenizer);

/// Returns the folder whose tokenizer and template are used: that of the only adapter if it has a tokenizer,
/// else the model's.
std::filesystem::path text_folder(const ModelFlags& flags);

/// Returns the ids that end a text: those of generation_config.json, config.json and the tokenizer together.
/// \throws FormatError
std::vector<std::int32_t> stop_ids(const std::filesystem::path& folder, const LlamaConfig& config,
                                   const std::optional<Tokenizer>& tokenizer);

/// Writes to stdout.
/// \throws DiskError when that fails
void print(std::string_view text);

/// Flushes stdout. \throws DiskError when that fails
void flush();

/// Prints a line on stderr.
void note(const std::string& text);

/// Returns the number and the word, with an s unless the number is 1: "1 tensor", "2 tensors".
std::string counted(std::size_t count, const char* word);

}  // namespace veneer::program
