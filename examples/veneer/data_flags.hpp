// SPDX-License-Identifier: Apache-2.0
/// \file data_flags.hpp
/// How records of data become sequences for a model: the same for `train`, `evaluate` and `validate`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "veneer/nn/llama_config.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer::program {

/// --train-on, --chat-template, --plain-content.
struct DataFlags {
  std::string train_on = "completion";
  std::string chat_template;
  bool plain_content = false;

  void add_to(CLI::App& command);

  /// What to make examples with, of any length.
  /// \param config  of the model, or nothing: then no end of text but the tokenizer's is known
  /// \throws ArgumentError for a template that is not known. That a model has none is said by the first conversation.
  ExampleOptions options(const std::filesystem::path& model, const std::optional<Tokenizer>& tokenizer,
                         const LlamaConfig* config) const;
};

}  // namespace veneer::program
