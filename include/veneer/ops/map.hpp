// SPDX-License-Identifier: Apache-2.0
/// \file map.hpp
/// map(y, f): y[i] = f(i), and map_rows(y, f): y[r, c] = f(r, c), for any storage type.
///
/// The storage type and the type of arithmetic differ: f reads stored values, computes in compute_t, and the map
/// rounds its result once, to nearest even. f is a named functor of pointers and numbers; functors f(r, c) are also
/// used with reduce_rows.
#pragma once

#include "veneer/core/math.hpp"
#include "veneer/tensor/tensor.hpp"

namespace veneer::ops {

/// y[i] = f(i).
template <Scalar T, class F>
struct MapBody {
  T* y;
  F f;
  VENEER_HD void operator()(index_t i) const { y[i] = static_cast<T>(f(i)); }
};

/// y[r, c] = f(r, c), for rows that are `stride` elements apart.
template <Scalar T, class F>
struct MapRowsBody {
  T* y;
  F f;
  index_t stride;
  VENEER_HD void operator()(index_t r, index_t c) const { y[r * stride + c] = static_cast<T>(f(r, c)); }
};

/// Computes y[i] = f(i) for every element.
/// \param cost  elementary steps of one f, a hint for dividing the work
template <TensorLike Y, class F>
void map(Y& y, const F& f, index_t cost = 1) {
  y.device().for_each(y.count(), MapBody<typename Y::scalar, F>{y.data(), f}, cost);
}

/// Computes y[r, c] = f(r, c) for every element.    y: (rows, columns)
template <TensorLike Y, class F>
void map_rows(Y& y, const F& f, index_t cost = 1) {
  y.device().for_each(y.extent(0), y.extent(1), MapRowsBody<typename Y::scalar, F>{y.data(), f, y.extent(1)}, cost);
}

/// f(x[i]) for a unary function with a member `value`.
template <class F, Stored T>
struct UnaryValue {
  F f;
  const T* x;
  VENEER_HD auto operator()(index_t i) const { return f.value(x[i]); }
};

/// f(x[i], y[i]) for a binary function.
template <class F, Stored T>
struct BinaryValue {
  F f;
  const T* x;
  const T* y;
  VENEER_HD auto operator()(index_t i) const { return f.value(x[i], y[i]); }
};

/// x[r, c], for rows that are `stride` elements apart.
template <Stored T>
struct RowsLoad {
  const T* x;
  index_t stride;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[r * stride + c]; }
};

/// x[r, c] * y[r, c], of two matrices of `columns` columns.
template <Stored T>
struct ProductLoad {
  const T* x;
  const T* y;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[r * columns + c] * y[r * columns + c]; }
};

/// 1 / x.
template <Real T>
struct Reciprocal {
  VENEER_HD T value(T x) const { return T(1) / x; }
};

}  // namespace veneer::ops
