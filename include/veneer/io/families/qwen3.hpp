// SPDX-License-Identifier: Apache-2.0
/// \file qwen3.hpp
/// Qwen3: RMS norms of queries and keys, one weight for all heads. No biases by default; windows as in Qwen2.
///
/// Source: huggingface/transformers, src/transformers/models/qwen3/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_qwen3(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  config.qk_norm = QkNorm::per_head;
  read_attention_bias(config, raw, where);
  read_qwen_windows(config, raw, where);
}

}  // namespace detail

inline const ModelFamily qwen3_family{
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .key_value_heads = 32,
    .head_dim = 128,
    .max_positions = 32768,
    .read = detail::read_qwen3,
    .targets = {.lora = {"q_proj", "v_proj"},
                .adalora = {"q_proj", "v_proj"},
                .ia3 = {"q_proj", "v_proj", "down_proj"}},
};

}  // namespace veneer
