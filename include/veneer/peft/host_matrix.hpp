// SPDX-License-Identifier: Apache-2.0
/// \file host_matrix.hpp
/// HostMatrix: a matrix in double on the host, for decompositions of weights and combinations of adapters.
///
///   x: (rows, columns), row-major      transposed(x) = xᵀ      matmul(x, y) = x y, summed over k in order
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "veneer/core/shape.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

struct HostMatrix {
  index_t rows = 0, columns = 0;
  std::vector<double> values{};

  HostMatrix() = default;
  /// Constructs zeros.
  HostMatrix(index_t r, index_t c) : HostMatrix(r, c, std::vector<double>(static_cast<std::size_t>(r * c))) {}
  HostMatrix(index_t r, index_t c, std::vector<double> v) : rows(r), columns(c), values(std::move(v)) {}
  double& at(index_t r, index_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  double at(index_t r, index_t c) const { return values[static_cast<std::size_t>(r * columns + c)]; }
  double* row(index_t r) { return values.data() + r * columns; }
  const double* row(index_t r) const { return values.data() + r * columns; }
};

inline HostMatrix transposed(const HostMatrix& x) {
  HostMatrix t(x.columns, x.rows);
  for (index_t r = 0; r < x.rows; ++r)
    for (index_t c = 0; c < x.columns; ++c) t.at(c, r) = x.at(r, c);
  return t;
}

inline HostMatrix matmul(const HostMatrix& x, const HostMatrix& y) {
  HostMatrix z(x.rows, y.columns);
  for (index_t r = 0; r < x.rows; ++r) {
    for (index_t k = 0; k < x.columns; ++k) {
      const double factor = x.at(r, k);
      if (factor == 0.0) continue;
      for (index_t c = 0; c < y.columns; ++c) z.at(r, c) += factor * y.at(k, c);
    }
  }
  return z;
}

template <Real T, ShapeLike S, Backend B>
HostMatrix to_host_matrix(const Tensor<T, S, B>& x) {
  const std::vector<T> values = to_host(x);
  return {x.extent(0), x.extent(1), std::vector<double>(values.begin(), values.end())};
}

/// Returns a tensor of the values, each rounded once.
template <Real T, Backend B>
Matrix<T, B> from_host_matrix(const HostMatrix& x, const B& device) {
  std::vector<T> values(x.values.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(x.values[i]);
  return from_host(Shape<dyn, dyn>(x.rows, x.columns), values, device);
}

}  // namespace veneer
