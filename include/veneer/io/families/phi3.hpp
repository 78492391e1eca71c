// SPDX-License-Identifier: Apache-2.0
/// \file phi3.hpp
/// Phi-3 and Phi-4: fused projections qkv_proj and gate_up_proj, optional partial rotation, a window in every layer of
/// some models. Earlier names of the rope type longrope are su and yarn.
///
/// Source: huggingface/transformers, src/transformers/models/phi3/.
#pragma once

#include <string>

#include "veneer/io/model_family.hpp"

namespace veneer {

namespace detail {

inline RopeConfig read_phi3_rope(const Json& raw, index_t max_positions, const std::string& where) {
  Json json = raw;
  for (const char* place : {"rope_parameters", "rope_scaling"}) {
    const auto object = json.find(place);
    if (object == json.end() || !object->is_object()) continue;
    const char* key = object->contains("rope_type") ? "rope_type" : "type";
    const std::string type = find_text(*object, key, where + ": " + place).value_or("default");
    if (type == "su" || type == "yarn") (*object)[key] = "longrope";
    if (const Json* original = find_json(raw, "original_max_position_embeddings"))
      (*object)["original_max_position_embeddings"] = *original;
    else if (type != "default")
      (*object)["original_max_position_embeddings"] = 4096;
  }
  return read_rope(json, max_positions, where, {.partial = true, .types = {"default", "longrope"}});
}

inline void read_phi3(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.rope = read_phi3_rope(raw, config.max_position_embeddings, where);
  config.fused_projections = true;
  config.window.assign(config.window.size(), sliding_window(raw, where).value_or(0));
}

}  // namespace detail

inline const ModelFamily phi3_family{
    .model_type = "phi3",
    .architecture = "Phi3ForCausalLM",
    .max_positions = 4096,
    .rms_norm_eps = 1e-5,
    .pad_token_id = 32000,
    .read = detail::read_phi3,
};

}  // namespace veneer
