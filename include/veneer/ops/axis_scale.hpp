// SPDX-License-Identifier: Apache-2.0
/// \file axis_scale.hpp
/// Column scaling and row scaling of a matrix.
///
///   scale_columns(x, g)[r, c]      = x[r, c] g[c]      x: (rows, columns)   g: columns values
///   scale_rows(x, g)[r, c] = x[r, c] g[r]      x: (rows, columns)   g: rows values
/// g may have any shape with this number of values: (n), (n, 1), (1, n); a vector x is a row. g may be float next to a
/// 16-bit x, and its gradient is summed in compute_t. DoRA, IA3, VeRA and AdaLoRA use these ops.
#pragma once

#include <string>
#include <tuple>

#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

/// x[r, c] * g[c], or with ByRow x[r, c] * g[r].
template <Stored T, Stored G, bool ByRow>
struct AxisScaleValue {
  const T* x;
  const G* g;
  index_t columns;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    return x[r * columns + c] * static_cast<compute_t<T>>(g[ByRow ? r : c]);
  }
};

template <bool ByRow>
struct AxisScale {
  template <TensorLike X, TensorLike G>
  X forward(const X& x, const G& g) const {
    using T = typename X::scalar;
    X y(x.shape(), x.device());
    const index_t columns = x.extent(-1), rows = X::rank == 1 ? 1 : x.extent(0);
    using Value = AxisScaleValue<T, typename G::scalar, ByRow>;
    y.device().for_each(rows, columns, MapRowsBody<T, Value>{y.data(), {x.data(), g.data(), columns}, columns});
    return y;
  }

  template <TensorLike Dy, TensorLike G>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const G& g) const {
    return forward(dy, g);
  }

  template <TensorLike Dy, TensorLike X, TensorLike G>
  auto pullback(Wrt<1>, const Dy& dy, const auto&, const X& x, const G& g) const {
    using T = typename Dy::scalar;
    using C = compute_t<T>;
    using S = typename G::shape_type;
    const index_t columns = dy.extent(-1), rows = Dy::rank == 1 ? 1 : dy.extent(0);
    const ProductLoad<T> product{dy.data(), x.data(), columns};
    if constexpr (ByRow) {
      Tensor<C, S, typename G::backend> dg(g.shape(), g.device());
      dy.device().reduce_rows(Sum<C>{}, rows, columns, product, dg.data());
      return dg;
    } else {
      return column_sums<C>(g.shape(), g.device(), rows, product);
    }
  }

  static constexpr Reads reads(const RequiresGrad<2>& wanted) {
    return Reads::operand(1).when(wanted[0]) | Reads::operand(0).when(wanted[1]);
  }
};

template <ValueLike X, ValueLike G>
void expect_axis_scale(const char* call, const X& x, const G& g, int axis) {
  static_assert(X::shape_type::rank == 1 || X::shape_type::rank == 2,
                "veneer::scale_columns(x, g): x must be a matrix or a row");
  static_assert(std::same_as<compute_t<typename X::scalar>, compute_t<typename G::scalar>>,
                "veneer::scale_columns(x, g): x and g must be computed in the same type");
  if (x.extent(axis) != g.shape().count()) {
    throw ShapeError(std::string("veneer::") + call + ": g must hold one value for each " +
                     (axis == 0 ? "row" : "column") + " of x; they are " + to_string(g.shape()) + " and " +
                     to_string(x.shape()));
  }
}

}  // namespace ops

/// Returns x with column c multiplied by g[c].    x: (rows, columns)   g: columns values
/// \throws ShapeError when g has another number of values
template <ValueLike X, ValueLike G>
auto scale_columns(const X& x, const G& g) {
  ops::expect_axis_scale("scale_columns(x, g)", x, g, -1);
  return apply(ops::AxisScale<false>{}, x, g);
}

/// Returns x with row r multiplied by g[r].    x: (rows, columns)   g: rows values
/// \throws ShapeError when g has another number of values
template <ValueLike X, ValueLike G>
auto scale_rows(const X& x, const G& g) {
  static_assert(X::shape_type::rank == 2, "veneer::scale_rows(x, g): x must be a matrix");
  ops::expect_axis_scale("scale_rows(x, g)", x, g, 0);
  return apply(ops::AxisScale<true>{}, x, g);
}

}  // namespace veneer
