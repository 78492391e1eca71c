// SPDX-License-Identifier: Apache-2.0
/// \file put.hpp
/// Replaces rows or columns of a matrix by index: the inverse of gather.
///
///   put_rows(x, rows, at)[at[i], c]       = rows[i, c]      all other rows are those of x
///   put_columns(x, columns, at)[r, at[i]] = columns[r, i]   all other columns are those of x
///   x, result: (n, m)   rows: (count, m)   columns: (n, count)   at: (count) of int32, each at most once
/// The gradient of x is that of the result with zeros in the replaced entries; that of `rows` and `columns` is
/// gathered from them.
#pragma once

#include "veneer/ops/gather.hpp"

namespace veneer {

namespace ops {

/// A kernel that computes y[at[r], c] = f(r, c).
template <Stored T, class F>
struct PutRowsBody {
  T* y;
  F f;
  const std::int32_t* at;
  index_t columns;
  VENEER_HD void operator()(index_t r, index_t c) const {
    y[static_cast<index_t>(at[r]) * columns + c] = static_cast<T>(f(r, c));
  }
};

/// Replaces rows in place: y[at[r], c] = f(r, c) for every r in `at`.
template <TensorLike Y, class F>
void store_rows(Y& y, const F& f, const auto& at) {
  const index_t columns = y.extent(1);
  y.device().for_each(at.extent(0), columns, PutRowsBody<typename Y::scalar, F>{y.data(), f, at.data(), columns});
}

/// A kernel that computes y[r, at[c]] = f(r, c).
template <Stored T, class F>
struct PutColumnsBody {
  T* y;
  F f;
  const std::int32_t* at;
  index_t columns;
  VENEER_HD void operator()(index_t r, index_t c) const {
    y[r * columns + static_cast<index_t>(at[c])] = static_cast<T>(f(r, c));
  }
};

template <Real T>
struct Zero {
  VENEER_HD T operator()(index_t, index_t) const { return T(0); }
};

/// x[r, at[c]].
template <Stored T>
struct ColumnsAt {
  const T* x;
  const std::int32_t* at;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[r * columns + static_cast<index_t>(at[c])]; }
};

struct PutRows {
  template <TensorLike X>
  auto forward(const X& x, const auto& rows, const auto& at) const {
    return with_rows(x, RowsLoad<typename X::scalar>{rows.data(), x.extent(1)}, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return with_rows(dy, Zero<compute_t<typename Dy::scalar>>{}, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<1>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return GatherRows<typename Dy::scalar>{}.forward(dy, at);
  }
  static constexpr Reads reads(const RequiresGrad<3>&) { return Reads::operand(2); }

 private:
  template <TensorLike X, class F>
  static auto with_rows(const X& x, const F& f, const auto& at) {
    auto y = copy(x);
    store_rows(y, f, at);
    return y;
  }
};

struct PutColumns {
  template <TensorLike X>
  auto forward(const X& x, const auto& columns, const auto& at) const {
    return with_columns(x, RowsLoad<typename X::scalar>{columns.data(), at.extent(0)}, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return with_columns(dy, Zero<compute_t<typename Dy::scalar>>{}, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<1>, const Dy& dy, const auto&, const auto&, const auto& columns, const auto& at) const {
    using T = typename Dy::scalar;
    const auto shape = columns.shape();
    Tensor<T, std::remove_cvref_t<decltype(shape)>, typename Dy::backend> picked(shape, dy.device());
    map_rows(picked, ColumnsAt<T>{dy.data(), at.data(), dy.extent(1)});
    return picked;
  }
  static constexpr Reads reads(const RequiresGrad<3>&) { return Reads::operand(2); }

 private:
  template <TensorLike X, class F>
  static auto with_columns(const X& x, const F& f, const auto& at) {
    auto y = copy(x);
    y.device().for_each(x.extent(0), at.extent(0),
                        PutColumnsBody<typename X::scalar, F>{y.data(), f, at.data(), x.extent(1)});
    return y;
  }
};

inline void expect_put(const char* call, index_t given, index_t rows, index_t other, index_t along) {
  if (given == rows && other == along) return;
  throw ShapeError(std::string("veneer::") + call + ": the replacement has " + std::to_string(rows) + " parts of " +
                   std::to_string(other) + " values; " + std::to_string(given) + " numbers and parts of " +
                   std::to_string(along) + " values were expected");
}

}  // namespace ops

/// Returns x with rows `at` replaced.    x: (n, m)   rows: (count, m)   at: (count), distinct, in [0, n), not checked
/// \throws ShapeError when the extents do not fit
template <ValueLike X, ValueLike R, ValueLike I>
auto put_rows(const X& x, const R& rows, const I& at) {
  ops::expect_ids("put_rows", x, at);
  ops::expect_put("put_rows", at.extent(0), rows.extent(0), rows.extent(1), x.extent(1));
  return apply(ops::PutRows{}, x, rows, at);
}

/// Returns x with columns `at` replaced.
///   x: (n, m)   columns: (n, count)   at: (count), distinct, in [0, m), not checked
/// \throws ShapeError when the extents do not fit
template <ValueLike X, ValueLike C, ValueLike I>
auto put_columns(const X& x, const C& columns, const I& at) {
  ops::expect_ids("put_columns", x, at);
  ops::expect_put("put_columns", at.extent(0), columns.extent(1), columns.extent(0), x.extent(0));
  return apply(ops::PutColumns{}, x, columns, at);
}

}  // namespace veneer
