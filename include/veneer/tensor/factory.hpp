// SPDX-License-Identifier: Apache-2.0
/// \file factory.hpp
/// Functions that create tensors: from host values, filled, random, converted.
///
/// Random tensors depend only on the stream and the element index: the same bits on every backend, with any
/// number of threads.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "veneer/core/random.hpp"
#include "veneer/tensor/tensor.hpp"

namespace veneer {

namespace ops {
template <Scalar T>
struct FillBody {
  T* y;
  T value;
  VENEER_HD void operator()(index_t i) const { y[i] = value; }
};

template <Scalar To, Scalar From>
struct ConvertBody {
  To* y;
  const From* x;
  VENEER_HD void operator()(index_t i) const {
    if constexpr (std::is_integral_v<From> || std::is_same_v<From, double> || std::is_same_v<To, double>) {
      y[i] = static_cast<To>(x[i]);
    } else {
      y[i] = static_cast<To>(static_cast<float>(x[i]));
    }
  }
};

template <Real T>
struct UniformBody {
  T* y;
  RandomStream source;
  T low, width;
  VENEER_HD void operator()(index_t i) const {
    // An explicit fma: whether a product and a sum are contracted depends on the compiler.
    y[i] = std::fma(width, static_cast<T>(uniform_at(source, static_cast<std::uint64_t>(i))), low);
  }
};

template <Real T>
struct NormalBody {
  T* y;
  RandomStream source;
  double stddev;
  VENEER_HD void operator()(index_t i) const {
    y[i] = static_cast<T>(stddev * normal_at(source, static_cast<std::uint64_t>(i)));
  }
};
}  // namespace ops

/// Returns a tensor with every element equal to `value`.
template <Scalar T, ShapeLike S, Backend B>
void fill(Tensor<T, S, B>& x, T value) {
  x.device().for_each(x.count(), ops::FillBody<T>{x.data(), value});
}

template <Scalar T, Backend B, ShapeLike S>
Tensor<T, S, B> full(S shape, T value, B device = {}) {
  Tensor<T, S, B> x(shape, std::move(device));
  fill(x, value);
  return x;
}

template <Scalar T, Backend B, ShapeLike S>
Tensor<T, S, B> zeros(S shape, B device = {}) {
  return full<T>(shape, T{}, std::move(device));
}

/// Copies `values`, in row-major order, to the device.
/// \throws ShapeError when their number differs from shape.count()
template <Scalar T, Backend B, ShapeLike S>
Tensor<T, S, B> from_host(S shape, const std::vector<T>& values, B device = {}) {
  if (static_cast<index_t>(values.size()) != shape.count()) {
    throw ShapeError("veneer::from_host(shape, values): " + to_string(shape) + " needs " +
                     std::to_string(shape.count()) + " values, there are " + std::to_string(values.size()));
  }
  Tensor<T, S, B> x(shape, std::move(device));
  x.device().copy_in(x.data(), values.data(), x.count());
  return x;
}

/// Returns independent values, uniform in [low, high).
template <Real T, Backend B, ShapeLike S>
Tensor<T, S, B> uniform(S shape, RandomStream source, T low, T high, B device = {}) {
  Tensor<T, S, B> x(shape, std::move(device));
  x.device().for_each(x.count(), ops::UniformBody<T>{x.data(), source, low, high - low}, 16);
  return x;
}

/// Returns independent normal values of mean 0.
template <Real T, Backend B, ShapeLike S>
Tensor<T, S, B> normal(S shape, RandomStream source, double stddev = 1.0, B device = {}) {
  Tensor<T, S, B> x(shape, std::move(device));
  x.device().for_each(x.count(), ops::NormalBody<T>{x.data(), source, stddev}, 32);
  return x;
}

/// Converts the values to another element type: exactly to a wider one, rounded to nearest even to a narrower one.
template <Scalar To, Scalar From, ShapeLike S, Backend B>
Tensor<To, S, B> convert(const Tensor<From, S, B>& x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else {
    Tensor<To, S, B> y(x.shape(), x.device());
    y.device().for_each(x.count(), ops::ConvertBody<To, From>{y.data(), x.data()});
    return y;
  }
}

/// Returns a copy of the values in new memory.
template <Scalar T, ShapeLike S, Backend B>
Tensor<T, S, B> copy(const Tensor<T, S, B>& x) {
  Tensor<T, S, B> y(x.shape(), x.device());
  y.device().for_each(x.count(), ops::ConvertBody<T, T>{y.data(), x.data()});
  return y;
}

}  // namespace veneer
