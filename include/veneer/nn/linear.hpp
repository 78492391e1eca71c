// SPDX-License-Identifier: Apache-2.0
/// \file linear.hpp
/// Layers that hold a weight: Linear<Weight, Adapter, Bias> and Embedding<Weight, Adapter>.
///
///   Linear      y = adapter(weight, x) + bias      weight: (out, in)   bias: (out), may be absent
///   Embedding   y = adapter(weight, ids)           weight: (vocabulary, features)
#pragma once

#include <tuple>

#include "veneer/nn/adapter.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/nn/weight_slot.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

/// The bias of a layer that has none.
struct NoBias {
  explicit operator bool() const { return false; }
};

template <class Weight, class Adapter = NoAdapter, class Bias = NoBias>
struct Linear {
  Weight weight{};                          // (out, in)
  [[no_unique_address]] Adapter adapter{};  // NoAdapter costs nothing
  [[no_unique_address]] Bias bias{};        // (out)

  auto operator()(const auto& x) const { return with(weight, x); }

  /// The same layer with the weight of another: a head that shares the embedding's.
  auto with(const auto& other, const auto& x) const {
    auto y = with_weight(other, [&](const auto& w) { return adapter(w, x); });
    if constexpr (!std::is_same_v<Bias, NoBias>) {
      if (present(bias)) y = with_weight(bias, [&](const auto& b) { return detail::add_bias(adapter, y, b); });
    }
    return y;
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
    return with_weight(weight, [&](const auto& table) { return adapter(table, ids); });
  }

  static constexpr auto fields = std::tuple{field("weight", &Embedding::weight), field("", &Embedding::adapter)};
};

}  // namespace veneer
