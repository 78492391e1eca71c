// SPDX-License-Identifier: Apache-2.0
/// \file loftq.hpp
/// LoftQ: quantises the weight to 4 bits, and initialises the adapter with the best correction of
/// the quantisation error.
///
///   R = w; repeat:   Q = NF4(R)   D = w - decode(Q) ~ U_r S_r V_rᵀ   s B A = U_r S_r V_rᵀ   R = w - s B A      w <- Q
///   A = sqrt(S_r / s) V_rᵀ: (rank, in)      B = U_r sqrt(S_r / s): (out, rank)      blocks of 64, float scales
/// PEFT ignores s, so its correction is the best one for alpha = r only. Q is the same in both, and adapters can be
/// exchanged in both directions.
/// Li et al., "LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models", arXiv:2310.08659, algorithm 1.
#pragma once

#include "veneer/peft/init/pissa.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace veneer::detail {

template <Real T, ShapeLike S, Backend B>
struct LoftqStart {
  NF4Tensor<S, B, T> base;
  FirstFactors<T, B> factors;
};

/// \param w  (out, in), dense
template <Real T, ShapeLike S, Backend B>
LoftqStart<T, S, B> loftq_start(const Tensor<T, S, B>& w, index_t rank, double scaling, index_t iterations) {
  const Decomposer& way = needed_decomposer("loftq");
  Tensor<T, S, B> rest = w;
  for (index_t i = 0;; ++i) {
    NF4Tensor<S, B, T> packed(rest, {.blocksize = 64});
    const auto lost = add(w, scale(decode(packed), -1.0));
    const Decomposition parts = way.svd(to_host_matrix(lost), rank);
    if (i + 1 == iterations) return {std::move(packed), balanced<T>(parts, scaling, w.device())};
    const FirstFactors<T, B> whole = balanced<T>(parts, 1.0, w.device());
    rest = copy(w);
    ops::matmul<false, false>(rest, whole.up, whole.down, -1.0, 1.0);
  }
}

}  // namespace veneer::detail
