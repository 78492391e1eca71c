// SPDX-License-Identifier: Apache-2.0
/// \file linear.hpp
/// Layers with a weight: Linear<Weight, Adapter, Bias> and Embedding<Weight, Adapter>.
///
///   Linear      y = adapter(weight, bias, x)         weight: (out, in)   bias: (out), may be absent
///   Embedding   y = adapter(weight, NoBias{}, ids)   weight: (vocabulary, features)
#pragma once

#include <tuple>

#include "veneer/nn/adapter.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/nn/weight_slot.hpp"

namespace veneer {

namespace detail {

/// Returns the bias of a layer in the form for adapters: NoBias, or one type for every storage type, on the tape of x
/// if x is on one, without values if the layer has none.
template <class X, class C>
auto bias_for(const X& x, const C& bias) {
  if constexpr (std::is_same_v<C, NoBias>) {
    return bias;
  } else {
    using Values = Tensor<compute_t<typename C::scalar>, typename C::shape_type, typename C::backend>;
    const auto values = [](const auto& b) { return Values(decode(value_of(b))); };
    if constexpr (!VariableLike<X>) {
      return present(bias) ? with_weight(bias, values) : Values();
    } else {
      if (!present(bias)) return x.tape().input(Values());
      return with_weight(bias, [&]<class Stored>(const Stored& b) {
        if constexpr (ParameterLike<Stored>) {
          return on_tape(b, x.tape());
        } else {
          return x.tape().input(values(b));
        }
      });
    }
  }
}

}  // namespace detail

template <class Weight, class Adapter = NoAdapter, class Bias = NoBias>
struct Linear {
  Weight weight{};                          // (out, in)
  [[no_unique_address]] Adapter adapter{};  // NoAdapter takes no memory
  [[no_unique_address]] Bias bias{};        // (out)

  auto operator()(const auto& x) const { return with(weight, x); }

  /// Computes the layer with the weight of another, for a head that shares the embedding's.
  auto with(const auto& other, const auto& x) const {
    const auto b = detail::bias_for(x, bias);
    return with_weight(other, [&](const auto& w) { return adapter(w, b, x); });
  }

  static constexpr auto fields =
      std::tuple{field("weight", &Linear::weight), field("", &Linear::adapter), field("bias", &Linear::bias)};
};

/// A layer that a model of this type may lack.
template <class Layer>
struct Optional : Layer {
  bool absent = false;
};

template <class Weight, class Adapter = NoEmbeddingAdapter>
struct Embedding {
  Weight weight{};  // (vocabulary, features)
  [[no_unique_address]] Adapter adapter{};

  auto operator()(const auto& ids) const {
    return with_weight(weight, [&](const auto& table) { return adapter(table, NoBias{}, ids); });
  }

  static constexpr auto fields = std::tuple{field("weight", &Embedding::weight), field("", &Embedding::adapter)};
};

}  // namespace veneer
