// SPDX-License-Identifier: Apache-2.0
/// \file phi3.hpp
/// Phi-3 and Phi-4: fused projections qkv_proj and gate_up_proj, part of each head may turn, a window in every layer
/// of some models. Refused by name: the rope type longrope (su).
///
/// Source: huggingface/transformers, src/transformers/models/phi3/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_phi3(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where, {.partial = true, .types = {"default"}});
  config.fused_projections = true;
  config.window.assign(config.window.size(), sliding_window(raw, where).value_or(0));
}

}  // namespace detail

inline const ModelFamily phi3_family{
    .model_type = "phi3",
    .architecture = "Phi3ForCausalLM",
    .max_positions = 4096,
    .rms_norm_eps = 1e-5,
    .read = detail::read_phi3,
};

}  // namespace veneer
