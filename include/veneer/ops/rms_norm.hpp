// SPDX-License-Identifier: Apache-2.0
/// \file rms_norm.hpp
/// rms_norm(x, w, eps, offset): y[r, c] = (offset + w[c]) * x[r, c] / sqrt(mean over c of x[r, c]^2 + eps).
///
///   x: (tokens, features)   w: (features)   y: (tokens, features)   offset: 0, or 1 where a checkpoint holds w - 1
/// grouped_rms_norm is the same over consecutive groups of features, one per attention head for instance.
///
/// Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4; eps stands inside the root.
/// With s = 1 / root and n features:   dx = s * (w dy) - x * s^3 / n * sum(w dy x)   dw[c] = sum over r of dy x s
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct SquareLoad {
  const T* x;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c] * x[r * columns + c]; }
};

template <Real T>
struct RootBody {  // sums of squares -> 1 / root of mean square
  T* sums;
  T share, epsilon;
  VENEER_HD void operator()(index_t r) const { sums[r] = T(1) / std::sqrt(sums[r] * share + epsilon); }
};

template <Real T>
struct NormBody {
  T* y;
  const T* x;
  const T* w;
  const T* inverse;
  index_t columns;
  T offset;
  VENEER_HD void operator()(index_t r) const {
    const T s = inverse[r];
    for (index_t c = 0; c < columns; ++c) y[r * columns + c] = (offset + w[c]) * (x[r * columns + c] * s);
  }
};

template <Real T>
struct NormDotLoad {
  const T* dy;
  const T* x;
  const T* w;
  index_t columns;
  T offset;
  VENEER_HD T operator()(index_t r, index_t c) const {
    return (offset + w[c]) * dy[r * columns + c] * x[r * columns + c];
  }
};

template <Real T>
struct NormPullbackBody {
  T* dx;
  const T* dy;
  const T* x;
  const T* w;
  const T* inverse;
  const T* dot;
  index_t columns;
  T offset;
  VENEER_HD void operator()(index_t r) const {
    const T s = inverse[r];
    const T pull = s * s * s * dot[r] / static_cast<T>(columns);
    for (index_t c = 0; c < columns; ++c) {
      const index_t i = r * columns + c;
      dx[i] = s * ((offset + w[c]) * dy[i]) - x[i] * pull;
    }
  }
};

template <Real T>
struct NormGainBody {
  T* out;
  const T* dy;
  const T* x;
  const T* inverse;
  index_t columns;
  VENEER_HD void operator()(index_t r) const {
    for (index_t c = 0; c < columns; ++c) out[r * columns + c] = dy[r * columns + c] * x[r * columns + c] * inverse[r];
  }
};

/// One norm per group of w.extent(0) consecutive features.
struct RmsNorm {
  double epsilon = 1e-6;
  double offset = 0.0;

  static index_t groups(const auto& x, index_t columns) { return columns == 0 ? 0 : x.count() / columns; }

  template <TensorLike X>
  auto forward(const X& x, const auto& w) const {
    using T = typename X::scalar;
    const auto dense = decode(w);
    const index_t columns = w.extent(0), rows = groups(x, columns);
    Tensor<T, Shape<dyn>, typename X::backend> inverse(Shape<dyn>(rows), x.device());
    x.device().reduce_rows(Sum<T>{}, rows, columns, SquareLoad<T>{x.data(), columns}, inverse.data());
    x.device().for_each(rows, RootBody<T>{inverse.data(), T(1) / static_cast<T>(columns), static_cast<T>(epsilon)});
    X y(x.shape(), x.device());
    x.device().for_each(
        rows, NormBody<T>{y.data(), x.data(), dense.data(), inverse.data(), columns, static_cast<T>(offset)}, columns);
    return Forward{y, inverse};
  }

  template <TensorLike X>
  auto pullback(Wrt<0>, const auto& dy, const auto& inverse, const X& x, const auto& w) const {
    using T = typename X::scalar;
    const auto dense = decode(w);
    const index_t columns = w.extent(0), rows = groups(x, columns);
    Tensor<T, Shape<dyn>, typename X::backend> dot(Shape<dyn>(rows), x.device());
    x.device().reduce_rows(Sum<T>{}, rows, columns,
                           NormDotLoad<T>{dy.data(), x.data(), dense.data(), columns, static_cast<T>(offset)},
                           dot.data());
    X dx(x.shape(), x.device());
    x.device().for_each(rows,
                        NormPullbackBody<T>{dx.data(), dy.data(), x.data(), dense.data(), inverse.data(), dot.data(),
                                            columns, static_cast<T>(offset)},
                        2 * columns);
    return dx;
  }

  template <TensorLike X>
  auto pullback(Wrt<1>, const auto& dy, const auto& inverse, const X& x, const auto& w) const {
    using T = typename X::scalar;
    const index_t columns = w.extent(0), rows = groups(x, columns);
    Matrix<T, typename X::backend> terms(Shape<dyn, dyn>(rows, columns), x.device());
    x.device().for_each(rows, NormGainBody<T>{terms.data(), dy.data(), x.data(), inverse.data(), columns}, columns);
    return column_sums(terms);
  }

  static constexpr Reads reads(const Wanted<2>& wanted) {
    return Reads::result() | Reads::operand(0) | Reads::operand(1).when(wanted[0]);
  }
};

}  // namespace ops

/// (offset + w) * x / sqrt(mean(x^2) + epsilon), row by row.    x: (tokens, features)   w: (features), 16-bit storage
/// widens
/// \throws ShapeError when the extents differ
template <ValueLike X, ValueLike W>
auto rms_norm(const X& x, const W& w, double epsilon, double offset = 0.0) {
  static_assert(X::shape_type::rank == 2 && W::shape_type::rank == 1,
                "veneer::rms_norm(x, w): x must be a matrix and w a vector");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename W::shape_type, 0>>,
                "veneer::rms_norm(x, w): the last extent of x must equal the extent of w");
  ops::expect_matching("rms_norm(x, w)", "the last extent of x must equal the extent of w", x, w, 1, 0);
  return apply(ops::RmsNorm{epsilon, offset}, x, w);
}

/// The same over each group of w.extent(0) consecutive features.    x: (tokens, groups * features)   w: (features)
/// \throws ShapeError when the extent of w does not divide the last extent of x
template <ValueLike X, ValueLike W>
auto grouped_rms_norm(const X& x, const W& w, double epsilon, double offset = 0.0) {
  static_assert(X::shape_type::rank == 2 && W::shape_type::rank == 1,
                "veneer::grouped_rms_norm(x, w): x must be a matrix and w a vector");
  if (w.extent(0) == 0 || x.extent(1) % w.extent(0) != 0) {
    throw ShapeError("veneer::grouped_rms_norm(x, w): the extent of w must divide the last extent of x; they are " +
                     std::to_string(w.extent(0)) + " and " + std::to_string(x.extent(1)));
  }
  return apply(ops::RmsNorm{epsilon, offset}, x, w);
}

}  // namespace veneer
