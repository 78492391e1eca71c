// SPDX-License-Identifier: Apache-2.0
/// \file orthogonal.hpp
/// Orthogonal initialisation: neither factor is zero, but their product is.
///
///   Q: (rank, rank), orthogonal, random      N, M: standard normal, (in, rank / 2) and (out, rank / 2)
///   A = (N Q_even)ᵀ / 10: (rank, in)      B = M Q_odd / 10: (out, rank)      B A = M Q_odd Q_evenᵀ Nᵀ / 100 = 0
/// Q_even and Q_odd are the rows 0, 2, ... and 1, 3, ... of Q, so the rank must be even.
/// Source: huggingface/peft, src/peft/tuners/lora/layer.py, orthogonal_init.
#pragma once

#include <algorithm>

#include "veneer/peft/init/decomposition.hpp"
#include "veneer/peft/init/first_factors.hpp"

namespace veneer::detail {

inline HostMatrix normal_matrix(index_t rows, index_t columns, RandomStream source) {
  HostMatrix x(rows, columns);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = normal_at(source, i);
  return x;
}

/// Returns n q' / 10, (rows, rank), with q' every second row of q, from `first` on.    n: (rows, rank / 2)
inline HostMatrix mixed_rows(HostMatrix n, const HostMatrix& q, index_t first) {
  HostMatrix half(n.columns, q.columns);
  for (index_t k = 0; k < half.rows; ++k) std::copy_n(q.row(2 * k + first), q.columns, half.row(k));
  for (double& value : n.values) value /= 10.0;
  return matmul(n, half);
}

template <Real T, Backend B>
FirstFactors<T, B> orthogonal_factors(index_t out, index_t in, index_t rank, RandomStream source, const B& device) {
  const std::uint64_t third = source.stream ^ 0x9E3779B97F4A7C15ull;
  const HostMatrix q = needed_decomposer("orthogonal").qr(normal_matrix(rank, rank, {source.seed, third}), rank).left;
  const HostMatrix a = mixed_rows(normal_matrix(in, rank / 2, source), q, 0);
  const HostMatrix b = mixed_rows(normal_matrix(out, rank / 2, {source.seed, ~source.stream}), q, 1);
  return {from_host_matrix<T>(transposed(a), device), from_host_matrix<T>(b, device)};
}

}  // namespace veneer::detail
