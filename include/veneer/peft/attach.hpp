// SPDX-License-Identifier: Apache-2.0
/// \file attach.hpp
/// attach(model, config): fills the adapter slots of the modules named by a AdapterConfig, and makes the
/// configured weights trainable.
///
///   const AdapterPlan plan =
///       attach(model, AdapterConfig{.r = 16, .lora_alpha = 32, .target_modules = {"q_proj", "v_proj"}});
/// Works on any model whose layers are `Linear` or `Embedding` with adapter slots. Names are matched as in PEFT
/// (peft/config.hpp). plan_adapter returns the plan without changing the model, and also works on a shape-only one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/peft/attach_tokens.hpp"
#include "veneer/peft/config.hpp"
#include "veneer/peft/fill_slot.hpp"
#include "veneer/peft/init/start.hpp"
#include "veneer/peft/plan.hpp"
#include "veneer/peft/sites.hpp"

namespace veneer {

namespace detail {

/// attach makes LoRA for every slot.
template <class Layer>
constexpr bool takes_low_rank() {
  if constexpr (SlottedModule<Layer>) {
    using Slot = std::remove_cvref_t<decltype(std::declval<Layer&>().adapter)>;
    using B = layer_backend<Layer>;
    using T = layer_scalar<Layer>;
    static_assert(EmbeddingSlot<Slot> || std::is_assignable_v<Slot&, LowRankAdapter<B, dyn, T>>,
                  "veneer::attach: the slot of a linear layer must take LowRankAdapter<Backend, dyn, T>");
    static_assert(!EmbeddingSlot<Slot> || std::is_assignable_v<Slot&, LowRankEmbeddingAdapter<B, dyn, T>>,
                  "veneer::attach: the slot of an embedding must take LowRankEmbeddingAdapter<Backend, dyn, T>");
  }
  return true;
}
template <class... P>
constexpr bool all_take_low_rank(PartTypes<P...>) {
  return (takes_low_rank<P>() && ...);
}

/// Refuses a model without values to a method that starts from them.
template <class M>
void expect_weights(M& model, const AdapterConfig& config, const AdapterPlan& plan) {
  const bool needed =
      with_method(config, [](const auto& method) { return StartsFromWeights<std::remove_cvref_t<decltype(method)>>; });
  if (!needed) return;
  for (const auto& site : sites(model)) {
    const auto weight = site->weight();
    if (find_module(plan, site->name) == nullptr || !weight) continue;
    const bool values = with_stored(weight, [](const auto& w) { return static_cast<bool>(value_of(w)); });
    expects(values, "veneer::attach: DoRA starts from the lengths of the rows of " + site->name +
                        ", and the model has shapes only: load its weights first");
  }
}

/// Refuses, before anything is touched, an initialisation that cannot be done.
template <class M>
void expect_start(M& model, const AdapterConfig& config, const AdapterPlan& plan, const StartOptions& options) {
  if (!starts_apart(config, options)) return;
  for (const auto& site : sites(model)) {
    const AdaptedModule* module = find_module(plan, site->name);
    if (module == nullptr) continue;
    if (site->kind == ModuleKind::embedding) {
      expects(initialization_named(config.init_lora_weights).kind != InitKind::loftq,
              "veneer::attach: " + site->name + ": LoftQ is for linear layers: leave it out of target_modules");
      continue;  // others leave an embedding to its usual start, as in PEFT
    }
    check_start_shape(config, *module, options);
    check_start_weight(*site, config, *module, options);
  }
}

/// Entries of lists and patterns that hit nothing.
inline std::vector<std::string> unused_entries(const AdapterConfig& config, const std::vector<std::string>& adapted,
                                               const std::vector<std::string>& all) {
  std::vector<std::string> unused;
  const auto hits = [](const std::vector<std::string>& names, const auto& test) {
    return std::any_of(names.begin(), names.end(), test);
  };
  for (const std::string& entry : config.target_modules.names) {
    if (!hits(all, [&](const std::string& n) { return n == entry || n.ends_with("." + entry); }))
      unused.push_back("target_modules: \"" + entry + "\"");
  }
  for (const auto& [pattern, rank] : config.rank_pattern) {
    const NamePattern matches("(.*\\.)?(" + pattern + ")$", "rank_pattern");
    if (!hits(adapted, [&](const std::string& n) { return matches.match(n); }))
      unused.push_back("rank_pattern: \"" + pattern + "\"");
  }
  for (const auto& [pattern, alpha] : config.alpha_pattern) {
    const NamePattern matches("(.*\\.)?(" + pattern + ")$", "alpha_pattern");
    if (!hits(adapted, [&](const std::string& n) { return matches.match(n); }))
      unused.push_back("alpha_pattern: \"" + pattern + "\"");
  }
  for (const std::string& entry : config.modules_to_save.value_or(std::vector<std::string>())) {
    if (!hits(all, [&](const std::string& n) { return n.ends_with(entry); }))
      unused.push_back("modules_to_save: \"" + entry + "\"");
  }
  return unused;
}

inline std::string listed(const std::vector<std::string>& names, const char* separator) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : separator) + name;
  return text;
}

}  // namespace detail

/// What attach would do.
/// \throws ArgumentError when the config contradicts itself, when no module is hit (the message names the candidates),
/// or, when
///         strict, when an entry matches nothing
template <class M>
AdapterPlan plan_adapter(M& model, const AdapterConfig& config, bool strict = true) {
  static_assert(
      detail::all_take_low_rank(typename detail::WithParts<detail::PartTypes<>, std::remove_const_t<M>>::type{}));
  const ModuleMatcher matcher(config);
  AdapterPlan plan;
  plan.base_parameters = base_count(model);
  std::vector<std::string> adapted, all;
  std::set<std::string> candidates;
  for (const auto& site : sites(model)) {
    candidates.insert(site->name.substr(site->name.rfind('.') + 1));
    if (!matcher.targets(site->name, site->kind)) continue;
    adapted.push_back(site->name);
    AdaptedModule entry{.name = site->name, .out = site->shape[0], .in = site->shape[1]};
    with_method(config, [&](const auto& method) { detail::describe_module(method, entry, matcher); });
    std::shared_ptr<void> nothing;
    entry.parameters = site->parameters(detail::make_adapter(*site, config, entry, {.initialise = false}, nothing));
    plan.modules.push_back(std::move(entry));
  }
  visit(model, [&](const std::string& name, Module auto& part) {
    all.push_back(name);
    if constexpr (detail::WeightedModule<std::remove_cvref_t<decltype(part)>>) {
      const bool saved = matcher.saved_in_full(name);
      if (saved) {
        const bool tied = !present(part.weight);
        index_t count = tied ? 0 : part.weight.shape().count();
        if constexpr (detail::HasHead<M>) count = tied ? model.tied_shape().count() : count;
        plan.trained.push_back({name + ".weight", count, true});
      }
      if constexpr (requires { part.bias.shape(); }) {
        const bool hit = std::find(adapted.begin(), adapted.end(), name) != adapted.end();
        const bool trains = config.bias == LoraBias::all || (config.bias == LoraBias::lora_only && hit);
        if (present(part.bias) && (saved || trains))
          plan.trained.push_back({name + ".bias", part.bias.shape().count(), saved});
      }
    }
  });
  detail::plan_tokens(model, config, plan);
  expects(!candidates.empty(), "veneer::attach: no layer of this model has an adapter slot (AdapterSlot, AnyAdapter)");
  if (plan.modules.empty()) {
    throw ArgumentError("veneer::attach: target_modules matches no module of this model; its modules end in " +
                        detail::listed({candidates.begin(), candidates.end()}, ", "));
  }
  for (const std::string& entry : detail::unused_entries(config, adapted, all))
    plan.warnings.push_back(entry + " matches no module");
  if (strict && !plan.warnings.empty()) {
    throw ArgumentError("veneer::attach: " + detail::listed(plan.warnings, "; ") + "; the modules end in " +
                        detail::listed({candidates.begin(), candidates.end()}, ", "));
  }
  return plan;
}

/// Fills slots and makes trainable what the config says, and nothing else: earlier adapters are replaced, weights that
/// trained before are frozen.
/// \returns what was done
/// \throws ArgumentError as plan_adapter, and for a method or an initialisation that is not supported; the model is
/// then unchanged
template <class M>
AdapterPlan attach(M& model, const AdapterConfig& config, const AttachOptions& options = {}) {
  detail::check_start(config, options.start());
  AdapterPlan plan = plan_adapter(model, config, options.strict);
  if (options.initialise) detail::expect_weights(model, config, plan);
  detail::expect_start(model, config, plan, options.start());
  const auto trains = [&](const std::string& name) {
    return std::any_of(plan.trained.begin(), plan.trained.end(),
                       [&](const TrainedWeight& w) { return w.name == name; });
  };
  if constexpr (detail::HasHead<M>) {
    // As in PEFT a head with an adapter has a weight below it, and a copy that trains leaves the original to the other
    // end of a tied model.
    for (const auto& site : sites(model)) {
      const bool own = find_module(plan, site->name) != nullptr || detail::find_tokens(plan, site->name) != nullptr;
      if ((site->kind == ModuleKind::output_head && own) ||
          (site->kind != ModuleKind::linear && trains(site->name + ".weight")))
        model.untie();
    }
  }
  visit(model, [&](const std::string& name, WeightSlotLike auto& slot) {
    slot.freeze();
    if (trains(name)) slot.train();
  });
  std::shared_ptr<void> common;
  for (const auto& site : sites(model)) {
    detail::put_base_back(*site);
    const AdaptedModule* module = find_module(plan, site->name);
    if (module == nullptr) {
      site->clear();
    } else {
      site->place(detail::make_adapter(*site, config, *module, options, common, plan));
    }
  }
  detail::attach_tokens(model, plan, options.initialise);
  return plan;
}

/// Full fine-tuning: every weight and bias becomes trainable, nothing is adapted.
template <class M>
AdapterPlan train_everything(M& model) {
  AdapterPlan plan;
  plan.base_parameters = base_count(model);
  visit(model, [&](const std::string& name, WeightSlotLike auto& slot) {
    if (!present(slot)) return;
    plan.trained.push_back({name, slot.shape().count(), false});
    slot.train(true);
  });
  return plan;
}

/// Empties every slot and freezes everything: the base alone. What trained without keeping the stored weight stays as
/// it is. What PiSSA or OLoRA took out of a weight is put back, rounded once, or, with AttachOptions::keep_base, to the
/// bit; without that, what LoftQ quantised stays in 4 bits.
template <class M>
void detach(M& model) {
  for (const auto& site : sites(model)) {
    detail::put_base_back(*site);
    site->clear();
  }
  visit(model, [](const std::string&, WeightSlotLike auto& slot) { slot.freeze(); });
}

}  // namespace veneer
