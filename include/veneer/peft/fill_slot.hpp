// SPDX-License-Identifier: Apache-2.0
/// \file fill_slot.hpp
/// fill_slot(layer, config, module, ...): makes the adapter of one module, of the method that the configuration names,
/// and places it in the slot of the layer. What attach does module by module.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/peft/adaptable.hpp"
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

/// Where the weight of a layer is: its adapter is made there.
template <class Layer>
auto device_of(const Layer& layer) {
  using B = layer_backend<Layer>;
  if constexpr (WeightSlotLike<decltype(layer.weight)>) {
    if (!present(layer.weight)) return B{};  // a tied head, before it has a weight of its own
    return with_stored(layer.weight, [](const auto& w) -> B { return value_of(w).device(); });
  } else {
    return B(value_of(layer.weight).device());
  }
}

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
  if constexpr (!EmbeddingSlot<Slot>) {
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

/// The number of values of an adapter of shapes.
template <class Slot>
index_t adapter_parameters(const Slot& slot) {
  index_t count = 0;
  visit(slot, [&](const std::string&, const ParameterLike auto& parameter) {
    count += parameter.slot() ? parameter.count() : 0;
  });
  return count;
}

/// Makes and places the adapter of one module.
/// \param common  what the modules of this adapter share; empty before the first
template <class Layer>
void fill_slot(Layer& layer, const LoraConfig& config, const AdaptedModule& module, const AttachOptions& options,
               std::shared_ptr<void>& common, const AdapterPlan& plan = {}) {
  using Slot = std::remove_cvref_t<decltype(layer.adapter)>;
  using B = layer_backend<Layer>;
  using T = layer_scalar<Layer>;
  static_assert(EmbeddingSlot<Slot> || SlotTakes<Slot, LowRankAdapter<B, dyn, T>>,
                "veneer::attach: the slot of a linear layer must take LowRankAdapter<Backend, dyn, T>");
  static_assert(!EmbeddingSlot<Slot> || SlotTakes<Slot, LowRankEmbeddingAdapter<B, dyn, T>>,
                "veneer::attach: the slot of an embedding must take LowRankEmbeddingAdapter<Backend, dyn, T>");
  index_t out = module.out, in = module.in;
  for (const AdaptedModule& other : plan.modules) out = std::max(out, other.out), in = std::max(in, other.in);
  AdapterSite<T, B, LoraConfig> site{
      config, module, out, in, {options.seed, name_hash(module.name)}, options.initialise, common, device_of(layer)};
  FirstFactors<T, B> first;
  if constexpr (!EmbeddingSlot<Slot>) {
    if (starts_apart(config, options.start())) {
      first = start_from(layer.weight, config, module, site.source, options.start());
      site.made = &first;
    }
  }
  with_method(config, [&](const auto& method) { fill_with(method, layer, site); });
}

}  // namespace detail

}  // namespace veneer
