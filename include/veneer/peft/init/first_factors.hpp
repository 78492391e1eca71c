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

/// w <- w + scale B A, in the storage of w, rounded once.
template <WeightSlotLike W, Real T, Backend B>
void add_product(W& weight, const Matrix<T, B>& up, const Matrix<T, B>& down, double scale) {
  auto sum = weight.dense_copy();
  ops::matmul<false, false>(sum, up, down, scale, 1.0);
  weight = stored_as(weight, sum);
}

/// Whether a weight is held quantised, and nothing trains in its place.
template <WeightSlotLike W>
bool packed(const W& weight) {
  return weight && !weight.trainable() && weight.quantised();
}

}  // namespace detail

}  // namespace veneer
