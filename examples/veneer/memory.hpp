// SPDX-License-Identifier: Apache-2.0
/// \file memory.hpp
/// The memory that a training run would take, for `plan` and `train --dry-run`. memory.cpp alone compiles the counting.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "veneer/io/json.hpp"
#include "veneer/nn/llama_config.hpp"
#include "veneer/nn/weight_slot.hpp"
#include "veneer/peft/config.hpp"

namespace veneer::program {

struct MemoryRequest {
  std::filesystem::path model;        // whose files say how weights are stored; empty or without files: config.json
  std::optional<LoraConfig> adapter;  // none: every weight trains
  std::optional<QuantizeOptions> quantise;  // of the linear layers
  bool checkpointing = false;
  std::string dtype = "auto";  // of activations
  index_t batch = 8, seq = 512, grad_accum = 1;
  int threads = 0;
};

/// The configuration of a model as it is read: not tied where the files in `folder`, if any, hold a head of their own.
LlamaConfig config_as_read(LlamaConfig config, const std::filesystem::path& folder);

/// {"bytes": {...}, "bytes_without_checkpointing": {...}, "bytes_with_checkpointing": {...}, "batch": ...}: weights,
/// adapters, gradients, optimizer, activations, scratch, reused, training (their sum, less reused), loading, peak. The
/// first is of the request.
/// \throws ArgumentError, FormatError
Json plan_bytes(const LlamaConfig& config, const MemoryRequest& request);

/// The same as a table.
std::string memory_text(const Json& plan);

}  // namespace veneer::program
