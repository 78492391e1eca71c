// SPDX-License-Identifier: Apache-2.0
/// \file conversation.hpp
/// veneer generate --chat: one turn through the model's chat template, or a conversation on the terminal.
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

/// The text of --prompt; of stdin where that is "-".
/// \throws ArgumentError when it is not UTF-8
std::string prompt_text(const GenerateFlags& flags);

/// \throws ArgumentError with the flag's name
void check_utf8(const char* flag, const std::string& text);

/// Adds the ids of stop texts that are special tokens: those are never printed, so no text of them is seen.
void add_stop_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& texts, std::vector<std::int32_t>& ids);

/// Says that the tokenizer and the model belong together.
/// \throws FormatError when they don't
void check_ids(const std::vector<std::int32_t>& ids, const LlamaConfig& config, const std::string& where);

/// Says on stderr how fast a model wrote.
void note_speed(std::size_t prompt, std::size_t made, double seconds);

/// Answers --prompt, or talks until the input ends.
int run_chat(const GenerateFlags& flags);

}  // namespace veneer::program
