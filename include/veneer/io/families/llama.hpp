// SPDX-License-Identifier: Apache-2.0
/// \file llama.hpp
/// Llama 1, 2 and 3, and models with their architecture (SmolLM2, TinyLlama, DeepSeek-LLM, Yi).
///
/// Source: huggingface/transformers, src/transformers/models/llama/.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_llama(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  config.window = layer_windows(std::move(config.window), raw, where, std::nullopt);
  read_attention_bias(config, raw, where);
  read_mlp_bias(config, raw, where);
}

}  // namespace detail

inline const ModelFamily llama_family{
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .read = detail::read_llama,
    .targets = {.lora = {"q_proj", "v_proj"},
                .adalora = {"q_proj", "v_proj"},
                .ia3 = {"k_proj", "v_proj", "down_proj"}},
};

}  // namespace veneer
