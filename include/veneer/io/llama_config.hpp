// SPDX-License-Identifier: Apache-2.0
/// \file llama_config.hpp
/// `config.json` of a Llama, Mistral or Qwen2 model, as transformers 4 and 5 write it.
///
/// transformers 5 has `rope_parameters` in place of `rope_theta` and `rope_scaling`, and `dtype` in place of
/// `torch_dtype`; `rope_scaling.type` is an old name of `rope_type`. What a model computes differently is refused by
/// name: another architecture, activation, rope type, quantisation. Defaults are those of the model type.
/// Source: huggingface/transformers, src/transformers/models/{llama,mistral,qwen2}/configuration_*.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/quantization.hpp"
#include "veneer/nn/llama_config.hpp"

namespace veneer {

/// A model's configuration and the file it comes from.
struct LlamaConfigFile {
  LlamaConfig config;
  Json raw;  // for writing a copy of the file beside other weights
  std::optional<QuantizationConfig> quantization{};
  std::vector<std::string> warnings;
};

namespace detail {

/// What differs between the three model types where a file says nothing.
struct ModelFamily {
  std::string_view model_type;
  std::string_view architecture;
  index_t key_value_heads;  // 0: as many as query heads
  index_t max_positions;
};

inline constexpr std::array<ModelFamily, 3> model_families{{{"llama", "LlamaForCausalLM", 0, 2048},
                                                            {"mistral", "MistralForCausalLM", 8, 131072},
                                                            {"qwen2", "Qwen2ForCausalLM", 32, 32768}}};

inline const ModelFamily& model_family(const Json& raw, const std::string& where) {
  const auto architectures =
      json_find<std::vector<std::string>>(raw, "architectures", where).value_or(std::vector<std::string>());
  const std::string type = find_text(raw, "model_type", where).value_or("");
  for (const ModelFamily& family : model_families) {
    if (!type.empty() && type != family.model_type) continue;
    if (type.empty() && (architectures.empty() || architectures.front() != family.architecture)) continue;
    if (!architectures.empty() && architectures.front() != family.architecture) {
      throw FormatError(where + ": \"architectures\": found " + printable(architectures.front()) + ", of " +
                        std::string(family.model_type) + " models only " + std::string(family.architecture) +
                        " is supported");
    }
    return family;
  }
  throw FormatError(where + ": " +
                    (type.empty() ? "\"model_type\" is missing"
                                  : "\"model_type\" is \"" + printable(type) + "\", another architecture") +
                    ": llama, mistral and qwen2 are supported");
}

/// A count of at least 1 that must be there: the defaults of transformers belong to models of billions of parameters,
/// and would be wrong for whatever else is in the folder.
inline index_t required_size(const Json& raw, const char* key, const std::string& where) {
  const index_t value = json_integer(raw, key, where);
  expects<FormatError>(value >= 1,
                       where + ": \"" + key + "\": found " + std::to_string(value) + ", expected at least 1");
  return value;
}

/// null, a number or a list.
inline std::vector<index_t> token_ids(const Json& raw, const char* key, const std::string& where) {
  const Json* value = find_json(raw, key);
  if (value == nullptr || value->is_null()) return {};
  if (value->is_array()) return json_get<std::vector<index_t>>(raw, key, where);
  return {json_integer(raw, key, where)};
}

inline void read_sizes(LlamaConfig& config, const Json& raw, const ModelFamily& family, const std::string& where) {
  config.vocab_size = required_size(raw, "vocab_size", where);
  config.hidden_size = required_size(raw, "hidden_size", where);
  config.intermediate_size = required_size(raw, "intermediate_size", where);
  config.num_hidden_layers = required_size(raw, "num_hidden_layers", where);
  config.num_attention_heads = required_size(raw, "num_attention_heads", where);
  const Json* shared = find_json(raw, "num_key_value_heads");
  const bool given = shared != nullptr && !shared->is_null();
  const index_t fallback =
      shared == nullptr && family.key_value_heads != 0 ? family.key_value_heads : config.num_attention_heads;
  config.num_key_value_heads = given ? required_size(raw, "num_key_value_heads", where) : fallback;
  if (const auto head_dim = find_integer(raw, "head_dim", where)) {
    config.head_dim = *head_dim;
  } else {
    expects<FormatError>(config.hidden_size % config.num_attention_heads == 0,
                         where + ": \"hidden_size\" " + std::to_string(config.hidden_size) +
                             " can't be divided among " + std::to_string(config.num_attention_heads) +
                             " heads, and \"head_dim\" is not given");
    config.head_dim = config.hidden_size / config.num_attention_heads;
  }
  config.max_position_embeddings = find_integer(raw, "max_position_embeddings", where).value_or(family.max_positions);
}

inline void read_biases(LlamaConfig& config, const Json& raw, const std::string& where) {
  if (config.model_type == "qwen2") {
    config.qkv_bias = true;  // by definition of the model, no key says so
  } else if (config.model_type == "llama") {
    config.qkv_bias = config.o_bias = find_boolean(raw, "attention_bias", where).value_or(false);
    config.mlp_bias = find_boolean(raw, "mlp_bias", where).value_or(false);
  }
}

/// The window of a layer that has one, or nothing.
inline std::optional<index_t> sliding_window(const LlamaConfig& config, const Json& raw, const std::string& where) {
  const Json* value = find_json(raw, "sliding_window");
  const bool mistral = config.model_type == "mistral";
  const bool used =
      mistral || (config.model_type == "qwen2" && find_boolean(raw, "use_sliding_window", where).value_or(false));
  if (!used || (value != nullptr && value->is_null())) return std::nullopt;
  if (value == nullptr) return 4096;
  return required_size(raw, "sliding_window", where);
}

inline std::vector<index_t> layer_windows(const LlamaConfig& config, const Json& raw, const std::string& where) {
  expects<FormatError>(config.num_hidden_layers <= 10000, where + ": \"num_hidden_layers\": expected at most 10000");
  const auto layers = static_cast<std::size_t>(config.num_hidden_layers);
  const std::optional<index_t> window = sliding_window(config, raw, where);
  std::vector<index_t> windows(layers, config.model_type == "mistral" ? window.value_or(0) : 0);
  const auto types = json_find<std::vector<std::string>>(raw, "layer_types", where);
  if (!types && config.model_type == "qwen2" && window) {
    const index_t first = find_integer(raw, "max_window_layers", where).value_or(28);
    for (std::size_t i = 0; i < layers; ++i) windows[i] = static_cast<index_t>(i) >= first ? *window : 0;
  }
  if (!types) return windows;
  expects<FormatError>(types->size() == layers, where + ": \"layer_types\" has " + std::to_string(types->size()) +
                                                    " entries for " + std::to_string(layers) + " layers");
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string& type = (*types)[i];
    const bool sliding = type == "sliding_attention";
    if (!sliding && type != "full_attention") {
      throw FormatError(where + ": \"layer_types\": \"" + printable(type) +
                        "\" is not supported; full_attention and sliding_attention are");
    }
    expects<FormatError>(!sliding || window.has_value(),
                         where + ": \"layer_types\" has sliding_attention, but there is no sliding_window");
    windows[i] = sliding ? *window : 0;
  }
  return windows;
}

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

inline RopeConfig read_rope(const Json& raw, index_t max_positions, const std::string& where) {
  RopeConfig rope;
  rope.theta = find_number(raw, "rope_theta", where).value_or(10000.0);
  const bool new_form = find_json(raw, "rope_parameters") != nullptr && !find_json(raw, "rope_parameters")->is_null();
  const Json* json = find_json(raw, new_form ? "rope_parameters" : "rope_scaling");
  if (json == nullptr || json->is_null()) return rope;
  const std::string at = where + (new_form ? ": rope_parameters" : ": rope_scaling");
  rope.theta = find_number(*json, "rope_theta", at).value_or(rope.theta);
  const auto type = find_text(*json, "rope_type", at);
  rope.type = type ? *type : find_text(*json, "type", at).value_or("default");
  expects<FormatError>(find_number(*json, "partial_rotary_factor", at).value_or(1) == 1,
                       at + ": \"partial_rotary_factor\" is not supported");
  if (rope.type == "default") return rope;
  const bool llama3 = rope.type == "llama3";
  if (rope.type != "linear" && !llama3 && rope.type != "yarn") {
    throw FormatError(at + ": the rope type \"" + printable(rope.type) +
                      "\" is not supported; default, linear, llama3 and yarn are");
  }
  if (rope.type == "yarn") {
    read_yarn(rope, *json, max_positions, at);
    return rope;
  }
  rope.factor = json_number(*json, "factor", at);
  if (llama3) {
    rope.low_freq_factor = json_number(*json, "low_freq_factor", at);
    rope.high_freq_factor = json_number(*json, "high_freq_factor", at);
    rope.original_max_position_embeddings = json_integer(*json, "original_max_position_embeddings", at);
  }
  return rope;
}

inline void refuse_options(const Json& raw, const std::string& where) {
  const std::string activation = find_text(raw, "hidden_act", where).value_or("silu");
  if (activation != "silu" && activation != "swish") {
    throw FormatError(where + ": \"hidden_act\": \"" + printable(activation) + "\" is not supported; silu is");
  }
  expects<FormatError>(find_number(raw, "partial_rotary_factor", where).value_or(1) == 1,
                       where + ": \"partial_rotary_factor\" is not supported");
}

inline void add_warnings(LlamaConfigFile& file, const std::string& where) {
  const auto warn = [&](const std::string& text) { file.warnings.push_back(where + ": " + text); };
  if (find_number(file.raw, "attention_dropout", where).value_or(0) != 0)
    warn("\"attention_dropout\" is ignored: attention has no dropout here");
  if (find_json(file.raw, "auto_map") != nullptr)
    warn("\"auto_map\" is ignored: code that comes with a model is never run");
  for (const std::vector<index_t>* ids : {&file.config.bos_token_ids, &file.config.eos_token_ids}) {
    for (const index_t id : *ids) {
      if (id < 0 || id >= file.config.vocab_size)
        warn("the special token " + std::to_string(id) + " is outside the vocabulary");
    }
  }
}

}  // namespace detail

/// The configuration that a parsed file holds; `where` names it. Throws `FormatError`.
inline LlamaConfigFile parse_llama_config(Json raw, const std::string& where) {
  expects<FormatError>(raw.is_object(), where + ": expected an object, found " + describe_json(raw));
  LlamaConfigFile file;
  LlamaConfig& config = file.config;
  const detail::ModelFamily& family = detail::model_family(raw, where);
  config.model_type = family.model_type;
  config.architecture = family.architecture;
  detail::refuse_options(raw, where);
  file.quantization = read_quantization(raw, where);
  detail::read_sizes(config, raw, family, where);
  detail::read_biases(config, raw, where);
  config.rms_norm_eps = find_number(raw, "rms_norm_eps", where).value_or(1e-6);
  config.tie_word_embeddings = find_boolean(raw, "tie_word_embeddings", where).value_or(false);
  config.initializer_range = find_number(raw, "initializer_range", where).value_or(0.02);
  config.rope = detail::read_rope(raw, config.max_position_embeddings, where);
  config.window = detail::layer_windows(config, raw, where);
  config.bos_token_ids = detail::token_ids(raw, "bos_token_id", where);
  config.eos_token_ids = detail::token_ids(raw, "eos_token_id", where);
  config.pad_token_id = find_integer(raw, "pad_token_id", where);
  const auto dtype = find_text(raw, "dtype", where);
  config.dtype = dtype ? *dtype : find_text(raw, "torch_dtype", where).value_or("float32");
  if (config.dtype.rfind("torch.", 0) == 0) config.dtype.erase(0, 6);
  try {
    check(config);
  } catch (const ArgumentError& error) {
    throw FormatError(where + ": " + error.what());
  }
  file.raw = std::move(raw);
  detail::add_warnings(file, where);
  return file;
}

/// Reads the `config.json` of a model. Throws `IoError` when it can't be read, `FormatError` when the model is not
/// supported.
inline LlamaConfigFile read_llama_config(const std::filesystem::path& path) {
  return parse_llama_config(read_json(path), path.string());
}

}  // namespace veneer
