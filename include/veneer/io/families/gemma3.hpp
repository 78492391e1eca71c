// SPDX-License-Identifier: Apache-2.0
/// \file gemma3.hpp
/// Gemma 3, text: norms with weight 1 + w before and after attention and mlp, norms of queries and keys, GELU,
/// embeddings times sqrt(hidden), scores over sqrt(query_pre_attn_scalar). Layers with a window have a separate rotary
/// frequency. Refused by name: soft caps, bidirectional attention, models with images.
///
/// Source: huggingface/transformers, src/transformers/models/gemma3/.
#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

/// Reads the rotary settings. transformers 5 nests them by layer type; in earlier versions, `rope_theta` and
/// `rope_scaling` belong to layers without a window, `rope_local_base_freq` is the theta of layers with one.
inline void read_gemma3_rope(LlamaConfig& config, const Json& raw, const std::string& where) {
  const auto rope = [&](const char* type, const char* theta_key, double theta, const char* scaling) {
    const RopeRules rules{.theta = find_number(raw, theta_key, where).value_or(theta)};
    const Json* parameters = find_json(raw, "rope_parameters");
    const Json* own = parameters == nullptr || parameters->is_null() ? nullptr : find_json(*parameters, type);
    Json json = own == nullptr || own->is_null() ? Json::object() : *own;
    const Json* more = find_json(raw, scaling);
    if (more != nullptr && more->is_object() && json.is_object()) json.update(*more);
    return read_rope_object(json, config.max_position_embeddings, where + ": rope_parameters: " + type, rules);
  };
  config.rope = rope("full_attention", "rope_theta", 1e6, "rope_scaling");
  config.local_rope = rope("sliding_attention", "rope_local_base_freq", 1e4, "");
}

inline void read_gemma3(LlamaConfig& config, const Json& raw, const std::string& where) {
  for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping", "use_bidirectional_attention"})
    refuse_value(raw, key, where);
  read_gemma3_rope(config, raw, where);
  read_attention_bias(config, raw, where);
  config.norms = NormPlacement::both;
  config.norm_offset = 1;
  config.qk_norm = QkNorm::per_head;
  config.embedding_multiplier = std::sqrt(static_cast<double>(config.hidden_size));
  const double scalar = find_number(raw, "query_pre_attn_scalar", where).value_or(256);
  expects<FormatError>(scalar > 0, where + ": \"query_pre_attn_scalar\": expected a number above 0");
  config.attention_scale = 1 / std::sqrt(scalar);
  const std::optional<index_t> window = sliding_window(raw, where, 4096);
  const index_t pattern = find_integer(raw, "sliding_window_pattern", where).value_or(6);
  expects<FormatError>(pattern >= 1, where + ": \"sliding_window_pattern\": expected at least 1");
  expects<FormatError>(window.has_value(), where + ": \"sliding_window\": expected a number of tokens");
  for (std::size_t i = 0; i < config.window.size(); ++i)
    config.window[i] = (static_cast<index_t>(i) + 1) % pattern != 0 ? *window : 0;
  config.window = layer_windows(std::move(config.window), raw, where, window);
  for (const index_t own : config.window) config.layer_rope.push_back(own != 0 ? LayerRope::local : LayerRope::global);
}

}  // namespace detail

inline const ModelFamily gemma3_family{
    .model_type = "gemma3_text",
    .architecture = "Gemma3ForCausalLM",
    .key_value_heads = 4,
    .head_dim = 256,
    .max_positions = 131072,
    .tied = true,
    .pad_token_id = 0,
    .activation_key = "hidden_activation",
    .activation = "gelu_pytorch_tanh",
    .read = detail::read_gemma3,
    .targets = {.lora = {"q_proj", "v_proj"},
                .adalora = {"q_proj", "v_proj"},
                .ia3 = {"q_proj", "v_proj", "down_proj"}},
};

}  // namespace veneer
