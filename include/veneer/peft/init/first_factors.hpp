// SPDX-License-Identifier: Apache-2.0
/// \file first_factors.hpp
/// FirstFactors: the initial A and B computed from the frozen weight and subtracted from it, and how to
/// restore the weight.
///
///   w_0 = w - s B_0 A_0, rounded once to the storage type of w      w: (out, in)   A_0: (rank, in)   B_0: (out, rank)
/// An adapter trained from this initialisation equals a plain one of twice the rank over w, since
///   w_0 + s B A = w + s [B, -B_0] [A; A_0]
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/nn/weight_slot.hpp"

namespace veneer {

/// What an initialisation took out of the weight that an adapter stands on.
template <Real T, Backend B>
struct TakenOut {
  Matrix<T, B> down, up;             // A_0, B_0; without values where nothing was taken
  std::shared_ptr<const void> base;  // the layer's weight as it was, where it is kept

  explicit operator bool() const { return static_cast<bool>(down) || base != nullptr; }
};

/// The values that an adapter starts with.
template <Real T, Backend B>
struct FirstFactors {
  Matrix<T, B> down, up;  // A: (rank, in)   B: (out, rank)
  TakenOut<T, B> taken{};
};

/// How `init_lora_weights` starts an adapter.
enum class InitKind { uniform, gaussian, uniform_both, pissa, olora, loftq, orthogonal, eva, unsupported };

struct Initialization {
  InitKind kind = InitKind::uniform;
  index_t iterations = 0;  // of the fast decomposition of PiSSA; 0: the exact one

  /// Whether the base loses s B_0 A_0.
  bool subtracts() const { return kind == InitKind::pissa || kind == InitKind::olora; }
  bool changes_base() const { return subtracts() || kind == InitKind::loftq; }
};

/// "pissa_niter_16" -> {pissa, 16}.
inline Initialization initialization_named(std::string_view name) {
  constexpr std::string_view fast = "pissa_niter_";
  if (name.starts_with(fast) && name.size() > fast.size() && name.size() <= fast.size() + 4) {
    index_t iterations = 0;
    for (const char c : name.substr(fast.size())) {
      if (c < '0' || c > '9') return {InitKind::unsupported, 0};
      iterations = 10 * iterations + (c - '0');
    }
    return iterations == 0 ? Initialization{InitKind::unsupported, 0} : Initialization{InitKind::pissa, iterations};
  }
  constexpr std::pair<std::string_view, InitKind> known[]{
      {"true", InitKind::uniform},          {"gaussian", InitKind::gaussian},
      {"false", InitKind::uniform_both},    {"pissa", InitKind::pissa},
      {"olora", InitKind::olora},           {"loftq", InitKind::loftq},
      {"orthogonal", InitKind::orthogonal}, {"eva", InitKind::eva}};
  for (const auto& [known_name, kind] : known) {
    if (known_name == name) return {kind, 0};
  }
  return {InitKind::unsupported, 0};
}

namespace detail {

/// The values of a weight in the compute type, in memory of their own.
template <class W>
auto own_values(const W& weight) {
  if constexpr (WeightSlotLike<W>) {
    return weight.dense_copy();
  } else {
    return copy(decode(weight));
  }
}

/// w <- w + scale B A, in the storage of w, rounded once.
template <class W, Real T, Backend B>
void add_product(W& weight, const Matrix<T, B>& up, const Matrix<T, B>& down, double scale) {
  auto sum = own_values(weight);
  ops::product<false, false>(sum, up, down, scale, 1.0);
  weight = stored_as(weight, sum);
}

/// Puts what was taken out of a weight back: every bit where the weight was kept, else B_0 A_0, rounded.
template <class W, Real T, Backend B>
void put_back(W& weight, const TakenOut<T, B>& taken, double scaling) {
  if (taken.base != nullptr) {
    weight = *static_cast<const W*>(taken.base.get());
  } else if (taken.down) {
    add_product(weight, taken.up, taken.down, scaling);
  }
}

/// Whether a weight is held quantised.
template <class W>
bool packed(const W& weight) {
  if (!present(weight)) return false;
  return with_stored(weight, [](const auto& w) { return QuantizedTensorLike<decltype(w)>; });
}

/// Calls f(low_rank) for an adapter that has A and B, or for the direction of DoRA.
template <class Adapter, class F>
void look_at_factors(Adapter& adapter, const F& f) {
  if constexpr (requires { adapter.down, adapter.up, adapter.taken; }) {
    f(adapter);
  } else if constexpr (requires { adapter.direction.down, adapter.direction.up, adapter.direction.taken; }) {
    f(adapter.direction);
  }
}

/// Calls f(low_rank) for the low-rank part of the adapter in a layer's slot, if there is one.
template <class Layer, class F>
void look_at_low_rank(Layer& layer, const F& f) {
  if constexpr (requires { layer.adapter.clear(); }) {
    layer.adapter.look([&](auto& adapter) { look_at_factors(adapter, f); });
  }
}

/// Puts back what an initialisation took out of the base.
template <class Layer>
void put_base_back(Layer& layer) {
  look_at_low_rank(layer, [&](auto& adapter) {
    put_back(layer.weight, adapter.taken, adapter.scaling);
    adapter.taken = {};
  });
}

}  // namespace detail

}  // namespace veneer
