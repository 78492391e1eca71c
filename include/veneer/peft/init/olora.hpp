// SPDX-License-Identifier: Apache-2.0
/// \file olora.hpp
/// OLoRA: initialises the adapter with an orthonormal basis.
///
///   w = Q R      B = Q[:, :r]: (out, rank)      A = R[:r]: (rank, in)      w <- w - s B A
/// The first r columns of Q depend only on the first r columns of w, and R[:r] = Bᵀ w, so only these are decomposed.
/// Büyükakyüz, "OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models", arXiv:2406.01775, section 3.
#pragma once

#include "veneer/peft/init/decomposition.hpp"
#include "veneer/peft/init/first_factors.hpp"

namespace veneer::detail {

/// \param w  (out, in), dense
template <Real T, ShapeLike S, Backend B>
FirstFactors<T, B> olora_factors(const Tensor<T, S, B>& w, index_t rank) {
  const Decomposition parts = needed_decomposer("olora").qr(to_host_matrix(w), rank);
  return {from_host_matrix<T>(parts.right, w.device()), from_host_matrix<T>(parts.left, w.device())};
}

}  // namespace veneer::detail
