// SPDX-License-Identifier: Apache-2.0
/// \file values.hpp
/// Tensors for tests: random tensors, and comparisons.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "veneer/tensor/factory.hpp"
#include "veneer/tensor/tensor.hpp"

namespace veneer::testing {

/// Returns normal values that depend only on `seed`.
template <Real T, Backend B, ShapeLike S>
Tensor<T, S, B> random(S shape, std::uint64_t seed, double stddev = 1.0) {
  return normal<T, B>(shape, RandomStream{2026, seed}, stddev);
}

template <Real T, Backend B>
Matrix<T, B> random_matrix(index_t rows, index_t columns, std::uint64_t seed, double stddev = 1.0) {
  return random<T, B>(Shape<dyn, dyn>(rows, columns), seed, stddev);
}

template <Real T, Backend B>
Vector<T, B> random_vector(index_t count, std::uint64_t seed, double stddev = 1.0) {
  return random<T, B>(Shape<dyn>(count), seed, stddev);
}

template <Backend B, Scalar T>
Vector<T, B> vector_of(const std::vector<T>& values) {
  return from_host<T, B>(Shape<dyn>(static_cast<index_t>(values.size())), values);
}

template <Backend B, Scalar T>
Matrix<T, B> matrix_of(index_t rows, index_t columns, const std::vector<T>& values) {
  return from_host<T, B>(Shape<dyn, dyn>(rows, columns), values);
}

/// Returns whether two tensors have the same shape and the same bits: NaN equals itself, 0 is not -0.
template <Scalar T, ShapeLike S, ShapeLike R, Backend B>
bool same_bits(const Tensor<T, S, B>& a, const Tensor<T, R, B>& b) {
  if (!(a.shape() == b.shape()) || static_cast<bool>(a) != static_cast<bool>(b)) return false;
  if (!a) return true;
  const std::vector<T> left = to_host(a), right = to_host(b);
  return left.empty() || std::memcmp(left.data(), right.data(), left.size() * sizeof(T)) == 0;
}

/// Returns the largest |a - b|; infinity if a shape differs, a tensor has no values, or a value is a NaN.
template <Scalar T, ShapeLike S, ShapeLike R, Backend B>
double largest_difference(const Tensor<T, S, B>& a, const Tensor<T, R, B>& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (!(a.shape() == b.shape()) || !a || !b) return infinity;
  const std::vector<T> left = to_host(a), right = to_host(b);
  double largest = 0.0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double difference = std::abs(static_cast<double>(left[i]) - static_cast<double>(right[i]));
    largest = std::isnan(difference) ? infinity : std::max(largest, difference);
  }
  return largest;
}

/// Returns the largest |x|.
template <Scalar T, ShapeLike S, Backend B>
double largest(const Tensor<T, S, B>& x) {
  return largest_difference(x, zeros<T, B>(x.shape()));
}

}  // namespace veneer::testing
