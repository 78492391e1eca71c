// SPDX-License-Identifier: Apache-2.0
/// \file data_flags.hpp
/// The flags for the conversion of records to sequences, common to `train`, `evaluate` and `validate`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "veneer/nn/llama_config.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer::program {

/// The flags --train-on, --chat-template and --plain-content.
struct DataFlags {
  std::string train_on = "completion";
  std::string chat_template;
  bool plain_content = false;

  void add_to(CLI::App& command);

  /// Returns the options to make examples of any length.
  /// \param config  of the model; if absent, the end-of-text token is the tokenizer's
  /// \throws ArgumentError for an unknown template. A missing template is an error of the first conversation.
  ExampleOptions options(const std::filesystem::path& model, const std::optional<Tokenizer>& tokenizer,
                         const LlamaConfig* config) const;
};

}  // namespace veneer::program
