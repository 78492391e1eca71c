// SPDX-License-Identifier: Apache-2.0
/// \file attach.hpp
/// attach(model, config): fills the adapter slots of the modules that a LoraConfig names, and makes trainable what it
/// says.
///
///   const AdapterPlan plan = attach(model, LoraConfig{.r = 16, .lora_alpha = 32, .target_modules = {"q_proj",
///   "v_proj"}});
/// Works on any model whose layers are `Linear` or `Embedding` with adapter slots. Names are matched as PEFT matches
/// them
/// (peft/config.hpp). plan_adapter says the same without touching the model, and works on one that has shapes only.
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
#include "veneer/peft/config.hpp"
#include "veneer/peft/init/start.hpp"
#include "veneer/peft/lora.hpp"
#include "veneer/peft/plan.hpp"

namespace veneer {

struct AttachOptions {
  std::uint64_t seed = 0;
  bool strict = true;      // an entry that matches no module is an error; else a warning
  bool initialise = true;  // false: factors are left without values, for a reader to fill
  bool keep_base = false;  // hold on to weights that PiSSA, OLoRA, LoftQ change: detach then gives every bit back
  const FirstDirections* directions = nullptr;  // of EVA
  bool change_base = false;  // change the base as the initialisation does, with initialise = false too

  StartOptions start() const { return {initialise, initialise || change_base, keep_base, directions}; }
};

namespace detail {

template <class M>
concept WeightedModule = Module<M> && requires(M& layer) { layer.weight; };

template <class M>
concept AdaptableModule = WeightedModule<M> && requires(M& layer) { layer.adapter; };

template <class A>
struct IsEmbeddingSlot : std::false_type {};
template <class... A>
struct IsEmbeddingSlot<BasicAdapterSlot<NoEmbeddingAdapter, A...>> : std::true_type {};

template <class A>
concept FillableSlot = requires(A& slot) { slot.clear(); };

/// A model whose head may share the weight of its embedding. A concept on the type: inside a lambda that is generic in
/// something else, a requirement on `model` itself is an error to some compilers, not an answer.
template <class M>
concept HasHead = requires(M& model) {
  model.output_head();
  model.tied_shape();
  model.untie();
};

/// Calls f(name, layer, shape, kind) for every layer with an adapter slot. A tied head has the shape of the embedding.
template <class M, class F>
void visit_adaptable(M& model, const F& f) {
  visit(model, [&](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (AdaptableModule<Part>) {
      if constexpr (FillableSlot<decltype(part.adapter)>) {
        constexpr bool table = IsEmbeddingSlot<std::remove_cvref_t<decltype(part.adapter)>>::value;
        ModuleKind kind = table ? ModuleKind::embedding : ModuleKind::linear;
        Shape<dyn, dyn> shape(0, 0);
        if constexpr (HasHead<M>) {
          if (static_cast<const void*>(&part) == static_cast<const void*>(&model.output_head()))
            kind = ModuleKind::output_head;
          shape = present(part.weight) ? Shape<dyn, dyn>(part.weight.shape()) : Shape<dyn, dyn>(model.tied_shape());
        } else {
          shape = Shape<dyn, dyn>(part.weight.shape());
        }
        f(name, part, shape, kind);
      }
    }
  });
}

/// All weights and biases of the base, each once.
template <class M>
index_t base_count(M& model) {
  index_t count = 0;
  visit(model, [&](const std::string&, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (WeightedModule<Part>) {
      if (present(part.weight)) count += part.weight.shape().count();
      if constexpr (requires { part.bias.shape(); }) {
        if (present(part.bias)) count += part.bias.shape().count();
      }
    }
  });
  return count;
}

/// Whether a module, or one that it is part of, trains in full.
inline bool saved_in_full(const ModuleMatcher& matcher, const std::string& name) {
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    if (matcher.saved_in_full(name.substr(0, dot))) return true;
  }
  return matcher.saved_in_full(name);
}

inline std::uint64_t name_hash(const std::string& name) {  // FNV-1a
  std::uint64_t hash = 14695981039346656037ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

/// What a slot of this layer computes in, and where.
template <class Layer>
using layer_scalar = compute_t<typename std::remove_cvref_t<decltype(std::declval<Layer&>().weight)>::scalar>;
template <class Layer>
using layer_backend = typename std::remove_cvref_t<decltype(std::declval<Layer&>().weight)>::backend;

template <class Slot, class A>
concept SlotTakes = std::is_assignable_v<Slot&, A>;

/// Puts the adapter of a method into the slot of a layer.
template <class Method, class Layer, class Site>
void fill_with(const Method& method, Layer& layer, const Site& site) {
  using Slot = std::remove_cvref_t<decltype(layer.adapter)>;
  using B = layer_backend<Layer>;
  using T = layer_scalar<Layer>;
  const auto refuse = [&](const std::string& why) {
    throw ArgumentError("veneer::attach: " + site.module.name + ": " + Method::name + " " + why);
  };
  if constexpr (!IsEmbeddingSlot<Slot>::value) {
    if constexpr (SlotTakes<Slot, typename Method::template linear<B, T>>) {
      layer.adapter = method.make_linear(site, layer.weight);
    } else {
      refuse("has an adapter that the slot of this layer does not take: list it in its AdapterSlot");
    }
  } else if constexpr (AdaptsEmbeddings<Method, B, T>) {
    if constexpr (SlotTakes<Slot, typename Method::template embedding<B, T>>) {
      layer.adapter = method.make_embedding(site, layer.weight);
    } else {
      refuse("has an adapter that the slot of this embedding does not take: list it in its EmbeddingAdapterSlot");
    }
  } else {
    refuse("does not adapt embeddings: leave it out of target_modules");
  }
}

/// Refuses a model without values to a method that starts from them.
template <class M>
void expect_weights(M& model, const LoraConfig& config, const AdapterPlan& plan) {
  const bool needed =
      with_method(config, [](const auto& method) { return StartsFromWeights<std::remove_cvref_t<decltype(method)>>; });
  if (!needed) return;
  visit_adaptable(model, [&](const std::string& name, auto& layer, const auto&, ModuleKind) {
    const bool hit = std::any_of(plan.modules.begin(), plan.modules.end(),
                                 [&](const AdaptedModule& module) { return module.name == name; });
    if (!hit || !present(layer.weight)) return;
    const bool values = with_weight(layer.weight, [](const auto& w) { return static_cast<bool>(value_of(w)); });
    expects(values, "veneer::attach: DoRA starts from the lengths of the rows of " + name +
                        ", and the model has shapes only: load its weights first");
  });
}

/// The number of values of an adapter of shapes.
template <class Slot>
index_t adapter_parameters(const Slot& slot) {
  index_t count = 0;
  walk(std::string(), slot, [&](const std::string&, const auto& part) {
    if constexpr (ParameterLike<decltype(part)>) count += part.slot() ? part.count() : 0;
  });
  return count;
}

/// Refuses, before anything is touched, an initialisation that cannot be done.
template <class M>
void expect_start(M& model, const LoraConfig& config, const AdapterPlan& plan, const StartOptions& options) {
  if (!starts_apart(config, options)) return;
  visit_adaptable(model, [&](const std::string& name, auto& layer, const auto&, ModuleKind kind) {
    for (const AdaptedModule& module : plan.modules) {
      if (module.name != name) continue;
      if (kind == ModuleKind::embedding) {
        expects(initialization_named(config.init_lora_weights).kind != InitKind::loftq,
                "veneer::attach: " + name + ": LoftQ is for linear layers: leave it out of target_modules");
        continue;  // others leave an embedding to its usual start, as in PEFT
      }
      check_start_shape(config, module, options);
      check_start_weight(layer.weight, config, module, options);
    }
  });
}

/// Makes and places the adapter of one module.
/// \param common  what the modules of this adapter share; empty before the first
template <class Layer>
void fill_slot(Layer& layer, const LoraConfig& config, const AdaptedModule& module, const AttachOptions& options,
               std::shared_ptr<void>& common, const AdapterPlan& plan = {}) {
  using Slot = std::remove_cvref_t<decltype(layer.adapter)>;
  using B = layer_backend<Layer>;
  using T = layer_scalar<Layer>;
  static_assert(IsEmbeddingSlot<Slot>::value || SlotTakes<Slot, LowRankAdapter<B, dyn, T>>,
                "veneer::attach: the slot of a linear layer must take LowRankAdapter<Backend, dyn, T>");
  static_assert(!IsEmbeddingSlot<Slot>::value || SlotTakes<Slot, LowRankEmbeddingAdapter<B, dyn, T>>,
                "veneer::attach: the slot of an embedding must take LowRankEmbeddingAdapter<Backend, dyn, T>");
  index_t out = module.out, in = module.in;
  for (const AdaptedModule& other : plan.modules) out = std::max(out, other.out), in = std::max(in, other.in);
  AdapterSite<T, B, LoraConfig> site{
      config, module, out, in, {options.seed, name_hash(module.name)}, options.initialise, common, B{}};
  FirstFactors<T, B> first;
  if constexpr (!IsEmbeddingSlot<Slot>::value) {
    if (starts_apart(config, options.start())) {
      first = start_from(layer.weight, config, module, site.source, options.start());
      site.made = &first;
    }
  }
  with_method(config, [&](const auto& method) { fill_with(method, layer, site); });
}

/// Entries of lists and patterns that hit nothing.
inline std::vector<std::string> unused_entries(const LoraConfig& config, const std::vector<std::string>& adapted,
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
AdapterPlan plan_adapter(M& model, const LoraConfig& config, bool strict = true) {
  const ModuleMatcher matcher(config);
  AdapterPlan plan;
  plan.base_parameters = detail::base_count(model);
  std::vector<std::string> adapted, all;
  std::set<std::string> candidates;
  detail::visit_adaptable(model, [&](const std::string& name, auto& layer, const auto& shape, ModuleKind kind) {
    candidates.insert(name.substr(name.rfind('.') + 1));
    if (!matcher.targets(name, kind)) return;
    adapted.push_back(name);
    AdaptedModule entry{.name = name, .out = shape[0], .in = shape[1]};
    with_method(config, [&](const auto& method) { detail::describe_module(method, entry, matcher); });
    auto trial = layer;  // handles, and a slot to fill with shapes
    std::shared_ptr<void> nothing;
    detail::fill_slot(trial, config, entry, {.initialise = false}, nothing);
    entry.parameters = detail::adapter_parameters(trial.adapter);
    plan.modules.push_back(std::move(entry));
  });
  visit(model, [&](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (Module<Part>) all.push_back(name);
    if constexpr (detail::WeightedModule<Part>) {
      const bool saved = detail::saved_in_full(matcher, name);
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
AdapterPlan attach(M& model, const LoraConfig& config, const AttachOptions& options = {}) {
  detail::check_start(config, options.start());
  AdapterPlan plan = plan_adapter(model, config, options.strict);
  if (options.initialise) detail::expect_weights(model, config, plan);
  detail::expect_start(model, config, plan, options.start());
  const auto find = [&](const std::string& name) {
    return std::find_if(plan.modules.begin(), plan.modules.end(),
                        [&](const AdaptedModule& m) { return m.name == name; });
  };
  const auto trains = [&](const std::string& name) {
    return std::any_of(plan.trained.begin(), plan.trained.end(),
                       [&](const TrainedWeight& w) { return w.name == name; });
  };
  if constexpr (detail::HasHead<M>) {
    // As in PEFT a head with an adapter has a weight below it, and a copy that trains leaves the original to the other
    // end of a tied model.
    detail::visit_adaptable(model, [&](const std::string& name, auto&, const auto&, ModuleKind kind) {
      const bool adapted = kind == ModuleKind::output_head && find(name) != plan.modules.end();
      if (adapted || (kind != ModuleKind::linear && trains(name + ".weight"))) model.untie();
    });
  }
  visit(model, [&](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (detail::WeightedModule<Part>) {
      if constexpr (WeightSlotLike<decltype(part.weight)>) {
        part.weight.freeze();
        if (trains(name + ".weight")) part.weight.train();
      }
      if constexpr (requires { part.bias.train(); }) {
        part.bias.freeze();
        if (trains(name + ".bias")) part.bias.train();
      }
    }
  });
  std::shared_ptr<void> common;
  detail::visit_adaptable(model, [&](const std::string& name, auto& layer, const auto&, ModuleKind) {
    detail::put_base_back(layer);
    const auto at = find(name);
    if (at == plan.modules.end()) {
      layer.adapter.clear();
    } else {
      detail::fill_slot(layer, config, *at, options, common, plan);
    }
  });
  return plan;
}

/// Full fine-tuning: every weight and bias becomes trainable, nothing is adapted.
template <class M>
AdapterPlan train_everything(M& model) {
  AdapterPlan plan;
  plan.base_parameters = detail::base_count(model);
  visit(model, [&](const std::string& name, auto& part) {
    if constexpr (WeightSlotLike<decltype(part)>) {
      if (!present(part)) return;
      plan.trained.push_back({name, part.shape().count(), false});
      part.train(true);
    }
  });
  return plan;
}

/// Empties every slot and freezes everything: the base alone. What trained without keeping the stored weight stays as
/// it is. What PiSSA or OLoRA took out of a weight is put back, rounded once, or, with AttachOptions::keep_base, to the
/// bit; without that, what LoftQ quantised stays in 4 bits.
template <class M>
void detach(M& model) {
  detail::visit_adaptable(model, [](const std::string&, auto& layer, const auto&, ModuleKind) {
    detail::put_base_back(layer);
    layer.adapter.clear();
  });
  visit(model, [](const std::string&, auto& part) {
    if constexpr (WeightSlotLike<decltype(part)>) part.freeze();
  });
}

}  // namespace veneer
