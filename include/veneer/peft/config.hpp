// SPDX-License-Identifier: Apache-2.0
/// \file config.hpp
/// The settings of an adapter, with PEFT's names and defaults, and the selection of the adapted modules.
///
///     y = W x + scaling B A x        scaling = alpha / r, with use_rslora alpha / sqrt(r)
///
/// Module names are dotted paths without the prefix "base_model.model."
/// ("model.layers.0.self_attn.q_proj"). `ModuleMatcher` has the rules for matching. LoRA: Hu et al.,
/// arXiv:2106.09685; rsLoRA: Kalajdzievski, arXiv:2312.03732; DoRA: Liu et al., arXiv:2402.09353. Settings
/// as in huggingface/peft, src/peft/tuners/lora/config.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/shape.hpp"
#include "veneer/peft/methods.hpp"
#include "veneer/peft/module_choice.hpp"
#include "veneer/peft/name_pattern.hpp"

namespace veneer {

/// Which biases of the base model train.
enum class LoraBias { none, all, lora_only };

/// Settings of the LoftQ initialisation (Li et al., arXiv:2310.08659).
struct LoftqConfig {
  index_t loftq_bits = 4;
  index_t loftq_iter = 1;
  bool operator==(const LoftqConfig&) const = default;
};

/// Settings of the EVA initialisation (Paischer et al., arXiv:2410.07170).
struct EvaConfig {
  double rho = 2.0;   // a layer gets at most rho times its rank
  double tau = 0.99;  // cosine from which on a direction counts as settled
  bool use_label_mask = true;
  index_t label_mask_value = -100;
  bool whiten = false;
  bool adjust_scaling_factors = true;
  bool operator==(const EvaConfig&) const = default;
};

/// A name pattern and the number it sets; the first that matches counts, so the order of the file is kept.
template <class Number>
using PatternMap = std::vector<std::pair<std::string, Number>>;

/// The settings of a LoRA adapter. Plain data: `check` says whether they go together.
struct AdapterConfig {
  index_t r = 8;
  double lora_alpha = 8;
  double lora_dropout = 0;
  ModuleChoice target_modules{};
  ModuleChoice exclude_modules{};
  LoraBias bias = LoraBias::none;
  bool use_rslora = false;
  bool use_dora = false;
  bool lora_bias = false;                                     // gives B a bias
  bool fan_in_fan_out = false;                                // the base weight is stored (in, out)
  std::optional<std::vector<std::string>> modules_to_save{};  // trained in full
  std::string init_lora_weights = "true";                     // "true", "false", "gaussian", "pissa", ...
  std::optional<std::vector<index_t>> layers_to_transform{};
  std::vector<std::string> layers_pattern{};  // what the list of layers is called; empty: any name
  PatternMap<index_t> rank_pattern{};
  PatternMap<double> alpha_pattern{};
  std::optional<LoftqConfig> loftq_config{};
  std::optional<EvaConfig> eva_config{};
  bool ensure_weight_tying = false;
  /// Tokens whose rows train, by the end of the module's name; an empty name is the input embedding.
  std::optional<PatternMap<std::vector<index_t>>> trainable_token_indices{};

  std::optional<std::string> task_type{};  // "CAUSAL_LM", ...
  std::optional<std::string> base_model_name_or_path{};
  std::optional<std::string> revision{};
  bool inference_mode = false;

  AdapterMethod method{};  // settings of a method other than LoRA; what stands above counts where it has a meaning

  bool operator==(const AdapterConfig&) const = default;
};

/// What a product of A and B is multiplied with: alpha / r, or alpha / sqrt(r).
inline double lora_scaling(index_t r, double alpha, bool use_rslora) {
  expects(r >= 1, "veneer::lora_scaling(r, alpha): r must be at least 1");
  const auto rank = static_cast<double>(r);
  return alpha / (use_rslora ? std::sqrt(rank) : rank);
}

/// The same, for the rank and alpha of one module.
inline double scaling(const AdapterConfig& config, index_t r, double alpha) {
  return lora_scaling(r, alpha, config.use_rslora);
}

/// Whether PEFT knows this text of `init_lora_weights`. An adapter that is read needs no initialisation, so it may be
/// unknown.
inline bool known_initialization(std::string_view name) {
  constexpr std::array<std::string_view, 11> known{"true",  "false", "gaussian",   "eva",  "olora",  "pissa",
                                                   "corda", "loftq", "orthogonal", "mica", "lora_ga"};
  constexpr std::string_view iterations = "pissa_niter_";
  if (name.substr(0, iterations.size()) == iterations) {
    const std::string_view count = name.substr(iterations.size());
    return !count.empty() && count.size() <= 4 && count.find_first_not_of("0123456789") == std::string_view::npos;
  }
  return std::find(known.begin(), known.end(), name) != known.end();
}

namespace detail {

inline void check_numbers(const AdapterConfig& config) {
  expects(config.r >= 1, "r: found " + std::to_string(config.r) + ", expected a rank of at least 1");
  expects(std::isfinite(config.lora_alpha), "lora_alpha: expected a finite number");
  expects(config.lora_dropout >= 0 && config.lora_dropout <= 1,
          "lora_dropout: found " + std::to_string(config.lora_dropout) + ", expected a probability from 0 to 1");
  for (const auto& entry : config.rank_pattern) {
    expects(entry.second >= 1, "rank_pattern: \"" + entry.first + "\": found " + std::to_string(entry.second) +
                                   ", expected a rank of at least 1");
  }
  for (const auto& entry : config.alpha_pattern) {
    expects(std::isfinite(entry.second), "alpha_pattern: \"" + entry.first + "\": expected a finite number");
  }
}

}  // namespace detail

/// Whether rows of embeddings can train next to a method: those whose files have all keys of LoRA.
inline bool takes_tokens(const AdapterMethod& method) {
  return std::visit([](const auto& own) { return own.shares[0] == all_of_lora[0]; }, method);
}

namespace detail {
template <class Method>
concept ChecksItself = requires(const Method& method, const AdapterConfig& config) { method.check(config); };
}  // namespace detail

/// Checks that the settings are possible and go together, as PEFT does when it makes its LoraConfig. Throws
/// `ArgumentError` with the name of the setting.
inline void check(const AdapterConfig& config) {
  detail::check_numbers(config);
  const auto is_text = [](const ModuleChoice& choice) {
    return choice.kind == ModuleChoice::Kind::regex || choice.kind == ModuleChoice::Kind::all_linear;
  };
  const bool layers = config.layers_to_transform.has_value();
  expects(!is_text(config.target_modules) || !layers,
          "layers_to_transform: works with a list of target_modules only; name the layers in the regular expression");
  expects(!is_text(config.target_modules) || config.layers_pattern.empty(),
          "layers_pattern: works with a list of target_modules only; name the layers in the regular expression");
  expects(config.layers_pattern.empty() || layers,
          "layers_pattern: has a meaning together with layers_to_transform only: set both or none");
  expects(config.exclude_modules.kind != ModuleChoice::Kind::all_linear,
          "exclude_modules: all-linear would exclude every module: expected names or a regular expression");
  const bool plain = config.init_lora_weights == "true" || config.init_lora_weights == "false";
  expects(!config.lora_bias || plain,
          "lora_bias: works with init_lora_weights true or false only, found " + config.init_lora_weights);
  expects(!config.lora_bias || !config.use_dora, "lora_bias: does not work together with use_dora");
  expects(config.init_lora_weights != "loftq" || config.loftq_config.has_value(),
          "init_lora_weights: loftq needs a loftq_config");
  expects(!config.eva_config || config.eva_config->rho >= 1.0, "eva_config: rho: expected at least 1");
  expects(!config.eva_config || (config.eva_config->tau >= 0.0 && config.eva_config->tau <= 1.0),
          "eva_config: tau: expected a number from 0 to 1");
  expects(!config.trainable_token_indices || takes_tokens(config.method),
          "trainable_token_indices: works with LoRA, DoRA and AdaLoRA only");
  expects(!config.use_dora || std::holds_alternative<Lora>(config.method), "use_dora: works with LoRA only");
  std::visit(
      [&](const auto& method) {
        if constexpr (detail::ChecksItself<std::remove_cvref_t<decltype(method)>>) method.check(config);
      },
      config.method);
}

/// Decides which modules an adapter hits, and with which rank and alpha. Compiles the patterns once.
///
/// A module is hit when, in this order:
///   1. exclude_modules does not match it: a regular expression all of its name, an entry of a list its end at a dot;
///   2. no entry of modules_to_save is a part of its name, from dot to dot;
///   3. target_modules matches it, in the same way; all-linear: it is linear and not the output head;
///   4. where an entry of a list matched as an end and not as the whole name: its layer is one of layers_to_transform.
/// Source: huggingface/peft, src/peft/tuners/tuners_utils.py, check_target_module_exists; utils/other.py,
/// get_pattern_key.
class ModuleMatcher {
 public:
  /// Throws `ArgumentError` when `check(config)` does, when a pattern can't be read, and when there are no
  /// target_modules.
  explicit ModuleMatcher(const AdapterConfig& config) : config_(config) {
    check(config_);
    expects(config_.target_modules.kind != ModuleChoice::Kind::none,
            "target_modules: not set: name the modules, or take default_target_modules of the model type");
    if (config_.target_modules.kind == ModuleChoice::Kind::regex)
      target_.emplace(config_.target_modules.pattern, "target_modules");
    if (config_.exclude_modules.kind == ModuleChoice::Kind::regex)
      exclude_.emplace(config_.exclude_modules.pattern, "exclude_modules");
    for (const std::string& name : config_.modules_to_save.value_or(std::vector<std::string>())) {
      saved_.emplace_back("(^|.*\\.)" + name + "($|\\..*)", "modules_to_save");
    }
    for (const std::string& name : config_.layers_pattern) {
      layers_.emplace_back("(?:^|.*?\\.)" + name + "\\.(\\d+)\\.", "layers_pattern");
    }
    for (const auto& entry : config_.rank_pattern)
      ranks_.emplace_back("(.*\\.)?(" + entry.first + ")$", "rank_pattern");
    for (const auto& entry : config_.alpha_pattern)
      alphas_.emplace_back("(.*\\.)?(" + entry.first + ")$", "alpha_pattern");
  }

  const AdapterConfig& config() const { return config_; }

  /// Whether the adapter hits the module.
  bool targets(const std::string& name, ModuleKind kind) const {
    if (excluded(name)) return false;
    switch (config_.target_modules.kind) {
      case ModuleChoice::Kind::regex: return target_->full_match(name);
      case ModuleChoice::Kind::all_linear: return kind == ModuleKind::linear;
      default: break;
    }
    const std::vector<std::string>& names = config_.target_modules.names;
    if (std::find(names.begin(), names.end(), name) != names.end()) return true;
    return ends_with_entry(name, names) && in_layers(name);
  }

  /// The rank of a module: that of the first pattern that matches, or `otherwise`, or r.
  index_t rank_for(const std::string& name, std::optional<index_t> otherwise = {}) const {
    return first_match(config_.rank_pattern, ranks_, name).value_or(otherwise.value_or(config_.r));
  }

  /// The alpha of a module: that of the first pattern that matches, or `otherwise`, or lora_alpha.
  double alpha_for(const std::string& name, std::optional<double> otherwise = {}) const {
    return first_match(config_.alpha_pattern, alphas_, name).value_or(otherwise.value_or(config_.lora_alpha));
  }

  /// What B A of a module is multiplied with.
  double scaling_for(const std::string& name) const { return scaling(config_, rank_for(name), alpha_for(name)); }

  /// Whether the module, or one that it is part of, trains in full. As in PEFT an entry matches the end of a name,
  /// without regard to dots.
  bool saved_in_full(const std::string& name) const {
    if (!config_.modules_to_save) return false;
    const auto saved = [&](const std::string& part) {
      return std::any_of(config_.modules_to_save->begin(), config_.modules_to_save->end(),
                         [&](const std::string& entry) { return part.ends_with(entry); });
    };
    for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
      if (saved(name.substr(0, dot))) return true;
    return saved(name);
  }

 private:
  static bool ends_with_entry(const std::string& name, const std::vector<std::string>& entries) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const std::string& entry) { return name.ends_with("." + entry); });
  }

  bool excluded(const std::string& name) const {
    const std::vector<std::string>& names = config_.exclude_modules.names;
    if (exclude_ && exclude_->full_match(name)) return true;
    if (std::find(names.begin(), names.end(), name) != names.end() || ends_with_entry(name, names)) return true;
    return std::any_of(saved_.begin(), saved_.end(), [&](const NamePattern& saved) { return saved.match(name); });
  }

  bool in_layers(const std::string& name) const {
    if (!config_.layers_to_transform || config_.layers_to_transform->empty()) return true;
    std::string digits = layers_.empty() ? first_layer_number(name) : std::string();
    for (std::size_t i = 0; i < layers_.size() && digits.empty(); ++i) digits = layers_[i].last_group(name);
    if (digits.empty() || digits.size() > 9) return false;
    const auto layer = static_cast<index_t>(std::stoll(digits));
    const std::vector<index_t>& wanted = *config_.layers_to_transform;
    return std::find(wanted.begin(), wanted.end(), layer) != wanted.end();
  }

  /// The first part of the name that is a number, has two parts or more before it and one behind: the meaning of
  /// `.*?\.[^.]*\.(\d+)\.`. A name that starts with "layers.0" has no such part.
  static std::string first_layer_number(const std::string& name) {
    std::size_t begin = 0;
    for (int part = 0; begin < name.size(); ++part) {
      const std::size_t end = name.find('.', begin);
      if (end == std::string::npos) return {};
      const std::string text = name.substr(begin, end - begin);
      if (part >= 2 && !text.empty() && text.find_first_not_of("0123456789") == std::string::npos) return text;
      begin = end + 1;
    }
    return {};
  }

  template <class Number>
  static std::optional<Number> first_match(const PatternMap<Number>& map, const std::vector<NamePattern>& patterns,
                                           const std::string& name) {
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (patterns[i].match(name)) return map[i].second;
    }
    for (const auto& entry : map) {  // a name with characters that mean something in a pattern
      if (entry.first == name) return entry.second;
    }
    return std::nullopt;
  }

  AdapterConfig config_;
  std::optional<NamePattern> target_{};
  std::optional<NamePattern> exclude_{};
  std::vector<NamePattern> saved_{};
  std::vector<NamePattern> layers_{};
  std::vector<NamePattern> ranks_{};
  std::vector<NamePattern> alphas_{};
};

/// Whether the adapter hits the module; for many modules make a `ModuleMatcher` once.
inline bool targets(const AdapterConfig& config, const std::string& name, ModuleKind kind) {
  return ModuleMatcher(config).targets(name, kind);
}
/// The rank of a module.
inline index_t rank_for(const AdapterConfig& config, const std::string& name) {
  return ModuleMatcher(config).rank_for(name);
}
/// The alpha of a module.
inline double alpha_for(const AdapterConfig& config, const std::string& name) {
  return ModuleMatcher(config).alpha_for(name);
}

}  // namespace veneer
