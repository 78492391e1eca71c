// SPDX-License-Identifier: Apache-2.0
/// \file softmax.hpp
/// softmax(x): y[r, c] = e^(x[r, c] - m) / sum over c of e^(x[r, c] - m), where m is the maximum of the row.
///
///   x, y: (rows, columns)      dx = y * (dy - sum over c of dy y)
/// Maxima and sums are in compute_t of x.
#pragma once

#include <utility>

#include "veneer/autograd/apply.hpp"
#include "veneer/core/math.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

namespace ops {

/// e^(x[r, c] - shift[r]).
template <Stored T>
struct ExponentialLoad {
  const T* x;
  const compute_t<T>* shift;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return exponential(x[r * columns + c] - shift[r]); }
};

/// e^(x[r, c] - shift[r]) * factor[r].
template <Stored T>
struct SoftmaxValue {
  ExponentialLoad<T> power;
  const compute_t<T>* factor;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return power(r, c) * factor[r]; }
};

/// y[r, c] * (dy[r, c] - dot[r]).
template <Stored T>
struct SoftmaxSlope {
  const T* dy;
  const T* y;
  const compute_t<T>* dot;
  index_t columns;
  VENEER_HD auto operator()(index_t r, index_t c) const { return y[r * columns + c] * (dy[r * columns + c] - dot[r]); }
};

/// Returns the maximum and the sum of exponentials of every row, in the compute type.
template <TensorLike X>
auto row_statistics(const X& x) {
  using T = typename X::scalar;
  using C = compute_t<T>;
  const index_t rows = x.extent(0), columns = x.extent(1);
  Vector<C, typename X::backend> maximum(Shape<dyn>(rows), x.device()), sum(Shape<dyn>(rows), x.device());
  x.device().reduce_rows(Maximum<C>{}, rows, columns, RowsLoad<T>{x.data(), columns}, maximum.data());
  x.device().reduce_rows(Sum<C>{}, rows, columns, ExponentialLoad<T>{x.data(), maximum.data(), columns}, sum.data());
  return std::pair{maximum, sum};
}

struct Softmax {
  template <TensorLike X>
  X forward(const X& x) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    auto [maximum, sum] = row_statistics(x);
    map(sum, UnaryValue<Reciprocal<C>, C>{{}, sum.data()});
    X y(x.shape(), x.device());
    map_rows(y, SoftmaxValue<T>{{x.data(), maximum.data(), x.extent(1)}, sum.data()}, 4);
    return y;
  }
  template <TensorLike Dy>
  Dy pullback(Wrt<0>, const Dy& dy, const auto& y, const auto&) const {
    using T = typename Dy::scalar;
    using C = compute_t<T>;
    const index_t rows = y.extent(0), columns = y.extent(1);
    Vector<C, typename Dy::backend> dot(Shape<dyn>(rows), dy.device());
    dy.device().reduce_rows(Sum<C>{}, rows, columns, ProductLoad<T>{dy.data(), y.data(), columns}, dot.data());
    Dy dx(dy.shape(), dy.device());
    map_rows(dx, SoftmaxSlope<T>{dy.data(), y.data(), dot.data(), columns}, 2);
    return dx;
  }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::result(); }
};

}  // namespace ops

/// Returns the softmax of every row: positive values with sum 1.    x: (rows, columns)
template <ValueLike X>
auto softmax(const X& x) {
  static_assert(X::shape_type::rank == 2, "veneer::softmax(x): x must be a matrix; each row is normalised");
  return apply(ops::Softmax{}, x);
}

}  // namespace veneer
