// SPDX-License-Identifier: Apache-2.0
/// \file granite.hpp
/// Granite 3: factors of embeddings, of residuals, of attention scores, and a divisor of the logits.
///
/// Source: huggingface/transformers, src/transformers/models/granite/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_granite(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where);
  read_attention_bias(config, raw, where);
  read_mlp_bias(config, raw, where);
  config.embedding_multiplier = find_number(raw, "embedding_multiplier", where).value_or(1);
  config.residual_multiplier = find_number(raw, "residual_multiplier", where).value_or(1);
  config.attention_scale = find_number(raw, "attention_multiplier", where).value_or(1);
  config.logits_divisor = find_number(raw, "logits_scaling", where).value_or(1);
}

}  // namespace detail

inline const ModelFamily granite_family{
    .model_type = "granite",
    .architecture = "GraniteForCausalLM",
    .read = detail::read_granite,
};

}  // namespace veneer
