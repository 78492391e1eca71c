// SPDX-License-Identifier: Apache-2.0
/// \file sum_adapter.hpp
/// SumAdapter: several low-rank terms on one frozen weight, at most one of them trainable.
///
///   y = w x + s_0 B_0 A_0 x + s_1 B_1 A_1 x + ...      w: (out, in)   A_i: (rank_i, in)   B_i: (out, rank_i)
/// This is PEFT's result with several active adapters. The frozen terms are Tensors: visit finds no Parameter in them,
/// no optimizer changes them, and their gradients are never computed, while that of x includes them. They have no
/// dropout. Hu et al., arXiv:2106.09685, eq. 3, term by term.
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/nn/adapter.hpp"
#include "veneer/peft/lora.hpp"

namespace veneer {

/// \tparam None     what the layer does without adapters: NoAdapter, NoEmbeddingAdapter
/// \tparam Learner  the adapter that may learn; without values where none does
template <class None, Backend B, Real T, class Learner>
class SumAdapter {
 public:
  static constexpr bool table = std::is_same_v<None, NoEmbeddingAdapter>;

  SumAdapter() = default;
  explicit SumAdapter(std::vector<LowRankFactors<T, B>> terms, Learner learns = {})
      : learner(std::move(learns)), frozen(std::move(terms)) {}

  auto operator()(const auto& w, const auto& x) const {
    auto y = [&] {
      if (learner.down) return learner(w, x);
      return None{}(w, x);
    }();
    for (const LowRankFactors<T, B>& term : frozen) y = term.added_to(std::move(y), x);
    return y;
  }

  /// The sum of the changes.    (out, in); of an embedding (vocabulary, features)
  auto delta() const {
    Matrix<T, B> change;
    if (learner.down) {
      change = learner.delta();
    } else {
      const LowRankFactors<T, B>& first = frozen.at(0);
      const index_t out = first.up.extent(0), in = first.down.extent(1);
      change = zeros<T>(table ? Shape<dyn, dyn>(in, out) : Shape<dyn, dyn>(out, in), first.up.device());
    }
    for (const LowRankFactors<T, B>& term : frozen) term.template add_to<table>(change);
    return change;
  }

  /// The weight with all changes, dense.
  auto merged(const auto& w) const {
    const auto& dense = decode(value_of(w));
    return std::remove_cvref_t<decltype(dense)>(add(dense, delta()));
  }

  /// The sum of s_i b_i; hollow where no B has a bias.    (out)
  Vector<T, B> bias_change() const {
    Vector<T, B> sum;
    const auto put = [&](const Vector<T, B>& one) { sum = sum ? Vector<T, B>(add(sum, one)) : one; };
    if constexpr (requires { learner.bias_change(); }) {
      if (learner.bias) put(learner.bias_change());
    }
    for (const LowRankFactors<T, B>& term : frozen)
      if (term.bias) put(Vector<T, B>(scale(term.bias, term.scaling)));
    return sum;
  }

  Learner learner;
  std::vector<LowRankFactors<T, B>> frozen;
  static constexpr auto fields = std::tuple{field("", &SumAdapter::learner)};
};

}  // namespace veneer
