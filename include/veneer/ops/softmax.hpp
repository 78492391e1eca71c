// SPDX-License-Identifier: Apache-2.0
/// \file softmax.hpp
/// softmax(x): y[r, c] = e^(x[r, c] - m) / sum over c of the same, m the largest of the row.
///
///   x, y: (rows, columns)      dx = y * (dy - sum over c of dy y)
#pragma once

#include "veneer/autograd/apply.hpp"
#include "veneer/core/math.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct PlainLoad {
  const T* x;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c]; }
};

template <Real T>
struct ExponentialLoad {
  const T* x;
  const T* maximum;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return exponential(x[r * columns + c] - maximum[r]); }
};

template <Real T>
struct SoftmaxBody {
  T* y;
  const T* x;
  const T* maximum;
  const T* sum;
  index_t columns;
  VENEER_HD void operator()(index_t r) const {
    const T share = T(1) / sum[r], top = maximum[r];
    for (index_t c = 0; c < columns; ++c) y[r * columns + c] = exponential(x[r * columns + c] - top) * share;
  }
};

template <Real T>
struct SoftmaxPullbackBody {
  T* dx;
  const T* dy;
  const T* y;
  const T* dot;
  index_t columns;
  VENEER_HD void operator()(index_t r) const {
    for (index_t c = 0; c < columns; ++c) dx[r * columns + c] = y[r * columns + c] * (dy[r * columns + c] - dot[r]);
  }
};

/// Largest value and sum of exponentials of every row.
template <TensorLike X>
auto row_statistics(const X& x) {
  using T = typename X::scalar;
  const index_t rows = x.extent(0), columns = x.extent(1);
  Vector<T, typename X::backend> maximum(Shape<dyn>(rows), x.device()), sum(Shape<dyn>(rows), x.device());
  x.device().reduce_rows(Maximum<T>{}, rows, columns, PlainLoad<T>{x.data(), columns}, maximum.data());
  x.device().reduce_rows(Sum<T>{}, rows, columns, ExponentialLoad<T>{x.data(), maximum.data(), columns}, sum.data());
  return std::pair{maximum, sum};
}

struct Softmax {
  template <TensorLike X>
  X forward(const X& x) const {
    using T = typename X::scalar;
    const auto statistics = row_statistics(x);
    X y(x.shape(), x.device());
    y.device().for_each(
        x.extent(0), SoftmaxBody<T>{y.data(), x.data(), statistics.first.data(), statistics.second.data(), x.extent(1)},
        4 * x.extent(1));
    return y;
  }
  template <TensorLike Dy>
  Dy pullback(Wrt<0>, const Dy& dy, const auto& y, const auto&) const {
    using T = typename Dy::scalar;
    const index_t rows = y.extent(0), columns = y.extent(1);
    Vector<T, typename Dy::backend> dot(Shape<dyn>(rows), dy.device());
    dy.device().reduce_rows(Sum<T>{}, rows, columns, ProductLoad<T>{dy.data(), y.data(), columns}, dot.data());
    Dy dx(dy.shape(), dy.device());
    dx.device().for_each(rows, SoftmaxPullbackBody<T>{dx.data(), dy.data(), y.data(), dot.data(), columns},
                         2 * columns);
    return dx;
  }
  static constexpr Reads reads(const Wanted<1>&) { return Reads::result(); }
};

}  // namespace ops

/// Every row becomes positive and sums to 1.    x: (rows, columns)
template <ValueLike X>
auto softmax(const X& x) {
  static_assert(X::shape_type::rank == 2, "veneer::softmax(x): x must be a matrix; each row is normalised");
  return apply(ops::Softmax{}, x);
}

}  // namespace veneer
