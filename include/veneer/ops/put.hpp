// SPDX-License-Identifier: Apache-2.0
/// \file put.hpp
/// Replacing rows or columns of a matrix by number: the inverse of gather.
///
///   put_rows(x, rows, at)[at[i], c]       = rows[i, c]      all other rows are those of x
///   put_columns(x, columns, at)[r, at[i]] = columns[r, i]   all other columns are those of x
///   x, result: (n, m)   rows: (count, m)   columns: (n, count)   at: (count) of int32, each at most once
/// The gradient of x is that of the result with zeros where something was put; that of what was put is picked out.
#pragma once

#include "veneer/ops/gather.hpp"

namespace veneer {

namespace ops {

/// Puts row i of `from`, or zeros, into row at[i] of `to`.
template <Real T>
struct PutRowsBody {
  T* to;
  const T* from;  // null: zeros
  const std::int32_t* at;
  index_t columns;
  VENEER_HD void operator()(index_t i) const {
    T* row = to + static_cast<index_t>(at[i]) * columns;
    for (index_t c = 0; c < columns; ++c) row[c] = from == nullptr ? T(0) : from[i * columns + c];
  }
};

/// Puts row r of `from`, or zeros, into the columns `at` of row r of `to`.
template <Real T>
struct PutColumnsBody {
  T* to;
  const T* from;  // null: zeros
  const std::int32_t* at;
  index_t count, columns;
  VENEER_HD void operator()(index_t r) const {
    for (index_t i = 0; i < count; ++i)
      to[r * columns + static_cast<index_t>(at[i])] = from == nullptr ? T(0) : from[r * count + i];
  }
};

template <Real T>
struct PickColumnsBody {
  T* to;
  const T* from;
  const std::int32_t* at;
  index_t count, columns;
  VENEER_HD void operator()(index_t r) const {
    for (index_t i = 0; i < count; ++i) to[r * count + i] = from[r * columns + static_cast<index_t>(at[i])];
  }
};

struct PutRows {
  template <TensorLike X>
  auto forward(const X& x, const auto& rows, const auto& at) const {
    return with_rows(x, rows.data(), at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return with_rows(dy, nullptr, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<1>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return GatherRows{}.forward(dy, at);
  }
  static constexpr Reads reads(const Wanted<3>&) { return Reads::operand(2); }

 private:
  template <TensorLike X>
  static auto with_rows(const X& x, const typename X::scalar* rows, const auto& at) {
    auto y = copy(x);
    y.device().for_each(at.extent(0), PutRowsBody<typename X::scalar>{y.data(), rows, at.data(), x.extent(1)},
                        x.extent(1));
    return y;
  }
};

struct PutColumns {
  template <TensorLike X>
  auto forward(const X& x, const auto& columns, const auto& at) const {
    return with_columns(x, columns.data(), at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const auto&, const auto& at) const {
    return with_columns(dy, nullptr, at);
  }
  template <TensorLike Dy>
  auto pullback(Wrt<1>, const Dy& dy, const auto&, const auto&, const auto& columns, const auto& at) const {
    using T = typename Dy::scalar;
    const auto shape = columns.shape();
    Tensor<T, std::remove_cvref_t<decltype(shape)>, typename Dy::backend> picked(shape, dy.device());
    const index_t count = at.extent(0);
    dy.device().for_each(dy.extent(0), PickColumnsBody<T>{picked.data(), dy.data(), at.data(), count, dy.extent(1)},
                         count);
    return picked;
  }
  static constexpr Reads reads(const Wanted<3>&) { return Reads::operand(2); }

 private:
  template <TensorLike X>
  static auto with_columns(const X& x, const typename X::scalar* columns, const auto& at) {
    auto y = copy(x);
    const index_t count = at.extent(0);
    y.device().for_each(x.extent(0),
                        PutColumnsBody<typename X::scalar>{y.data(), columns, at.data(), count, x.extent(1)}, count);
    return y;
  }
};

inline void expect_put(const char* call, index_t given, index_t rows, index_t other, index_t along) {
  if (given == rows && other == along) return;
  throw ShapeError(std::string("veneer::") + call + ": what is put has " + std::to_string(rows) + " parts of " +
                   std::to_string(other) + " values; " + std::to_string(given) + " numbers and parts of " +
                   std::to_string(along) + " values were expected");
}

}  // namespace ops

/// x with other rows by number.    x: (n, m)   rows: (count, m)   at: (count), distinct, in [0, n), not checked here
/// \throws ShapeError when the extents do not fit
template <ValueLike X, ValueLike R, ValueLike I>
auto put_rows(const X& x, const R& rows, const I& at) {
  ops::expect_ids("put_rows", x, at);
  ops::expect_put("put_rows", at.extent(0), rows.extent(0), rows.extent(1), x.extent(1));
  return apply(ops::PutRows{}, x, rows, at);
}

/// x with other columns by number.    x: (n, m)   columns: (n, count)   at: (count), distinct, in [0, m), not checked
/// here
/// \throws ShapeError when the extents do not fit
template <ValueLike X, ValueLike C, ValueLike I>
auto put_columns(const X& x, const C& columns, const I& at) {
  ops::expect_ids("put_columns", x, at);
  ops::expect_put("put_columns", at.extent(0), columns.extent(1), columns.extent(0), x.extent(0));
  return apply(ops::PutColumns{}, x, columns, at);
}

}  // namespace veneer
