// SPDX-License-Identifier: Apache-2.0
/// \file gather.hpp
/// Picking rows or columns of a matrix by number.
///
///   gather_rows(x, ids)[i, c]    = x[ids[i], c]      x: (rows, columns)   ids: (count)   result: (count, columns)
///   gather_columns(x, ids)[i, r] = x[r, ids[i]]      x: (rows, columns)   ids: (count)   result: (count, rows)
///   column_range(x, begin, end)[r, c] = x[r, begin + c]                   result: (rows, end - begin)
/// embedding(ids, table) is gather_rows. The pullback adds up what fell on the same row; each worker owns some
/// columns and walks the ids in order, so there is no race and always the same bits. An id may be given as ~id: row or
/// column id is read, and receives no gradient.
#pragma once

#include <string>

#include "veneer/ops/linear.hpp"

namespace veneer {

namespace ops {

/// Which row or column an id reads.
VENEER_HD inline index_t place_of(std::int32_t id) { return static_cast<index_t>(id < 0 ? ~id : id); }

/// Turns one id into its complement, which gather reads alike and gives no gradient.
struct ComplementBody {
  std::int32_t* ids;
  std::int32_t id;
  VENEER_HD void operator()(index_t i) const {
    if (ids[i] == id) ids[i] = ~id;
  }
};

template <Real T, Stored U>
struct GatherRowsBody {
  T* y;
  const U* x;
  const std::int32_t* ids;
  index_t columns;
  VENEER_HD void operator()(index_t i) const {
    const U* row = x + place_of(ids[i]) * columns;
    for (index_t c = 0; c < columns; ++c) y[i * columns + c] = static_cast<T>(row[c]);
  }
};

template <Real T>
struct ScatterRowsBody {
  static constexpr index_t width = 16;
  T* dx;
  const T* dy;
  const std::int32_t* ids;
  index_t count, columns;
  VENEER_HD void operator()(index_t strip) const {
    const index_t begin = strip * width, end = begin + width < columns ? begin + width : columns;
    for (index_t i = 0; i < count; ++i) {
      if (ids[i] < 0) continue;
      T* row = dx + static_cast<index_t>(ids[i]) * columns;
      for (index_t c = begin; c < end; ++c) row[c] += dy[i * columns + c];
    }
  }
};

struct GatherRows {
  template <TensorLike X, TensorLike I>
  auto forward(const X& x, const I& ids) const {
    using U = typename X::scalar;
    using T = compute_t<U>;
    using S = Shape<extent_of<typename I::shape_type, 0>, extent_of<typename X::shape_type, 1>>;
    Tensor<T, S, typename X::backend> y(shape_of<S>(ids.extent(0), x.extent(1)), x.device());
    y.device().for_each(ids.extent(0), GatherRowsBody<T, U>{y.data(), x.data(), ids.data(), x.extent(1)}, x.extent(1));
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x, const auto& ids) const {
    using T = typename Dy::scalar;
    auto dx = zeros<T>(x.shape(), x.device());
    const index_t columns = x.extent(1), width = ScatterRowsBody<T>::width;
    dx.device().for_each((columns + width - 1) / width,
                         ScatterRowsBody<T>{dx.data(), dy.data(), ids.data(), ids.extent(0), columns},
                         width * ids.extent(0));
    return dx;
  }
  static constexpr Reads reads(const Wanted<2>&) { return Reads::operand(1); }
};

template <Real T>
struct GatherColumnsBody {
  T* y;
  const T* x;
  const std::int32_t* ids;
  index_t rows, columns;
  VENEER_HD void operator()(index_t i) const {
    for (index_t r = 0; r < rows; ++r) y[i * rows + r] = x[r * columns + place_of(ids[i])];
  }
};

template <Real T>
struct ScatterColumnsBody {
  T* dx;
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
    y.device().for_each(ids.extent(0), GatherColumnsBody<T>{y.data(), x.data(), ids.data(), x.extent(0), x.extent(1)},
                        x.extent(0));
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x, const auto& ids) const {
    using T = typename Dy::scalar;
    auto dx = zeros<T>(x.shape(), x.device());
    dx.device().for_each(
        x.extent(0), ScatterColumnsBody<T>{dx.data(), dy.data(), ids.data(), ids.extent(0), x.extent(0), x.extent(1)},
        ids.extent(0));
    return dx;
  }
  static constexpr Reads reads(const Wanted<2>&) { return Reads::operand(1); }
};

/// to[r * to_stride + c] = from[r * from_stride + c].
template <Real T>
struct CopyStripBody {
  T* to;
  const T* from;
  index_t width, to_stride, from_stride;
  VENEER_HD void operator()(index_t r) const {
    for (index_t c = 0; c < width; ++c) to[r * to_stride + c] = from[r * from_stride + c];
  }
};

struct ColumnRange {
  index_t begin = 0, end = 0;

  template <TensorLike X>
  auto forward(const X& x) const {
    using T = typename X::scalar;
    using S = Shape<extent_of<typename X::shape_type, 0>, dyn>;
    const index_t width = end - begin;
    Tensor<T, S, typename X::backend> y(shape_of<S>(x.extent(0), width), x.device());
    y.device().for_each(x.extent(0), CopyStripBody<T>{y.data(), x.data() + begin, width, width, x.extent(1)}, width);
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto& x) const {
    using T = typename Dy::scalar;
    auto dx = zeros<T>(x.shape(), x.device());
    const index_t width = end - begin;
    dx.device().for_each(dy.extent(0), CopyStripBody<T>{dx.data() + begin, dy.data(), width, x.extent(1), width},
                         width);
    return dx;
  }
  static constexpr Reads reads(const Wanted<1>&) { return Reads::nothing(); }
};

template <ValueLike X, ValueLike I>
void expect_ids(const char* call, const X&, const I&) {
  static_assert(std::same_as<typename I::scalar, std::int32_t> && I::shape_type::rank == 1 && X::shape_type::rank == 2,
                "veneer::gather: picks from a matrix by a vector of int32 numbers");
  (void)call;
}

}  // namespace ops

/// Rows of x by number; 16-bit storage widens.    x: (rows, columns)   ids: (count), each in [0, rows), not checked
/// here
template <ValueLike X, ValueLike I>
auto gather_rows(const X& x, const I& ids) {
  ops::expect_ids("gather_rows", x, ids);
  return apply(ops::GatherRows{}, x, ids);
}

/// Columns of x by number, as rows.    x: (rows, columns)   ids: (count), each in [0, columns), not checked here
template <ValueLike X, ValueLike I>
auto gather_columns(const X& x, const I& ids) {
  ops::expect_ids("gather_columns", x, ids);
  return apply(ops::GatherColumns{}, x, ids);
}

/// Consecutive columns of x: the parts of a fused projection.    x: (rows, columns)   result: (rows, end - begin)
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

/// The vectors of tokens.    ids: (tokens), each in [0, vocabulary)   table: (vocabulary, features)   result: (tokens,
/// features)
template <ValueLike I, Weight W>
auto embedding(const I& ids, const W& table) {
  return gather_rows(table, ids);
}

}  // namespace veneer
