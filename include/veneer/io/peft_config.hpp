// SPDX-License-Identifier: Apache-2.0
/// \file peft_config.hpp
/// PEFT's `adapter_config.json`, for every method of peft/methods.hpp: read into a `AdapterConfig`, keeping all other
/// keys, and written byte for byte as by PEFT 0.21.2 (indent 2, keys sorted, no newline at the end).
///
/// Absent keys take PEFT's defaults, unknown keys give a warning and are kept, an absent `peft_type` is an error. A key
/// that would change the result of the adapter, and is not implemented, is refused by name instead of ignored. The
/// order of rank_pattern and alpha_pattern determines which entry is used, so it is kept in reading and in writing;
/// PEFT sorts it. Source: huggingface/peft, src/peft/config.py and src/peft/tuners/lora/config.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
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
#include "veneer/io/peft_method.hpp"
#include "veneer/peft/config.hpp"

namespace veneer {

/// An adapter's settings as they stand in a file.
struct AdapterFile {
  std::string peft_type;  // "LORA"
  AdapterConfig config;
  Json raw;  // the file: the keys that are not part of `config` are written back from here
  std::vector<std::string> warnings;
};

namespace detail {

/// Keys that would change what an adapter computes in a way that is refused by name, unless null, false or empty.
inline constexpr std::array<std::string_view, 11> refused_keys{"alora_invocation_tokens",
                                                               "arrow_config",
                                                               "enable_lora",
                                                               "kasa_config",
                                                               "layer_replication",
                                                               "megatron_config",
                                                               "monteclora_config",
                                                               "target_parameters",
                                                               "use_bdlora",
                                                               "use_qalora",
                                                               "velora_config"};

inline void refuse_unsupported(const Json& raw, const std::string& where) {
  for (const std::string_view key : refused_keys) {
    const Json* value = find_json(raw, key);
    if (value == nullptr || value->is_null() || *value == Json(false)) continue;
    if ((value->is_object() || value->is_array()) && value->empty()) continue;
    throw FormatError(where + ": \"" + std::string(key) + "\" is " + describe_json(*value) +
                      ": this option changes what the adapter computes and is not supported");
  }
}

/// null, a text (a regular expression, or "all-linear" in any case where that is allowed) or a list of names.
inline ModuleChoice module_choice(const Json& raw, std::string_view key, bool all_linear, const std::string& where) {
  const Json* value = find_json(raw, key);
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_string()) return ModuleChoice(json_get<std::vector<std::string>>(raw, key, where));
  const std::string text = value->get<std::string>();
  std::string lower = text;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return all_linear && lower == "all-linear" ? ModuleChoice::all_linear() : ModuleChoice::regex(text);
}

/// One value or a list of them.
template <class Value>
std::optional<std::vector<Value>> one_or_many(const Json& raw, std::string_view key, const std::string& where) {
  const Json* value = find_json(raw, key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (value->is_array()) return json_get<std::vector<Value>>(raw, key, where);
  return std::vector<Value>{json_get<Value>(raw, key, where)};
}

template <class Number>
PatternMap<Number> pattern_map(const Json& raw, std::string_view key, const std::string& where) {
  PatternMap<Number> map;
  const Json* value = find_json(raw, key);
  if (value == nullptr || value->is_null()) return map;
  expects<FormatError>(value->is_object(),
                       where + ": \"" + std::string(key) + "\": expected an object, found " + describe_json(*value));
  for (const auto& entry : value->get_ref<const Json::object_t&>()) {
    map.emplace_back(entry.first, json_get<Number>(*value, entry.first, where + ": \"" + std::string(key) + '"'));
  }
  return map;
}

/// null, a list of tokens of the input embedding, or lists by module.
inline std::optional<PatternMap<std::vector<index_t>>> token_indices(const Json& raw, const std::string& where) {
  const std::string key = "trainable_token_indices", what = where + ": \"" + key + '"';
  const Json* value = find_json(raw, key);
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (value->is_array()) return PatternMap<std::vector<index_t>>{{"", json_as<std::vector<index_t>>(*value, what)}};
  expects<FormatError>(value->is_object(),
                       what + ": expected a list of tokens, or lists by module, found " + describe_json(*value));
  PatternMap<std::vector<index_t>> map;
  for (const auto& entry : value->get_ref<const Json::object_t&>())
    map.emplace_back(entry.first, json_as<std::vector<index_t>>(entry.second, what + ": \"" + entry.first + '"'));
  return map;
}

inline LoraBias bias_kind(const Json& raw, const std::string& only, const std::string& where) {
  const std::string text = find_text(raw, "bias", where).value_or("none");
  if (text == "none") return LoraBias::none;
  if (text == "all") return LoraBias::all;
  if (text == only) return LoraBias::lora_only;
  throw FormatError(where + ": \"bias\": found \"" + printable(text) + "\", expected none, all or " + only);
}

inline std::string initialization(const Json& raw, const std::string& where) {
  const Json* value = find_json(raw, "init_lora_weights");
  if (value == nullptr || value->is_null()) return "true";
  if (value->is_boolean()) return value->get<bool>() ? "true" : "false";
  return json_text(raw, "init_lora_weights", where);
}

inline std::optional<LoftqConfig> loftq_config(const Json& raw, const std::string& where) {
  const Json* value = find_json(raw, "loftq_config");
  if (value == nullptr || value->is_null() || value->empty()) return std::nullopt;
  const std::string at = where + ": \"loftq_config\"";
  LoftqConfig config;
  config.loftq_bits = find_integer(*value, "loftq_bits", at).value_or(config.loftq_bits);
  config.loftq_iter = find_integer(*value, "loftq_iter", at).value_or(config.loftq_iter);
  return config;
}

inline std::optional<EvaConfig> eva_config(const Json& raw, const std::string& where) {
  const Json* value = find_json(raw, "eva_config");
  if (value == nullptr || value->is_null() || value->empty()) return std::nullopt;
  const std::string at = where + ": \"eva_config\"";
  EvaConfig config;
  config.rho = find_number(*value, "rho", at).value_or(config.rho);
  config.tau = find_number(*value, "tau", at).value_or(config.tau);
  config.use_label_mask = find_boolean(*value, "use_label_mask", at).value_or(config.use_label_mask);
  config.label_mask_value = find_integer(*value, "label_mask_value", at).value_or(config.label_mask_value);
  config.whiten = find_boolean(*value, "whiten", at).value_or(config.whiten);
  config.adjust_scaling_factors =
      find_boolean(*value, "adjust_scaling_factors", at).value_or(config.adjust_scaling_factors);
  return config;
}

inline Json eva_json(const EvaConfig& config) {
  return {{"adjust_scaling_factors", config.adjust_scaling_factors},
          {"label_mask_value", config.label_mask_value},
          {"rho", config.rho},
          {"tau", config.tau},
          {"use_label_mask", config.use_label_mask},
          {"whiten", config.whiten}};
}

/// A key that may be absent, but not null: null is no number.
inline double number_or(const Json& raw, std::string_view key, double fallback, const std::string& where) {
  return find_json(raw, key) == nullptr ? fallback : json_number(raw, key, where);
}

}  // namespace detail

/// The settings out of a parsed file, with those of its method; only types are checked. Throws `FormatError`.
inline AdapterConfig lora_fields(const Json& raw, const std::string& where) {
  AdapterConfig config;
  config.method = detail::method_named(find_text(raw, "peft_type", where).value_or("LORA"), where);
  std::visit(
      [&](auto& own) {
        each_setting(own, [&](const char* key, auto& value, auto...) { detail::read_setting(raw, key, value, where); });
      },
      config.method);
  const auto is_own = [&](const char* key) { return detail::own_setting(config.method, key); };
  if (!is_own("r") && find_json(raw, "r") != nullptr) config.r = json_integer(raw, "r", where);
  config.lora_alpha = detail::number_or(raw, "lora_alpha", config.lora_alpha, where);
  config.lora_dropout = find_number(raw, "lora_dropout", where).value_or(0.0);
  config.target_modules = detail::module_choice(raw, "target_modules", true, where);
  config.exclude_modules = detail::module_choice(raw, "exclude_modules", false, where);
  config.bias = detail::bias_kind(raw, detail::only_adapted(config.method), where);
  config.use_rslora = find_boolean(raw, "use_rslora", where).value_or(false);
  config.use_dora = find_boolean(raw, "use_dora", where).value_or(false);
  config.lora_bias = find_boolean(raw, "lora_bias", where).value_or(false);
  config.fan_in_fan_out = find_boolean(raw, "fan_in_fan_out", where).value_or(false);
  config.modules_to_save = detail::one_or_many<std::string>(raw, "modules_to_save", where);
  config.init_lora_weights = detail::initialization(raw, where);
  config.layers_to_transform = detail::one_or_many<index_t>(raw, "layers_to_transform", where);
  config.layers_pattern =
      detail::one_or_many<std::string>(raw, "layers_pattern", where).value_or(std::vector<std::string>());
  config.loftq_config = detail::loftq_config(raw, where);
  config.eva_config = detail::eva_config(raw, where);
  config.ensure_weight_tying = find_boolean(raw, "ensure_weight_tying", where).value_or(false);
  config.trainable_token_indices = detail::token_indices(raw, where);
  config.task_type = find_text(raw, "task_type", where);
  config.base_model_name_or_path = find_text(raw, "base_model_name_or_path", where);
  config.revision = find_text(raw, "revision", where);
  config.inference_mode = find_boolean(raw, "inference_mode", where).value_or(false);
  config.alpha_pattern = detail::pattern_map<double>(raw, "alpha_pattern", where);
  if (!is_own("rank_pattern")) config.rank_pattern = detail::pattern_map<index_t>(raw, "rank_pattern", where);
  return config;
}

/// The settings of a parsed file; `where` names it. Throws `FormatError` on methods and options that are not supported
/// and on values that PEFT refuses too.
inline AdapterFile parse_adapter_config(Json raw, const std::string& where) {
  AdapterFile file;
  file.peft_type = json_text(raw, "peft_type", where);
  detail::refuse_unsupported(raw, where);
  file.config = lora_fields(raw, where);
  try {
    check(file.config);
  } catch (const ArgumentError& error) {
    throw FormatError(where + ": " + error.what());
  }
  if (file.config.ensure_weight_tying && file.config.modules_to_save) {
    throw FormatError(where + ": \"ensure_weight_tying\" is true together with modules_to_save: not supported");
  }
  if (file.config.loftq_config && file.config.init_lora_weights != "loftq") {
    file.config.loftq_config.reset();
    file.warnings.push_back(where + ": \"loftq_config\" is ignored: \"init_lora_weights\" is not loftq");
  }
  const std::vector<std::string> keys =
      std::visit([](const auto& own) { return detail::keys_of(own); }, file.config.method);
  for (const auto& entry : raw.get_ref<const Json::object_t&>()) {
    if (!std::binary_search(keys.begin(), keys.end(), entry.first)) {
      file.warnings.push_back(where + ": the unknown key \"" + printable(entry.first) + "\" is ignored");
    }
  }
  if (!known_initialization(file.config.init_lora_weights)) {
    file.warnings.push_back(where + ": \"init_lora_weights\": \"" + printable(file.config.init_lora_weights) +
                            "\" is unknown; the weights of the file are used as they are");
  }
  file.raw = std::move(raw);
  return file;
}

/// Reads `adapter_config.json`. Throws `IoError` when it can't be read, else as `parse_adapter_config`.
inline AdapterFile read_adapter_config(const std::filesystem::path& path) {
  return parse_adapter_config(read_json(path), path.string());
}

namespace detail {

/// A number as PEFT has it: 16, not 16.0, unless there is a fraction.
inline Json plain_number(double value) {
  if (std::trunc(value) == value && std::abs(value) < 1e15) return Json(static_cast<std::int64_t>(value));
  return Json(value);
}

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

inline Json module_json(const ModuleChoice& choice) {
  switch (choice.kind) {
    case ModuleChoice::Kind::names: return Json(choice.names);
    case ModuleChoice::Kind::regex: return Json(choice.pattern);
    case ModuleChoice::Kind::all_linear: return Json("all-linear");
    default: return Json(nullptr);
  }
}

inline Json token_json(const std::optional<PatternMap<std::vector<index_t>>>& tokens) {
  if (!tokens) return nullptr;
  if (tokens->size() == 1 && tokens->front().first.empty()) return Json(tokens->front().second);
  auto sorted = *tokens;  // as PEFT does; the order means nothing
  std::sort(sorted.begin(), sorted.end());
  Json map = Json::object();
  for (const auto& [name, ids] : sorted) map[name] = ids;
  return map;
}

/// The keys that `config` knows.
inline Json lora_json(const AdapterConfig& config) {
  Json json = Json::object();
  Json alphas = Json::object();
  Json ranks = Json::object();
  for (const auto& entry : config.alpha_pattern) alphas[entry.first] = plain_number(entry.second);
  for (const auto& entry : config.rank_pattern) ranks[entry.first] = entry.second;
  Json loftq = Json::object();
  if (config.loftq_config)
    loftq = {{"loftq_bits", config.loftq_config->loftq_bits}, {"loftq_iter", config.loftq_config->loftq_iter}};
  const bool plain = config.init_lora_weights == "true" || config.init_lora_weights == "false";
  const std::array<std::string, 3> bias{"none", "all", only_adapted(config.method)};

  json["alpha_pattern"] = alphas;
  json["base_model_name_or_path"] = or_null(config.base_model_name_or_path);
  json["bias"] = bias[static_cast<std::size_t>(config.bias)];
  json["ensure_weight_tying"] = config.ensure_weight_tying;
  json["eva_config"] = config.eva_config ? eva_json(*config.eva_config) : Json(nullptr);
  json["exclude_modules"] = module_json(config.exclude_modules);
  json["fan_in_fan_out"] = config.fan_in_fan_out;
  json["inference_mode"] = true;  // PEFT saves it so, whatever it is in memory
  json["init_lora_weights"] = plain ? Json(config.init_lora_weights == "true") : Json(config.init_lora_weights);
  json["layers_pattern"] = config.layers_pattern.empty() ? Json(nullptr) : Json(config.layers_pattern);
  json["layers_to_transform"] = or_null(config.layers_to_transform);
  json["loftq_config"] = loftq;
  json["lora_alpha"] = plain_number(config.lora_alpha);
  json["lora_bias"] = config.lora_bias;
  json["lora_dropout"] = config.lora_dropout;
  json["modules_to_save"] = or_null(config.modules_to_save);
  json["r"] = config.r;
  json["rank_pattern"] = ranks;
  json["revision"] = or_null(config.revision);
  json["target_modules"] = module_json(config.target_modules);
  json["task_type"] = or_null(config.task_type);
  json["trainable_token_indices"] = token_json(config.trainable_token_indices);
  json["use_dora"] = config.use_dora;
  json["use_rslora"] = config.use_rslora;
  std::visit(
      [&](const auto& own) {
        const auto write = [&](const char* key, const auto& value, auto...) { json[key] = setting_json(value); };
        if constexpr (requires { own.completed(config.target_modules); }) {
          const auto all = own.completed(config.target_modules);
          each_setting(all, write);
        } else {
          each_setting(own, write);
        }
        json["peft_type"] = own.peft_type;
      },
      config.method);
  return json;
}

/// What PEFT writes for the keys that `config` does not know.
inline Json lora_default(std::string_view key) {
  if (key == "megatron_core") return "megatron.core";
  if (key == "peft_version") return "0.21.2";
  if (key == "qalora_group_size") return 16;
  if (key == "use_qalora") return false;
  return nullptr;
}

}  // namespace detail

/// The bytes of `adapter_config.json`. `raw`, the file that the settings come from, if any, gives the keys that
/// `config` does not know, and the form of those that did not change (4 or 4.0, "layers" or ["layers"]). Throws
/// `ArgumentError` as `check` does.
inline std::string adapter_config_json(const AdapterConfig& config, const Json* raw = nullptr) {
  check(config);
  const Json known = detail::lora_json(config);
  const Json before =
      raw == nullptr ? Json::object() : detail::lora_json(lora_fields(*raw, "veneer::adapter_config_json"));

  std::vector<std::string> keys = std::visit([](const auto& own) { return detail::keys_of(own); }, config.method);
  if (raw != nullptr) {
    for (const auto& entry : raw->get_ref<const Json::object_t&>()) keys.push_back(entry.first);
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());

  Json out = Json::object();
  for (const std::string& key : keys) {
    const Json* old = raw == nullptr ? nullptr : find_json(*raw, key);
    const Json* value = find_json(known, key);
    const bool unchanged = value == nullptr || *value == before.value(key, Json());
    const bool forced = key == "inference_mode";
    if (old != nullptr && unchanged && !forced) {
      out[key] = *old;
    } else {
      out[key] = value != nullptr ? *value : detail::lora_default(key);
    }
  }
  return dump_python(out, {.sort_keys = false});  // sorted above; the patterns keep their order
}

}  // namespace veneer
