// SPDX-License-Identifier: Apache-2.0
/// \file pissa.hpp
/// PiSSA: initialises the adapter with the principal part of the weight, and the weight keeps the residual.
///
///   w = U S Vᵀ      A = sqrt(S_r / s) V_rᵀ: (rank, in)      B = U_r sqrt(S_r / s): (out, rank)      w <- w - s B A
/// S_r: the r largest singular values   s: the scaling of the adapter
/// pissa_niter_N uses a randomised decomposition with N power iterations, which takes r / min(out, in) of the time.
/// Meng, Wang and Zhang, "PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models",
/// arXiv:2404.02948, eq. 2 to 4.
#pragma once

#include <cmath>

#include "veneer/peft/init/decomposition.hpp"
#include "veneer/peft/init/first_factors.hpp"

namespace veneer::detail {

/// Returns left sqrt(values / scale) and sqrt(values / scale) right, on the device.
template <Real T, Backend B>
FirstFactors<T, B> balanced(Decomposition parts, double scale, const B& device) {
  for (index_t k = 0; k < parts.right.rows; ++k) {
    const double root = std::sqrt(parts.values[static_cast<std::size_t>(k)] / scale);
    for (index_t i = 0; i < parts.left.rows; ++i) parts.left.at(i, k) *= root;
    for (index_t j = 0; j < parts.right.columns; ++j) parts.right.at(k, j) *= root;
  }
  return {from_host_matrix<T>(parts.right, device), from_host_matrix<T>(parts.left, device)};
}

/// \param w  (out, in), dense
template <Real T, ShapeLike S, Backend B>
FirstFactors<T, B> pissa_factors(const Tensor<T, S, B>& w, index_t rank, double scaling, index_t iterations,
                                 RandomStream source) {
  const Decomposer& way = needed_decomposer("pissa");
  const HostMatrix host = to_host_matrix(w);
  return balanced<T>(iterations == 0 ? way.svd(host, rank) : way.fast_svd(host, rank, iterations, source), scaling,
                     w.device());
}

}  // namespace veneer::detail
