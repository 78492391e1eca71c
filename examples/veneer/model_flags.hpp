// SPDX-License-Identifier: Apache-2.0
/// \file model_flags.hpp
/// What the subcommands that compute share: which model, with which adapter, how; and where results go.
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

/// --quant and --double-quant: linear layers quantised as they are read.
struct QuantFlags {
  std::string quant = "none";
  bool double_quant = false;

  void add_to(CLI::App& command);
  /// What to quantise with, or nothing.
  /// \throws ArgumentError for --double-quant without --quant nf4
  std::optional<QuantizeOptions> options() const;
};

/// --dtype, for activations.
CLI::Option* add_dtype(CLI::App& command, std::string& dtype);

/// --model, --adapter, --threads, --dtype, --device, --quant, --double-quant.
struct ModelFlags {
  std::string model;
  std::vector<std::string> adapters;
  int threads = 0;  // 0: one a core
  std::string dtype = "auto", device = "cpu";
  QuantFlags quant;

  void add_to(CLI::App& command, bool adapter_needed = false);

  /// Sets the number of threads.
  /// \throws ArgumentError for a type or a device that is not supported, with the flag's name
  void apply() const;

  /// The one adapter's folder.
  /// \throws ArgumentError when there are several
  std::filesystem::path only_adapter() const;
};

/// The tokenizer of a model's folder, or nothing where it has none.
/// \throws TokenizerError, FormatError when it has one that can't be used
std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& folder);

/// Texts of tokens become ids, as text; what is a number stays.
/// \throws ArgumentError for a text that is no token
void resolve_tokens(std::vector<std::string>& tokens, const std::optional<Tokenizer>& tokenizer);

/// The folder whose tokenizer and template are used: that of the one adapter, where it brings a tokenizer.
std::filesystem::path text_folder(const ModelFlags& flags);

/// The ids that end a text: those of generation_config.json, config.json and the tokenizer together.
/// \throws FormatError
std::vector<std::int32_t> stop_ids(const std::filesystem::path& folder, const LlamaConfig& config,
                                   const std::optional<Tokenizer>& tokenizer);

/// Writes to stdout.
/// \throws DiskError when that fails
void print(std::string_view text);

/// Hands what was printed to the system. \throws DiskError when that fails
void flush();

/// A line on stderr.
void note(const std::string& text);

/// "model.safetensors: 1 tensor" and the like: the number and the word, with an s unless there is one.
std::string counted(std::size_t count, const char* word);

}  // namespace veneer::program
