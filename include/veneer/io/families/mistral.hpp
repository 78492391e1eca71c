// SPDX-License-Identifier: Apache-2.0
/// \file mistral.hpp
/// Mistral: a sliding window in every layer, no biases.
///
/// Source: huggingface/transformers, src/transformers/models/mistral/.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_mistral(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  const std::optional<index_t> window = sliding_window(raw, where, 4096);
  config.window.assign(config.window.size(), window.value_or(0));
  config.window = layer_windows(std::move(config.window), raw, where, window);
}

}  // namespace detail

inline const ModelFamily mistral_family{
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .key_value_heads = 8,
    .max_positions = 131072,
    .read = detail::read_mistral,
    .targets = {.lora = {"q_proj", "v_proj"}, .ia3 = {"k_proj", "v_proj", "down_proj"}},
};

}  // namespace veneer
