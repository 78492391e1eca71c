// SPDX-License-Identifier: Apache-2.0
/// \file rope_config.hpp
/// Reads the rotary settings of a `config.json`, in the formats of transformers 4 and 5.
///
/// transformers 5 has `rope_parameters` instead of `rope_theta` and `rope_scaling`; `rope_scaling.type` is an old name
/// of `rope_type`. Source: huggingface/transformers, src/transformers/modeling_rope_utils.py.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/json.hpp"
#include "veneer/nn/llama_config.hpp"

namespace veneer {

/// The rope types and defaults of a family.
struct RopeRules {
  double theta = 10000;
  bool partial = false;                                                   // whether partial rotation is allowed
  std::vector<std::string> types{"default", "linear", "llama3", "yarn"};  // of `rope_type`
};

namespace detail {

inline void read_yarn(RopeConfig& rope, const Json& json, index_t max_positions, const std::string& at) {
  const auto original = find_integer(json, "original_max_position_embeddings", at);
  rope.original_max_position_embeddings = original.value_or(max_positions);
  expects<FormatError>(rope.original_max_position_embeddings >= 1,
                       at + ": \"original_max_position_embeddings\": expected at least 1");
  const auto factor = find_number(json, "factor", at);
  expects<FormatError>(factor || original, at + ": the key \"factor\" is missing");
  rope.factor =
      factor.value_or(static_cast<double>(max_positions) / static_cast<double>(rope.original_max_position_embeddings));
  rope.beta_fast = find_number(json, "beta_fast", at).value_or(rope.beta_fast);
  rope.beta_slow = find_number(json, "beta_slow", at).value_or(rope.beta_slow);
  rope.attention_factor = find_number(json, "attention_factor", at);
  rope.mscale = find_number(json, "mscale", at);
  rope.mscale_all_dim = find_number(json, "mscale_all_dim", at);
  rope.truncate = find_boolean(json, "truncate", at).value_or(true);
}

inline void read_longrope(RopeConfig& rope, const Json& json, index_t max_positions, const std::string& at) {
  const auto original = find_integer(json, "original_max_position_embeddings", at);
  rope.original_max_position_embeddings = original.value_or(max_positions);
  expects<FormatError>(rope.original_max_position_embeddings >= 1,
                       at + ": \"original_max_position_embeddings\": expected at least 1");
  rope.factor =
      find_number(json, "factor", at)
          .value_or(static_cast<double>(max_positions) / static_cast<double>(rope.original_max_position_embeddings));
  rope.attention_factor = find_number(json, "attention_factor", at);
  rope.short_factor = json_get<std::vector<double>>(json, "short_factor", at);
  rope.long_factor = json_get<std::vector<double>>(json, "long_factor", at);
}

inline std::string listed_types(const std::vector<std::string>& types) {
  std::string text;
  for (std::size_t i = 0; i < types.size(); ++i)
    text += (i == 0 ? "" : i + 1 == types.size() ? " and " : ", ") + types[i];
  return text + (types.size() == 1 ? " is" : " are");
}

}  // namespace detail

/// Returns the settings in an object of type, theta and factors.
/// \param json           a `rope_parameters` or `rope_scaling`
/// \param max_positions  `max_position_embeddings`
/// \param at             the place of the object, for errors
/// \throws FormatError for a rope type outside the rules
inline RopeConfig read_rope_object(const Json& json, index_t max_positions, const std::string& at,
                                   const RopeRules& rules = {}) {
  RopeConfig rope;
  rope.theta = find_number(json, "rope_theta", at).value_or(rules.theta);
  const auto type = find_text(json, "rope_type", at);
  rope.type = type ? *type : find_text(json, "type", at).value_or("default");
  if (std::find(rules.types.begin(), rules.types.end(), rope.type) == rules.types.end()) {
    throw FormatError(at + ": the rope type \"" + printable(rope.type) + "\" is not supported; " +
                      detail::listed_types(rules.types));
  }
  rope.partial_rotary_factor = find_number(json, "partial_rotary_factor", at).value_or(1);
  expects<FormatError>(rules.partial || rope.partial_rotary_factor == 1,
                       at + ": \"partial_rotary_factor\" is not supported for this model type");
  if (rope.type == "default") return rope;
  if (rope.type == "longrope") {
    detail::read_longrope(rope, json, max_positions, at);
    return rope;
  }
  if (rope.type == "yarn") {
    detail::read_yarn(rope, json, max_positions, at);
    return rope;
  }
  rope.factor = json_number(json, "factor", at);
  if (rope.type == "llama3") {
    rope.low_freq_factor = json_number(json, "low_freq_factor", at);
    rope.high_freq_factor = json_number(json, "high_freq_factor", at);
    rope.original_max_position_embeddings = json_integer(json, "original_max_position_embeddings", at);
  }
  return rope;
}

/// Returns the settings of a model with the same rotation in all layers.
inline RopeConfig read_rope(const Json& raw, index_t max_positions, const std::string& where, RopeRules rules = {}) {
  rules.theta = find_number(raw, "rope_theta", where).value_or(rules.theta);
  const double partial = find_number(raw, "partial_rotary_factor", where).value_or(1);
  expects<FormatError>(rules.partial || partial == 1,
                       where + ": \"partial_rotary_factor\" is not supported for this model type");
  const Json* parameters = find_json(raw, "rope_parameters");
  const bool new_form = parameters != nullptr && !parameters->is_null();
  const Json* json = new_form ? parameters : find_json(raw, "rope_scaling");
  RopeConfig rope{.theta = rules.theta, .partial_rotary_factor = partial};
  if (json == nullptr || json->is_null()) return rope;
  const std::string at = where + (new_form ? ": rope_parameters" : ": rope_scaling");
  rope = read_rope_object(*json, max_positions, at, rules);
  if (find_json(*json, "partial_rotary_factor") == nullptr) rope.partial_rotary_factor = partial;
  return rope;
}

}  // namespace veneer
