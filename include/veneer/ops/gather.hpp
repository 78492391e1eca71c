// SPDX-License-Identifier: Apache-2.0
/// \file gather.hpp
/// Gathers rows or columns of a matrix by index.
///
///   gather_rows(x, ids)[i, c]    = x[ids[i], c]      x: (rows, columns)   ids: (count)   result: (count, columns)
///   gather_columns(x, ids)[i, r] = x[r, ids[i]]      x: (rows, columns)   ids: (count)   result: (count, rows)
///   column_range(x, begin, end)[r, c] = x[r, begin + c]                   result: (rows, end - begin)
/// embedding(ids, table) is gather_rows, widened. The pullback sums the gradients of a row in compute_t. Each thread
/// has its own columns and adds in the order of the ids, so there are no races and always the same bits. An id may be
/// given as ~id: row or column id is read, but receives no gradient.
#pragma once

#include <string>
#include <type_traits>

#include "veneer/ops/linear.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

namespace ops {

/// Returns the row or column that an id reads.
VENEER_HD inline index_t place_of(std::int32_t id) { return static_cast<index_t>(id < 0 ? ~id : id); }

/// A kernel that replaces an id by its complement, for which gather reads the same row but adds no gradient.
struct ComplementBody {
  std::int32_t* ids;
  std::int32_t id;
  VENEER_HD void operator()(index_t i) const {
    if (ids[i] == id) ids[i] = ~id;
  }
};

/// x[ids[r], c].
template <Stored T>
struct PickedRows {
  const T* x;
  const std::int32_t* ids;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[place_of(ids[r]) * columns + c]; }
};

/// A kernel that adds the gradients of equal ids, in the order of the ids. Each strip of columns has one thread, so
/// there are no races.
template <Stored T>
struct ScatterRowsBody {
  static constexpr index_t width = 16;
  compute_t<T>* dx;
  const T* dy;
  const std::int32_t* ids;
  index_t count, columns;
  VENEER_HD void operator()(index_t strip) const {
    const index_t begin = strip * width, end = begin + width < columns ? begin + width : columns;
    for (index_t i = 0; i < count; ++i) {
      if (ids[i] < 0) continue;
      compute_t<T>* row = dx + static_cast<index_t>(ids[i]) * columns;
      for (index_t c = begin; c < end; ++c) row[c] += dy[i * columns + c];
    }
  }
};

/// The op of gather_rows.
/// \tparam To  storage type of the result
template <Stored To>
struct GatherRows {
  template <TensorLike X, TensorLike I>
  auto forward(const X& x, const I& ids) const {
    using S = Shape<extent_of<typename I::shape_type, 0>, extent_of<typename X::shape_type, 1>>;
    Tensor<To, S, typename X::backend> y(shape_of<S>(ids.extent(0), x.extent(1)), x.device());
    map_rows(y, PickedRows<typename X::scalar>{x.data(), ids.data(), x.extent(1)});
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x, const auto& ids) const {
    using T = typename Dy::scalar;
    auto dx = zeros<compute_t<T>>(x.shape(), x.device());
    const index_t columns = x.extent(1), width = ScatterRowsBody<T>::width;
    dx.device().for_each(ceil_div(columns, width),
                         ScatterRowsBody<T>{dx.data(), dy.data(), ids.data(), ids.extent(0), columns},
                         width * ids.extent(0));
    return dx;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::operand(1); }
};

/// x[c, ids[r]].
template <Stored T>
struct PickedColumns {
  const T* x;
  const std::int32_t* ids;
  index_t columns;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const { return x[c * columns + place_of(ids[r])]; }
};

template <Stored T>
struct ScatterColumnsBody {
  compute_t<T>* dx;
  const T* dy;
  const std::int32_t* ids;
  index_t count, rows, columns;
  VENEER_HD void operator()(index_t r) const {
    for (index_t i = 0; i < count; ++i) {
      if (ids[i] >= 0) dx[r * columns + static_cast<index_t>(ids[i])] += dy[i * rows + r];
    }
  }
};

struct GatherColumns {
  template <TensorLike X, TensorLike I>
  auto forward(const X& x, const I& ids) const {
    using T = typename X::scalar;
    using S = Shape<extent_of<typename I::shape_type, 0>, extent_of<typename X::shape_type, 0>>;
    Tensor<T, S, typename X::backend> y(shape_of<S>(ids.extent(0), x.extent(0)), x.device());
    map_rows(y, PickedColumns<T>{x.data(), ids.data(), x.extent(1)});
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x, const auto& ids) const {
    using T = typename Dy::scalar;
    auto dx = zeros<compute_t<T>>(x.shape(), x.device());
    dx.device().for_each(
        x.extent(0), ScatterColumnsBody<T>{dx.data(), dy.data(), ids.data(), ids.extent(0), x.extent(0), x.extent(1)},
        ids.extent(0));
    return dx;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::operand(1); }
};

struct ColumnRange {
  index_t begin = 0, end = 0;

  template <TensorLike X>
  auto forward(const X& x) const {
    using T = typename X::scalar;
    using S = Shape<extent_of<typename X::shape_type, 0>, dyn>;
    Tensor<T, S, typename X::backend> y(shape_of<S>(x.extent(0), end - begin), x.device());
    map_rows(y, RowsLoad<T>{x.data() + begin, x.extent(1)});
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x) const {
    using T = typename Dy::scalar;
    auto dx = zeros<T>(x.shape(), x.device());
    const index_t width = end - begin;
    dx.device().for_each(dy.extent(0), width,
                         MapRowsBody<T, RowsLoad<T>>{dx.data() + begin, {dy.data(), width}, x.extent(1)});
    return dx;
  }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

template <ValueLike X, ValueLike I>
void expect_ids(const char* call, const X&, const I&) {
  static_assert(std::same_as<typename I::scalar, std::int32_t> && I::shape_type::rank == 1 && X::shape_type::rank == 2,
                "veneer::gather: expected a matrix and a vector of int32 indices");
  (void)call;
}

}  // namespace ops

/// Returns the rows `ids` of x.    x: (rows, columns)   ids: (count), each in [0, rows), not checked here
/// \tparam To  storage type of the result; by default that of x
template <class To = void, ValueLike X, ValueLike I>
auto gather_rows(const X& x, const I& ids) {
  ops::expect_ids("gather_rows", x, ids);
  using T = typename X::scalar;
  return apply(ops::GatherRows<std::conditional_t<std::is_void_v<To>, T, To>>{}, x, ids);
}

/// Returns the columns `ids` of x, as rows.    x: (rows, columns)   ids: (count), each in [0, columns), not checked
template <ValueLike X, ValueLike I>
auto gather_columns(const X& x, const I& ids) {
  ops::expect_ids("gather_columns", x, ids);
  return apply(ops::GatherColumns{}, x, ids);
}

/// Returns consecutive columns of x, a part of a fused projection.    x: (rows, columns)   result: (rows, end - begin)
/// \throws ShapeError unless 0 <= begin <= end <= columns
template <ValueLike X>
auto column_range(const X& x, index_t begin, index_t end) {
  static_assert(X::shape_type::rank == 2, "veneer::column_range(x, begin, end): x must be a matrix");
  if (begin < 0 || begin > end || end > x.extent(1)) {
    throw ShapeError("veneer::column_range(x, begin, end): [" + std::to_string(begin) + ", " + std::to_string(end) +
                     ") is outside of " + std::to_string(x.extent(1)) + " columns");
  }
  return apply(ops::ColumnRange{begin, end}, x);
}

/// Returns the embeddings of tokens; 16-bit storage is widened.
///   ids: (tokens), each in [0, vocabulary)   table: (vocabulary, features)   result: (tokens, features)
template <ValueLike I, Weight W>
auto embedding(const I& ids, const W& table) {
  if constexpr (ValueLike<W>) {
    return gather_rows<compute_t<typename W::scalar>>(table, ids);
  } else {
    return gather_rows(table, ids);  // overload of the weight format
  }
}

}  // namespace veneer
