// SPDX-License-Identifier: Apache-2.0
/// \file conversation.hpp
/// veneer generate --chat: one turn in the model's chat template, or a conversation on the terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "veneer/nn/generate.hpp"

#include "model_flags.hpp"

namespace veneer::program {

struct GenerateFlags {
  ModelFlags model;
  std::optional<std::string> prompt;
  bool chat = false;
  std::optional<std::string> chat_template, system;
  std::vector<std::string> stop;
  GenerateOptions options;
};

/// Returns the text of --prompt, or of stdin if that is "-".
/// \throws ArgumentError when it is not UTF-8
std::string prompt_text(const GenerateFlags& flags);

/// \throws ArgumentError with the flag's name unless the text is UTF-8
void check_utf8(const char* flag, const std::string& text);

/// Adds the ids of stop texts that are special tokens: these are never printed, so they cannot be found in the text.
void add_stop_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& texts, std::vector<std::int32_t>& ids);

/// Checks that the tokenizer fits the model.
/// \throws FormatError when it does not
void check_ids(const std::vector<std::int32_t>& ids, const LlamaConfig& config, const std::string& where);

/// Prints the generation speed on stderr.
void note_speed(std::size_t prompt, std::size_t made, double seconds);

/// Replies to --prompt, or holds a conversation until the input ends.
int run_chat(const GenerateFlags& flags);

}  // namespace veneer::program
