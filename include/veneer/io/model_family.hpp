// SPDX-License-Identifier: Apache-2.0
/// \file model_family.hpp
/// ModelFamily: the differences of one model type of transformers from Llama, and readers used by several families.
///
/// A family is a file of io/families with one constant of this type; io/families.hpp lists them. `read` sets the
/// options of a LlamaConfig whose sizes are known, and refuses unsupported settings by name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/rope_config.hpp"
#include "veneer/nn/llama_config.hpp"
#include "veneer/peft/module_choice.hpp"

namespace veneer {

/// The modules that PEFT adapts if `target_modules` is not set; none: it is required.
/// Source: huggingface/peft, src/peft/utils/constants.py.
struct DefaultTargets {
  ModuleChoice lora{}, adalora{}, ia3{};  // VeRA, DoRA: as LoRA
};

/// One model type. The numbers are defaults for keys that a file lacks.
struct ModelFamily {
  std::string_view model_type;
  std::string_view architecture;  // the class of transformers
  index_t key_value_heads = 0;    // 0: as many as query heads
  index_t head_dim = 0;           // 0: hidden_size / num_attention_heads
  index_t max_positions = 2048;
  double rms_norm_eps = 1e-6;
  bool tied = false;  // the head uses the embedding's weight
  std::optional<index_t> pad_token_id{};
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  void (*read)(LlamaConfig& config, const Json& raw, const std::string& where) = nullptr;
  DefaultTargets targets{};
};

namespace detail {

/// Returns a required count of at least 1: the defaults of transformers belong to models with billions of parameters,
/// and would be wrong for other models.
inline index_t required_size(const Json& raw, const char* key, const std::string& where) {
  const index_t value = json_integer(raw, key, where);
  expects<FormatError>(value >= 1,
                       where + ": \"" + key + "\": found " + std::to_string(value) + ", expected at least 1");
  return value;
}

/// Throws if a key of an unsupported option has a value.
inline void refuse_value(const Json& raw, const char* key, const std::string& where) {
  const Json* value = find_json(raw, key);
  const bool unset = value == nullptr || value->is_null() || *value == false;
  expects<FormatError>(unset, where + ": \"" + key + "\" is not supported: expected null, found " +
                                  (unset ? "" : describe_json(*value)));
}

/// Reads `attention_bias`, for all four projections.
inline void read_attention_bias(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.qkv_bias = config.o_bias = find_boolean(raw, "attention_bias", where).value_or(false);
}
inline void read_mlp_bias(LlamaConfig& config, const Json& raw, const std::string& where) {
  config.mlp_bias = find_boolean(raw, "mlp_bias", where).value_or(false);
}

/// Returns `sliding_window`, or nullopt if it is null.
/// \param fallback  if there is no such key
inline std::optional<index_t> sliding_window(const Json& raw, const std::string& where,
                                             std::optional<index_t> fallback = {}) {
  const Json* value = find_json(raw, "sliding_window");
  if (value == nullptr) return fallback;
  if (value->is_null()) return std::nullopt;
  return required_size(raw, "sliding_window", where);
}

/// Returns the windows of all layers: those given by `layer_types`, else `windows`.
/// \param window  of a layer of the type sliding_attention
inline std::vector<index_t> layer_windows(std::vector<index_t> windows, const Json& raw, const std::string& where,
                                          std::optional<index_t> window) {
  const std::size_t layers = windows.size();
  const auto types = json_find<std::vector<std::string>>(raw, "layer_types", where);
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

/// Reads the windows of Qwen: with `use_sliding_window`, layers from `max_window_layers` on have a window.
inline void read_qwen_windows(LlamaConfig& config, const Json& raw, const std::string& where) {
  const bool used = find_boolean(raw, "use_sliding_window", where).value_or(false);
  const std::optional<index_t> window = used ? sliding_window(raw, where, 4096) : std::nullopt;
  const index_t first = find_integer(raw, "max_window_layers", where).value_or(28);
  for (std::size_t i = 0; i < config.window.size(); ++i)
    config.window[i] = window && static_cast<index_t>(i) >= first ? *window : 0;
  config.window = layer_windows(std::move(config.window), raw, where, window);
}

}  // namespace detail

}  // namespace veneer
