// SPDX-License-Identifier: Apache-2.0
/// \file smollm3.hpp
/// SmolLM3: no rotary embedding in every fourth layer, or in the layers marked with 0 in `no_rope_layers`.
///
/// Source: huggingface/transformers, src/transformers/models/smollm3/.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline void read_no_rope_layers(LlamaConfig& config, const Json& raw, const std::string& where) {
  const std::size_t layers = config.window.size();
  const auto given = json_find<std::vector<index_t>>(raw, "no_rope_layers", where);
  const index_t interval = find_integer(raw, "no_rope_layer_interval", where).value_or(4);
  expects<FormatError>(interval >= 1, where + ": \"no_rope_layer_interval\": expected at least 1");
  expects<FormatError>(!given || given->size() >= layers,
                       where + ": \"no_rope_layers\": expected " + std::to_string(layers) + " entries, one per layer");
  for (std::size_t i = 0; i < layers; ++i) {
    const bool turns = given ? (*given)[i] != 0 : (static_cast<index_t>(i) + 1) % interval != 0;
    config.layer_rope.push_back(turns ? LayerRope::global : LayerRope::none);
  }
}

inline void read_smollm3(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_rope(raw, config.max_position_embeddings, where, {.theta = 2e6});
  read_attention_bias(config, raw, where);
  read_mlp_bias(config, raw, where);
  read_no_rope_layers(config, raw, where);
  const std::optional<index_t> window = sliding_window(raw, where);
  const bool used = window && find_boolean(raw, "use_sliding_window", where).value_or(false);
  for (std::size_t i = 0; i < config.window.size(); ++i)
    config.window[i] = used && config.layer_rope[i] == LayerRope::none ? *window : 0;
  config.window = layer_windows(std::move(config.window), raw, where, window);
}

}  // namespace detail

inline const ModelFamily smollm3_family{
    .model_type = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .key_value_heads = 4,
    .max_positions = 32768,
    .tied = true,
    .pad_token_id = 128004,
    .read = detail::read_smollm3,
};

}  // namespace veneer
