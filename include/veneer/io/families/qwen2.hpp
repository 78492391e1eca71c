// SPDX-License-Identifier: Apache-2.0
/// \file qwen2.hpp
/// Qwen2: biases of q, k and v, and windows in the upper layers of some models.
///
/// Source: huggingface/transformers, src/transformers/models/qwen2/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_qwen2(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  config.qkv_bias = true;  // by definition of the model, without a key
  read_qwen_windows(config, raw, where);
}

}  // namespace detail

inline const ModelFamily qwen2_family{
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .key_value_heads = 32,
    .max_positions = 32768,
    .read = detail::read_qwen2,
    .targets = {.lora = {"q_proj", "v_proj"},
                .adalora = {"q_proj", "v_proj"},
                .ia3 = {"q_proj", "v_proj", "down_proj"}},
};

}  // namespace veneer
