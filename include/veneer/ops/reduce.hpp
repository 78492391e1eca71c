// SPDX-License-Identifier: Apache-2.0
/// \file reduce.hpp
/// Reductions to one value: dot(x, y) = sum of x * y, the dot product, and mean_squared_error(x, y) = mean of
/// (x - y)^2.
///
///   x, y: equal shapes   result: one value of compute_t, summed in double
#pragma once

#include <string>

#include "veneer/ops/pointwise.hpp"

namespace veneer {

namespace ops {

template <Stored T>
struct InnerLoad {
  const T* x;
  const T* y;
  VENEER_HD double operator()(index_t, index_t i) const {
    return static_cast<double>(x[i]) * static_cast<double>(y[i]);
  }
};

template <Stored T>
struct SquareErrorLoad {
  const T* x;
  const T* y;
  VENEER_HD double operator()(index_t, index_t i) const {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    return difference * difference;
  }
};

/// dy[0] * x[i].
template <Stored T>
struct SeededValue {
  const T* x;
  const compute_t<T>* dy;  // one value
  VENEER_HD auto operator()(index_t i) const { return dy[0] * x[i]; }
};

template <Stored T>
struct SquareErrorSlope {
  const T* x;
  const T* y;
  const compute_t<T>* dz;  // one value
  compute_t<T> factor;
  VENEER_HD auto operator()(index_t i) const { return dz[0] * factor * (x[i] - y[i]); }
};

/// Returns factor * the sum of load(0, i) over i in [0, count), summed in double.    result: one value of type T
template <Real T, Backend B, class Load>
Tensor<T, Shape<1>, B> sum_all(const B& device, index_t count, const Load& load, double factor) {
  Tensor<double, Shape<1>, B> sum(Shape<1>{}, device);
  device.reduce_rows(Sum<double>{}, 1, count, load, sum.data());
  Tensor<T, Shape<1>, B> out(Shape<1>{}, device);
  map(out, UnaryValue<Times<double>, double>{{factor}, sum.data()});
  return out;
}

struct Dot {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    using T = typename X::scalar;
    return sum_all<compute_t<T>>(x.device(), x.count(), InnerLoad<T>{x.data(), y.data()}, 1.0);
  }
  auto pullback(Wrt<0>, const auto& dz, const auto&, const auto&, const auto& y) const { return seeded(dz, y); }
  auto pullback(Wrt<1>, const auto& dz, const auto&, const auto& x, const auto&) const { return seeded(dz, x); }
  static constexpr Reads reads(const RequiresGrad<2>& wanted) {
    return Reads::operand(1).when(wanted[0]) | Reads::operand(0).when(wanted[1]);
  }

 private:
  template <TensorLike X>
  static X seeded(const auto& dz, const X& x) {
    X dx(x.shape(), x.device());
    map(dx, SeededValue<typename X::scalar>{x.data(), dz.data()});
    return dx;
  }
};

struct MeanSquaredError {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    const double share = x.count() == 0 ? 0.0 : 1.0 / static_cast<double>(x.count());
    using T = typename X::scalar;
    return sum_all<compute_t<T>>(x.device(), x.count(), SquareErrorLoad<T>{x.data(), y.data()}, share);
  }
  auto pullback(Wrt<0>, const auto& dz, const auto&, const auto& x, const auto& y) const { return slope(dz, x, y); }
  auto pullback(Wrt<1>, const auto& dz, const auto&, const auto& x, const auto& y) const { return slope(dz, y, x); }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::operand(0) | Reads::operand(1); }

 private:
  template <TensorLike X>
  static X slope(const auto& dz, const X& x, const auto& y) {
    using T = typename X::scalar;
    X dx(x.shape(), x.device());
    const double factor = x.count() == 0 ? 0.0 : 2.0 / static_cast<double>(x.count());
    map(dx, SquareErrorSlope<T>{x.data(), y.data(), dz.data(), static_cast<compute_t<T>>(factor)});
    return dx;
  }
};

}  // namespace ops

/// Returns the dot product: the sum of x * y over all elements.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto dot(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::dot(x, y): x and y must have the same shape");
  ops::expect_same_shape("inner", x, y);
  return apply(ops::Dot{}, x, y);
}

/// Returns the mean of (x - y)^2 over all elements.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto mean_squared_error(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::mean_squared_error(x, y): x and y must have the same shape");
  ops::expect_same_shape("mean_squared_error", x, y);
  return apply(ops::MeanSquaredError{}, x, y);
}

}  // namespace veneer
