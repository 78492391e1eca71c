// SPDX-License-Identifier: Apache-2.0
/// \file low_rank_factors.hpp
/// LowRankFactors: the change s B A of a weight as constants, for any method.
///
///   y + s B A x            of a linear module    A: (rank, in)           B: (out, rank)       x: (tokens, in)
///   y + s B A[:, ids]      of an embedding       A: (rank, vocabulary)   B: (features, rank)  ids: (tokens)
/// Hu et al., arXiv:2106.09685, eq. 3. An adapter of this form (LoRA, AdaLoRA, VeRA) has `factors(weight)`, which sums,
/// mixed batches, combinations and exports use. DoRA and IA3 also scale the weight and do not have this form.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "veneer/nn/adapter.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

template <Real T, Backend B>
struct LowRankFactors {
  Matrix<T, B> down;     // A
  Matrix<T, B> up;       // B
  double scaling = 1.0;  // s
  Vector<T, B> bias;     // b_B: s b_B is added to y; usually without values

  index_t rank() const { return down.extent(0); }
  /// s b_B; without values where B has no bias.    (out)
  Vector<T, B> scaled_bias() const { return bias ? Vector<T, B>(scale(bias, scaling)) : Vector<T, B>(); }

  /// y with the change added. Values of a tensor y are used up: no other handle may look at them.
  template <class Y>
  Y added_to(Y y, const auto& x) const {
    constexpr bool ids = std::same_as<typename std::remove_cvref_t<decltype(x)>::scalar, std::int32_t>;
    if (rank() == 0) return y;
    if constexpr (ids) {
      y = Y(add(y, scale(linear(gather_columns(down, x), up), scaling)));
    } else if constexpr (TensorLike<Y>) {
      auto z = ops::empty<typename std::remove_cvref_t<decltype(x)>::scalar, 0, 0>(x, down);
      ops::matmul<false, true>(z, x, down, scaling);  // as low_rank_linear rounds it
      ops::matmul<false, true>(y, z, up, 1.0, 1.0);
    } else {
      y = Y(add(y, scale(linear(linear(x, down), up), scaling)));
    }
    return add_bias(y, scaled_bias());
  }

  /// {w + s B A, b + s b_B}, dense.
  auto merged(const auto& w, const auto& b) const {
    auto sum = copy(decode(value_of(w)));
    add_to<false>(sum);
    return Affine{sum, sum_of_biases(b, scaled_bias())};
  }

  /// Adds s B A, or for an embedding its transpose, to a matrix in place.
  template <bool Table>
  void add_to(auto& sum) const {
    if (rank() == 0) return;
    if constexpr (Table) {
      ops::matmul<true, true>(sum, down, up, scaling, 1.0);
    } else {
      ops::matmul<false, false>(sum, up, down, scaling, 1.0);
    }
  }
};

/// An adapter whose change is one low-rank term.
template <class A, class W>
concept FoldsToLowRank = requires(const A& adapter, const W& weight) { adapter.factors(weight); };

}  // namespace veneer
