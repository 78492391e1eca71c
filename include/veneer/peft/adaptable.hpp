// SPDX-License-Identifier: Apache-2.0
/// \file adaptable.hpp
/// The layers of a model that an adapter can be placed on: those with a weight and an adapter slot, with their names,
/// shapes and kinds (linear, embedding, output head).
#pragma once

#include <string>
#include <type_traits>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/peft/config.hpp"

namespace veneer {

namespace detail {

template <class M>
concept WeightedModule = Module<M> && requires(M& layer) { layer.weight; };

template <class M>
concept AdaptableModule = WeightedModule<M> && requires(M& layer) { layer.adapter; };

template <class M>
concept BiasedModule = requires(const M& layer) { layer.bias.shape(); };

template <class A>
concept EmbeddingSlot = std::is_same_v<typename std::remove_cvref_t<A>::Unfilled, NoEmbeddingAdapter>;

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
  visit(model, [&](const std::string& name, AdaptableModule auto& part) {
    if constexpr (FillableSlot<decltype(part.adapter)>) {
      constexpr bool table = EmbeddingSlot<decltype(part.adapter)>;
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
  });
}

/// All weights and biases of the base, each once.
template <class M>
index_t base_count(M& model) {
  index_t count = 0;
  visit(model, [&](const std::string&, WeightedModule auto& part) {
    if (present(part.weight)) count += part.weight.shape().count();
    if constexpr (BiasedModule<std::remove_cvref_t<decltype(part)>>) {
      if (present(part.bias)) count += part.bias.shape().count();
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

}  // namespace detail

}  // namespace veneer
