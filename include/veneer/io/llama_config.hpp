// SPDX-License-Identifier: Apache-2.0
/// \file llama_config.hpp
/// Reads the `config.json` of a model of a supported family (io/families.hpp), as written by transformers 4 and 5.
///
/// transformers 5 has `dtype` instead of `torch_dtype`. Unsupported settings are refused by name: other architectures,
/// activations, rope types, quantisation methods. Defaults are those of the model type.
/// Source: huggingface/transformers, src/transformers/models/*/configuration_*.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/families.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/quantization.hpp"
#include "veneer/nn/llama_config.hpp"

namespace veneer {

/// The configuration of a model, and its file.
struct LlamaConfigFile {
  LlamaConfig config;
  Json raw;  // for writing a copy of the file with other weights
  std::optional<QuantizationConfig> quantization{};
  std::vector<std::string> warnings;
};

namespace detail {

/// Returns the token ids of a key: null, a number or a list.
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
  } else if (family.head_dim != 0 && find_json(raw, "head_dim") == nullptr) {
    config.head_dim = family.head_dim;
  } else {
    expects<FormatError>(config.hidden_size % config.num_attention_heads == 0,
                         where + ": \"hidden_size\" " + std::to_string(config.hidden_size) +
                             " can't be divided among " + std::to_string(config.num_attention_heads) +
                             " heads, and \"head_dim\" is not given");
    config.head_dim = config.hidden_size / config.num_attention_heads;
  }
  config.max_position_embeddings = find_integer(raw, "max_position_embeddings", where).value_or(family.max_positions);
}

inline Activation read_activation(const Json& raw, const ModelFamily& family, const std::string& where) {
  const std::string key(family.activation_key);
  const std::string name = find_text(raw, key.c_str(), where).value_or(std::string(family.activation));
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  throw FormatError(where + ": \"" + key + "\": \"" + printable(name) +
                    "\" is not supported; silu and gelu_pytorch_tanh are");
}

inline void add_warnings(LlamaConfigFile& file, const std::string& where) {
  const auto warn = [&](const std::string& text) { file.warnings.push_back(where + ": " + text); };
  for (const char* key : {"attention_dropout", "resid_pdrop", "embd_pdrop"}) {
    if (find_number(file.raw, key, where).value_or(0) != 0)
      warn("\"" + std::string(key) + "\" is ignored: only adapters have dropout here");
  }
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

/// Returns the configuration in a parsed file; `where` names it. Throws `FormatError`.
inline LlamaConfigFile parse_llama_config(Json raw, const std::string& where) {
  expects<FormatError>(raw.is_object(), where + ": expected an object, found " + describe_json(raw));
  LlamaConfigFile file;
  LlamaConfig& config = file.config;
  const ModelFamily& family = detail::model_family(raw, where);
  config.model_type = family.model_type;
  config.architecture = family.architecture;
  config.activation = detail::read_activation(raw, family, where);
  file.quantization = read_quantization(raw, where);
  detail::read_sizes(config, raw, family, where);
  config.rms_norm_eps = find_number(raw, "rms_norm_eps", where).value_or(family.rms_norm_eps);
  config.tie_word_embeddings = find_boolean(raw, "tie_word_embeddings", where).value_or(family.tied);
  config.initializer_range = find_number(raw, "initializer_range", where).value_or(0.02);
  expects<FormatError>(config.num_hidden_layers <= 10000, where + ": \"num_hidden_layers\": expected at most 10000");
  config.window.assign(static_cast<std::size_t>(config.num_hidden_layers), 0);
  family.read(config, raw, where);
  config.bos_token_ids = detail::token_ids(raw, "bos_token_id", where);
  config.eos_token_ids = detail::token_ids(raw, "eos_token_id", where);
  config.pad_token_id =
      find_json(raw, "pad_token_id") == nullptr ? family.pad_token_id : find_integer(raw, "pad_token_id", where);
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

/// Reads the `config.json` of a model. Throws `IoError` if it cannot be read, `FormatError` if the model
/// is not supported.
inline LlamaConfigFile read_llama_config(const std::filesystem::path& path) {
  return parse_llama_config(read_json(path), path.string());
}

}  // namespace veneer
