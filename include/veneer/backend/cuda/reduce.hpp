// SPDX-License-Identifier: Apache-2.0
/// \file reduce.hpp
/// reduce_rows on a device: cub::DeviceSegmentedReduce over numbered elements, with one block per segment.
///
/// The number of an element has its row in the high bits and its column in the low bits, i = r << shift | c, so that a
/// thread finds both without a division. Few long rows (the sum of a loss) are divided into parts that a second pass
/// reduces. The division, and the order of summation in a block, depend only on rows and columns: no atomics, the same
/// bits in every run.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include <cub/device/device_segmented_reduce.cuh>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>

#include "veneer/backend/cuda/context.hpp"

namespace veneer::gpu {

/// The load of a numbered element.
template <class T, class Load>
struct NumberedLoad {
  Load load;
  int shift;
  VENEER_HD T operator()(index_t i) const { return static_cast<T>(load(i >> shift, i & ((index_t{1} << shift) - 1))); }
};

/// The function from a segment to the number of its first element, or of the one after its last.
struct SegmentBound {
  int shift;
  index_t pieces, length, columns;  // each row is `pieces` segments of `length` columns; the last one may be shorter
  index_t past;                     // 0 for the first element, 1 for the end
  SegmentBound end() const { return {shift, pieces, length, columns, 1}; }
  VENEER_HD index_t operator()(index_t segment) const {
    const index_t row = segment / pieces, column = (segment % pieces + past) * length;
    return (row << shift) + (column < columns ? column : columns);
  }
};

/// Returns the segments of a matrix: its rows, or parts of rows if these are few and long.
inline SegmentBound cut_rows(index_t rows, index_t columns) {
  constexpr index_t piece = 8192;       // columns per block
  constexpr index_t enough_rows = 256;  // number of blocks that fill a device
  const int shift = std::bit_width(static_cast<std::uint64_t>(columns));
  if (rows >= enough_rows || columns <= 2 * piece) return {shift, 1, columns, columns, 0};
  return {shift, ceil_div(columns, piece), piece, columns, 0};
}

template <class Monoid>
struct Combine {
  using T = typename Monoid::value_type;
  VENEER_HD T operator()(T a, T b) const { return Monoid::combine(a, b); }
};

/// The results of the first pass.
template <class T>
struct PieceLoad {
  const T* pieces;
  index_t count;  // of a row
  VENEER_HD T operator()(index_t r, index_t c) const { return pieces[r * count + c]; }
};

template <class Monoid, class Load>
void reduce_segments(Context& context, index_t rows, SegmentBound first, const Load& load,
                     typename Monoid::value_type* out) {
  using T = typename Monoid::value_type;
  const SegmentBound end = first.end();
  const thrust::counting_iterator<index_t> numbers(0);
  const auto values = thrust::make_transform_iterator(numbers, NumberedLoad<T, Load>{load, first.shift});
  const auto begins = thrust::make_transform_iterator(numbers, first);
  const auto ends = thrust::make_transform_iterator(numbers, end);
  const auto run = [&](void* scratch, std::size_t& bytes) {
    check(cub::DeviceSegmentedReduce::Reduce(scratch, bytes, values, out, rows * first.pieces, begins, ends,
                                             Combine<Monoid>{}, Monoid::identity(), context.stream()),
          "reduce_rows");
  };
  std::size_t bytes = 0;
  run(nullptr, bytes);
  expects<BackendError>(bytes <= workspace_bytes,
                        "veneer::Cuda: reduce_rows: CUB asks for more scratch memory than there is");
  const auto lock = context.exclusive();
  run(context.workspace(), bytes);
}

/// Computes out[r] = reduction over c of load(r, c); rows is at least 1.
template <class Monoid, class Load>
void reduce_rows(Context& context, index_t rows, index_t columns, const Load& load, typename Monoid::value_type* out) {
  using T = typename Monoid::value_type;
  const DeviceScope scope(context.device());
  const SegmentBound first = cut_rows(rows, columns);
  if (first.pieces == 1) {
    reduce_segments<Monoid>(context, rows, first, load, out);
    return;
  }
  const std::shared_ptr<void> partial(context.take(static_cast<std::size_t>(rows * first.pieces) * sizeof(T)),
                                      [&context](void* block) { context.give_back(block); });
  T* const results = static_cast<T*>(partial.get());
  reduce_segments<Monoid>(context, rows, first, load, results);
  reduce_rows<Monoid>(context, rows, first.pieces, PieceLoad<T>{results, first.pieces}, out);
}

}  // namespace veneer::gpu
