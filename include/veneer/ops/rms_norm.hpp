// SPDX-License-Identifier: Apache-2.0
/// \file rms_norm.hpp
/// rms_norm(x, w, eps, offset): y[r, c] = (offset + w[c]) * x[r, c] / sqrt(mean over c of x[r, c]^2 + eps).
///
///   x: (tokens, features)   w: (features)   y: (tokens, features)   offset: 0, or 1 if a checkpoint has w - 1
/// grouped_rms_norm normalises consecutive groups of features, for example one per attention head.
///
/// Sums and inverse roots are in compute_t of x; w is read in its storage type, and its gradient is in compute_t. Zhang
/// and Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4; eps is inside the root.
/// With s = 1 / root and n features:   dx = s * (w dy) - x * s^3 / n * sum(w dy x)   dw[c] = sum over r of dy x s
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

/// x[r, c]^2.
template <Stored T>
struct SquareLoad {
  const T* x;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[r * columns + c] * x[r * columns + c]; }
};

/// 1 / root of the mean square, computed from a sum of squares.
template <Real T>
struct InverseRoot {
  T share, epsilon;
  VENEER_HD T value(T sum) const { return T(1) / std::sqrt(sum * share + epsilon); }
};

/// (offset + w[c]) * x[r, c] * s[r].
template <Stored T, Stored W>
struct NormValue {
  const T* x;
  const W* w;
  const compute_t<T>* inverse;
  index_t columns;
  compute_t<T> offset;
  VENEER_HD auto operator()(index_t r, index_t c) const { return (offset + w[c]) * (x[r * columns + c] * inverse[r]); }
};

template <Stored T, Stored W>
struct NormDotLoad {
  const T* dy;
  const T* x;
  const W* w;
  index_t columns;
  compute_t<T> offset;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    return (offset + w[c]) * dy[r * columns + c] * x[r * columns + c];
  }
};

/// s^3 / n * dot: the coefficient of x in the gradient of a row.
template <Real T>
struct NormPull {
  T columns;
  VENEER_HD T value(T dot, T s) const { return s * s * s * dot / columns; }
};

template <Stored T, Stored W>
struct NormSlopeValue {
  const T* dy;
  const T* x;
  const W* w;
  const compute_t<T>* inverse;
  const compute_t<T>* pull;
  index_t columns;
  compute_t<T> offset;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    const index_t i = r * columns + c;
    return inverse[r] * ((offset + w[c]) * dy[i]) - x[i] * pull[r];
  }
};

/// dy[r, c] * x[r, c] * s[r], whose column sums are the gradient of w.
template <Stored T>
struct NormWeightTerm {
  const T* dy;
  const T* x;
  const compute_t<T>* inverse;
  index_t columns;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    return dy[r * columns + c] * x[r * columns + c] * inverse[r];
  }
};

/// The op with one norm per group of w.extent(0) consecutive features.
struct RmsNorm {
  double epsilon = 1e-6;
  double offset = 0.0;

  /// Returns an uninitialised tensor with x's number of values, with one group per row.
  template <Scalar To, TensorLike X>
  static auto grouped(const X& x, index_t columns) {
    const index_t rows = columns == 0 ? 0 : x.count() / columns;
    return Matrix<To, typename X::backend>(Shape<dyn, dyn>(rows, columns), x.device());
  }

  template <TensorLike X>
  auto forward(const X& x, const auto& w) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    using W = typename std::remove_cvref_t<decltype(w)>::scalar;
    const index_t columns = w.extent(0);
    auto y = grouped<T>(x, columns);
    Vector<C, typename X::backend> inverse(Shape<dyn>(y.extent(0)), x.device());
    x.device().reduce_rows(Sum<C>{}, y.extent(0), columns, SquareLoad<T>{x.data(), columns}, inverse.data());
    const InverseRoot<C> root{C(1) / static_cast<C>(columns), static_cast<C>(epsilon)};
    map(inverse, UnaryValue<InverseRoot<C>, C>{root, inverse.data()});
    map_rows(y, NormValue<T, W>{x.data(), w.data(), inverse.data(), columns, static_cast<C>(offset)});
    return Forward{X(x.shape(), x.device(), y.share()), inverse};
  }

  template <TensorLike X>
  auto pullback(Wrt<0>, const auto& dy, const auto& inverse, const X& x, const auto& w) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    using W = typename std::remove_cvref_t<decltype(w)>::scalar;
    const index_t columns = w.extent(0);
    const C shift = static_cast<C>(offset);
    auto dx = grouped<T>(x, columns);
    Vector<C, typename X::backend> pull(Shape<dyn>(dx.extent(0)), x.device());
    x.device().reduce_rows(Sum<C>{}, dx.extent(0), columns,
                           NormDotLoad<T, W>{dy.data(), x.data(), w.data(), columns, shift}, pull.data());
    map(pull, BinaryValue<NormPull<C>, C>{{static_cast<C>(columns)}, pull.data(), inverse.data()});
    map_rows(dx, NormSlopeValue<T, W>{dy.data(), x.data(), w.data(), inverse.data(), pull.data(), columns, shift}, 2);
    return X(x.shape(), x.device(), dx.share());
  }

  template <TensorLike X>
  auto pullback(Wrt<1>, const auto& dy, const auto& inverse, const X& x, const auto& w) const {
    using T = typename X::scalar;
    const index_t columns = w.extent(0);
    return column_sums<compute_t<T>>(w.shape(), x.device(), x.count() / columns,
                                     NormWeightTerm<T>{dy.data(), x.data(), inverse.data(), columns});
  }

  static constexpr Reads reads(const RequiresGrad<2>& wanted) {
    return Reads::result() | Reads::operand(0) | Reads::operand(1).when(wanted[0]);
  }
};

}  // namespace ops

/// Returns (offset + w) * x / sqrt(mean(x^2) + epsilon), per row.    x: (tokens, features)   w: (features), of any type
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

/// Normalises each group of w.extent(0) consecutive features.    x: (tokens, groups * features)   w: (features)
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
