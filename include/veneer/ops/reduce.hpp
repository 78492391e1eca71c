// SPDX-License-Identifier: Apache-2.0
/// \file reduce.hpp
/// Losses of plain vectors: inner(x, y) = sum of x * y, and mean_squared_error(x, y) = mean of (x - y)^2.
///
///   x, y: one shape   result: one value, summed in double
#pragma once

#include <string>

#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct InnerLoad {
  const T* x;
  const T* y;
  VENEER_HD double operator()(index_t, index_t i) const {
    return static_cast<double>(x[i]) * static_cast<double>(y[i]);
  }
};

template <Real T>
struct SquareErrorLoad {
  const T* x;
  const T* y;
  VENEER_HD double operator()(index_t, index_t i) const {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    return difference * difference;
  }
};

template <Real T>
struct StoreBody {
  T* y;
  const double* x;
  double factor;
  VENEER_HD void operator()(index_t i) const { y[i] = static_cast<T>(x[i] * factor); }
};

template <Real T>
struct SeededScaleBody {
  T* dx;
  const T* x;
  const T* dy;  // one value
  VENEER_HD void operator()(index_t i) const { dx[i] = dy[0] * x[i]; }
};

template <Real T>
struct SquareErrorPullbackBody {
  T* dx;
  const T* x;
  const T* y;
  const T* dz;  // one value
  T factor;
  VENEER_HD void operator()(index_t i) const { dx[i] = dz[0] * factor * (x[i] - y[i]); }
};

template <TensorLike X, class Load>
auto sum_all(const X& x, const Load& load, double factor) {
  using T = typename X::scalar;
  using B = typename X::backend;
  Tensor<double, Shape<1>, B> sum(Shape<1>{}, x.device());
  x.device().reduce_rows(Sum<double>{}, 1, x.count(), load, sum.data());
  Tensor<T, Shape<1>, B> out(Shape<1>{}, x.device());
  x.device().for_each(1, StoreBody<T>{out.data(), sum.data(), factor});
  return out;
}

struct Inner {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    return sum_all(x, InnerLoad<typename X::scalar>{x.data(), y.data()}, 1.0);
  }
  auto pullback(Wrt<0>, const auto& dz, const auto&, const auto&, const auto& y) const { return seeded(dz, y); }
  auto pullback(Wrt<1>, const auto& dz, const auto&, const auto& x, const auto&) const { return seeded(dz, x); }
  static constexpr Reads reads(const Wanted<2>& wanted) {
    return Reads::operand(1).when(wanted[0]) | Reads::operand(0).when(wanted[1]);
  }

 private:
  template <TensorLike X>
  static X seeded(const auto& dz, const X& x) {
    X dx(x.shape(), x.device());
    dx.device().for_each(dx.count(), SeededScaleBody<typename X::scalar>{dx.data(), x.data(), dz.data()});
    return dx;
  }
};

struct MeanSquaredError {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    const double share = x.count() == 0 ? 0.0 : 1.0 / static_cast<double>(x.count());
    return sum_all(x, SquareErrorLoad<typename X::scalar>{x.data(), y.data()}, share);
  }
  auto pullback(Wrt<0>, const auto& dz, const auto&, const auto& x, const auto& y) const { return slope(dz, x, y); }
  auto pullback(Wrt<1>, const auto& dz, const auto&, const auto& x, const auto& y) const { return slope(dz, y, x); }
  static constexpr Reads reads(const Wanted<2>&) { return Reads::operand(0) | Reads::operand(1); }

 private:
  template <TensorLike X>
  static X slope(const auto& dz, const X& x, const auto& y) {
    using T = typename X::scalar;
    X dx(x.shape(), x.device());
    const T factor = static_cast<T>(x.count() == 0 ? 0.0 : 2.0 / static_cast<double>(x.count()));
    dx.device().for_each(dx.count(), SquareErrorPullbackBody<T>{dx.data(), x.data(), y.data(), dz.data(), factor});
    return dx;
  }
};

}  // namespace ops

/// The sum of x * y over all elements.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto inner(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::inner(x, y): x and y must have the same shape");
  ops::expect_same_shape("inner", x, y);
  return apply(ops::Inner{}, x, y);
}

/// The mean of (x - y)^2 over all elements.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto mean_squared_error(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::mean_squared_error(x, y): x and y must have the same shape");
  ops::expect_same_shape("mean_squared_error", x, y);
  return apply(ops::MeanSquaredError{}, x, y);
}

}  // namespace veneer
