// SPDX-License-Identifier: Apache-2.0
/// \file olmo2.hpp
/// OLMo 2: norms after attention and mlp instead of before, and norms over all of q and all of k.
///
/// Source: huggingface/transformers, src/transformers/models/olmo2/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_olmo2(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  read_attention_bias(config, raw, where);
  config.norms = NormPlacement::after;
  config.qk_norm = QkNorm::whole;
}

}  // namespace detail

inline const ModelFamily olmo2_family{
    .model_type = "olmo2",
    .architecture = "Olmo2ForCausalLM",
    .rms_norm_eps = 1e-5,
    .pad_token_id = 1,
    .read = detail::read_olmo2,
};

}  // namespace veneer
