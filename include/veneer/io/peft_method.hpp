// SPDX-License-Identifier: Apache-2.0
/// \file peft_method.hpp
/// The part of `adapter_config.json` that belongs to a method: its keys, and reading and writing of its own settings.
///
/// A setting is a bool, index_t, double, InitSetting, ModuleChoice, or optional RankMasks; no method is
/// mentioned by name.
/// Source: huggingface/peft, src/peft/tuners/*/config.py.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/peft/config.hpp"

namespace veneer::detail {

/// The keys that PEFT 0.21.2 writes for LORA, sorted.
inline constexpr std::array<std::string_view, 41> lora_keys{"alora_invocation_tokens",
                                                            "alpha_pattern",
                                                            "arrow_config",
                                                            "auto_mapping",
                                                            "base_model_name_or_path",
                                                            "bias",
                                                            "corda_config",
                                                            "ensure_weight_tying",
                                                            "eva_config",
                                                            "exclude_modules",
                                                            "fan_in_fan_out",
                                                            "inference_mode",
                                                            "init_lora_weights",
                                                            "kasa_config",
                                                            "layer_replication",
                                                            "layers_pattern",
                                                            "layers_to_transform",
                                                            "loftq_config",
                                                            "lora_alpha",
                                                            "lora_bias",
                                                            "lora_dropout",
                                                            "lora_ga_config",
                                                            "megatron_config",
                                                            "megatron_core",
                                                            "modules_to_save",
                                                            "monteclora_config",
                                                            "peft_type",
                                                            "peft_version",
                                                            "qalora_group_size",
                                                            "r",
                                                            "rank_pattern",
                                                            "revision",
                                                            "target_modules",
                                                            "target_parameters",
                                                            "task_type",
                                                            "trainable_token_indices",
                                                            "use_bdlora",
                                                            "use_dora",
                                                            "use_qalora",
                                                            "use_rslora",
                                                            "velora_config"};

/// The keys that PEFT writes for every method.
inline constexpr std::array<std::string_view, 9> common_keys{
    "auto_mapping", "base_model_name_or_path", "inference_mode", "modules_to_save", "peft_type", "peft_version",
    "revision",     "target_modules",          "task_type"};

template <class Method>
constexpr bool has_all_of_lora = Method::shares[0] == all_of_lora[0];

/// Returns all keys of a method's file.
template <class Method>
std::vector<std::string> keys_of(const Method& method) {
  std::vector<std::string> keys(common_keys.begin(), common_keys.end());
  if constexpr (has_all_of_lora<Method>) {
    keys.insert(keys.end(), lora_keys.begin(), lora_keys.end());
  } else {
    keys.insert(keys.end(), Method::shares.begin(), Method::shares.end());
  }
  each_setting(method, [&](const char* key, const auto&, auto...) { keys.push_back(key); });
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

/// Returns whether a key is one of the method's own settings.
inline bool own_setting(const AdapterMethod& method, std::string_view key) {
  bool found = false;
  std::visit(
      [&](const auto& own) {
        each_setting(own, [&](const char* name, const auto&, auto...) { found |= key == name; });
      },
      method);
  return found;
}

/// Returns the value of `bias` for the biases of adapted modules.
inline std::string only_adapted(const AdapterMethod& method) {
  return std::visit(
      [](const auto& own) -> std::string {
        using Method = std::remove_cvref_t<decltype(own)>;
        if constexpr (has_all_of_lora<Method>) return "lora_only";
        if constexpr (requires { Method::bias_only; }) return Method::bias_only;
        return lower_case(Method::peft_type) + "_only";
      },
      method);
}

/// Returns the method of a peft_type, with default settings. Throws a `FormatError` that lists the methods.
template <std::size_t I = 0>
AdapterMethod method_named(const std::string& peft_type, const std::string& where) {
  if constexpr (I < std::variant_size_v<AdapterMethod>) {
    using Method = std::variant_alternative_t<I, AdapterMethod>;
    if (peft_type == Method::peft_type) return Method{};
    return method_named<I + 1>(peft_type, where);
  } else {
    std::string known;
    [&]<std::size_t... J>(std::index_sequence<J...>) {
      ((known += (J == 0 ? "" : ", ") + std::string(std::variant_alternative_t<J, AdapterMethod>::peft_type)), ...);
    }(std::make_index_sequence<I>{});
    throw FormatError(where + ": \"peft_type\" is \"" + printable(peft_type) + "\", expected one of " + known +
                      " (upper case): adapters of another method can't be read here");
  }
}

inline ModuleChoice module_choice(const Json& raw, std::string_view key, bool all_linear, const std::string& where);
inline Json module_json(const ModuleChoice& choice);

inline RankMasks rank_masks(const Json& value, const std::string& what) {
  expects<FormatError>(value.is_object(), what + ": expected an object, found " + describe_json(value));
  RankMasks masks;
  for (const auto& entry : value.get_ref<const Json::object_t&>())
    masks.emplace_back(entry.first, json_as<std::vector<bool>>(entry.second, what + ": \"" + entry.first + '"'));
  return masks;
}

/// Reads one setting; an absent one keeps its default.
template <class Value>
void read_setting(const Json& raw, const char* key, Value& value, const std::string& where) {
  const Json* found = find_json(raw, key);
  if (found == nullptr) return;
  const std::string what = where + ": \"" + key + '"';
  if constexpr (std::is_same_v<Value, InitSetting>) {
    value.name = found->is_boolean() ? (found->get<bool>() ? "true" : "false") : json_as<std::string>(*found, what);
  } else if constexpr (std::is_same_v<Value, ModuleChoice>) {
    value = module_choice(raw, key, false, where);
  } else if constexpr (std::is_same_v<Value, std::optional<RankMasks>>) {
    value.reset();
    if (!found->is_null()) value = rank_masks(*found, what);
  } else {
    value = json_as<Value>(*found, what);
  }
}

template <class Value>
Json setting_json(const Value& value) {
  if constexpr (std::is_same_v<Value, InitSetting>) {
    return value.name == "true" || value.name == "false" ? Json(value.name == "true") : Json(value.name);
  } else if constexpr (std::is_same_v<Value, ModuleChoice>) {
    return module_json(value);
  } else if constexpr (std::is_same_v<Value, std::optional<RankMasks>>) {
    if (!value) return nullptr;
    RankMasks sorted = *value;  // as in PEFT; the order is irrelevant
    std::sort(sorted.begin(), sorted.end());
    Json masks = Json::object();
    for (const auto& [key, mask] : sorted) masks[key] = mask;
    return masks;
  } else {
    return Json(value);
  }
}

}  // namespace veneer::detail
