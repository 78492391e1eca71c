// SPDX-License-Identifier: Apache-2.0
/// \file memory.hpp
/// The memory of a training run, for `plan` and `train --dry-run`. Only memory.cpp compiles the computation.
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
  std::filesystem::path model;  // its files give the storage types of weights; empty or without files: config.json
  std::optional<AdapterConfig> adapter;     // none: every weight is trained
  std::optional<QuantizeOptions> quantise;  // of the linear layers
  bool checkpointing = false;
  std::string dtype = "auto";  // of activations
  index_t batch = 8, seq = 512, grad_accum = 1;
  int threads = 0;
};

/// Returns the configuration of a model as it is read: not tied if the files in `folder`, if any, have a separate head.
LlamaConfig config_as_read(LlamaConfig config, const std::filesystem::path& folder);

/// Returns {"bytes": {...}, "bytes_without_checkpointing": {...}, "bytes_with_checkpointing": {...}, "batch": ...}:
/// weights, adapters, gradients, optimizer, activations, scratch, reused, training (their sum, less reused), loading,
/// peak. "bytes" is that of the request.
/// \throws ArgumentError, FormatError
Json plan_bytes(const LlamaConfig& config, const MemoryRequest& request);

/// Returns a plan as a table.
std::string memory_text(const Json& plan);

}  // namespace veneer::program
