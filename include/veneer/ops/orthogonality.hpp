// SPDX-License-Identifier: Apache-2.0
/// \file orthogonality.hpp
/// The distance of the rows, or the columns, of a matrix from orthonormality.
///
///   row_orthogonality(a) = || a aᵀ - I ||_F        column_orthogonality(b) = || bᵀ b - I ||_F
///   da = 2 (a aᵀ - I) a / || a aᵀ - I ||_F         db = 2 b (bᵀ b - I) / || bᵀ b - I ||_F; 0 if the norm is 0
///   a: (rank, in)   b: (out, rank)   result: one value
/// Zhang et al., arXiv:2303.10512, eq. 4, without the square, as in PEFT.
#pragma once

#include <cmath>

#include "veneer/ops/linear.hpp"
#include "veneer/ops/reduce.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct LessIdentityBody {
  T* x;
  index_t extent;
  VENEER_HD void operator()(index_t i) const { x[i * extent + i] -= T(1); }
};

template <Real T>
struct FrobeniusBody {
  T* y;
  const double* x;
  VENEER_HD void operator()(index_t i) const { y[i] = static_cast<T>(std::sqrt(x[i])); }
};

template <Real T>
struct NormSlopeBody {
  T* dx;
  const T* norm;  // one value, as dy
  const T* dy;
  VENEER_HD void operator()(index_t i) const { dx[i] = norm[0] > T(0) ? dx[i] * (T(2) * dy[0] / norm[0]) : T(0); }
};

template <bool Columns>
struct Orthogonality {
  template <TensorLike X>
  auto forward(const X& x) const {
    using T = typename X::scalar;
    using B = typename X::backend;
    const auto rest = residual(x);
    Tensor<double, Shape<1>, B> sum(Shape<1>{}, x.device());
    x.device().reduce_rows(Sum<double>{}, 1, rest.count(), InnerLoad<T>{rest.data(), rest.data()}, sum.data());
    Tensor<T, Shape<1>, B> norm(Shape<1>{}, x.device());
    x.device().for_each(1, FrobeniusBody<T>{norm.data(), sum.data()});
    return norm;
  }

  template <TensorLike Dy, TensorLike X>
  auto pullback(Wrt<0>, const Dy& dy, const auto& norm, const X& x) const {
    using T = typename X::scalar;
    const auto rest = residual(x);
    X dx(x.shape(), x.device());
    if constexpr (Columns) {
      matmul<false, false>(dx, x, rest);
    } else {
      matmul<false, false>(dx, rest, x);
    }
    dx.device().for_each(dx.count(), NormSlopeBody<T>{dx.data(), norm.data(), dy.data()});
    return dx;
  }

 private:
  /// Returns x xᵀ - I, or xᵀ x - I.
  template <TensorLike X>
  static auto residual(const X& x) {
    using T = typename X::scalar;
    const index_t extent = x.extent(Columns ? 1 : 0);
    Matrix<T, typename X::backend> rest(Shape<dyn, dyn>(extent, extent), x.device());
    matmul<Columns, !Columns>(rest, x, x);
    rest.device().for_each(extent, LessIdentityBody<T>{rest.data(), extent});
    return rest;
  }
};

}  // namespace ops

/// Returns || a aᵀ - I ||_F.    a: (rank, in)   result: one value
template <ValueLike A>
auto row_orthogonality(const A& a) {
  static_assert(A::shape_type::rank == 2, "veneer::row_orthogonality(a): a must be a matrix");
  return apply(ops::Orthogonality<false>{}, a);
}

/// Returns || bᵀ b - I ||_F.    b: (out, rank)   result: one value
template <ValueLike A>
auto column_orthogonality(const A& b) {
  static_assert(A::shape_type::rank == 2, "veneer::column_orthogonality(b): b must be a matrix");
  return apply(ops::Orthogonality<true>{}, b);
}

}  // namespace veneer
