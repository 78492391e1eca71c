// SPDX-License-Identifier: Apache-2.0
/// \file kernel.hpp
/// tile_product: one tile of C = alpha op(A) op(B) + beta C on one thread, with a packed B and a kernel that lives in
/// registers.
///
/// Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008. The kernel
/// computes a block of
/// MR rows by NV vectors of C over kc steps:  acc[i][v] += A[i][p] * B[p][v].  Its vectors are as wide as the target of
/// the
/// compilation has them (compiler vector types, no intrinsics), so one source serves SSE, AVX2 and AVX-512. Every
/// element of C is summed in
/// the order p = 0, 1, ..., in blocks of kc: bits depend on the extents and the target alone.
///   AVX2: 6 x 16, 12 accumulators of 16 registers      AVX-512: 12 x 32, 24 of 32
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/dot_kernel.hpp"
#include "veneer/backend/cpu/memory.hpp"
#include "veneer/backend/cpu/vector.hpp"

namespace veneer::cpu {

/// Where a kernel finds rows of A: element p of row i is row[i][p * step].
template <Real T>
struct RowPointers {
  const T* row[kernel_rows];
  index_t step;
};

/// \tparam NV vectors across
/// \param b   step p of the columns begins at b + p * b_step
template <Real T, int NV>
void kernel(index_t steps, const RowPointers<T>& a, const T* b, index_t b_step, const OutputBlock<T>& out) {
  constexpr int lanes = vector_lanes<T>, width = NV * lanes;
  Vector<T> sum[std::size_t{kernel_rows}][std::size_t{NV}];
  repeat<kernel_rows>([&](auto i) { repeat<NV>([&](auto v) { sum[i][v] = zero_vector<T>(); }); });
  const index_t step = a.step;
  for (index_t p = 0; p < steps; ++p) {
    Vector<T> across[std::size_t{NV}];
    repeat<NV>([&](auto v) { across[v] = load_vector(b + p * b_step + v * lanes); });
    repeat<kernel_rows>([&](auto i) {
      const T down = a.row[i][p * step];
      repeat<NV>([&](auto v) { sum[i][v] += down * across[v]; });
    });
  }
  if (out.rows == kernel_rows && out.columns == width) {
    repeat<kernel_rows>([&](auto i) {
      repeat<NV>([&](auto v) {
        T* c = out.data + i * out.stride + v * lanes;
        const Vector<T> scaled = out.alpha * sum[i][v];
        store_vector(c, out.beta == T(0) ? scaled : scaled + out.beta * load_vector(c));
      });
    });
    return;
  }
  T edge[std::size_t{kernel_rows}][std::size_t{width}];
  std::memcpy(edge, sum, sizeof edge);
  for (index_t i = 0; i < out.rows; ++i) {
    for (index_t j = 0; j < out.columns; ++j) {
      T& c = out.data[i * out.stride + j];
      c = out.alpha * edge[i][j] + (out.beta == T(0) ? T(0) : out.beta * c);
    }
  }
}

/// Columns [0, columns) of op(B), steps [0, steps), in slabs of `Width` columns padded with zeros.
/// `b` points at op(B)(0, 0); consecutive columns lie `across` apart, consecutive steps `down` apart.
template <int Width, Real T>
void pack_columns(const T* b, index_t across, index_t down, index_t steps, index_t columns, T* packed) {
  for (index_t first = 0; first < columns; first += Width, packed += Width * steps) {
    const index_t count = std::min<index_t>(Width, columns - first);
    const T* from = b + first * across;
    if (across == 1 && count == Width) {
      for (index_t p = 0; p < steps; ++p) std::memcpy(packed + p * Width, from + p * down, Width * sizeof(T));
      continue;
    }
    // In blocks of steps, so that the strided side stays in the first cache.
    for (index_t begin = 0; begin < steps; begin += 16) {
      const index_t end = std::min(steps, begin + 16);
      for (index_t j = 0; j < count; ++j) {
        for (index_t p = begin; p < end; ++p) packed[p * Width + j] = from[j * across + p * down];
      }
      for (index_t p = begin; p < end; ++p) {
        for (index_t j = count; j < Width; ++j) packed[p * Width + j] = T(0);
      }
    }
  }
}

/// Values that one thread packs at a time: of B, and of A where it is read across.
struct Packing {
  index_t b = 0, a = 0;
};

/// The slabs of up to 256 columns and 256 steps of one tile, NV vectors wide each.
template <Real T, int NV>
class TileWalk {
 public:
  static constexpr index_t mr = kernel_rows, width = NV * vector_lanes<T>, block_steps = 256, block_columns = 256;

  TileWalk(const Gemm<T>& problem, index_t row, index_t rows, index_t column, index_t columns)
      : g_(problem),
        row_(row),
        rows_(rows),
        column_(column),
        columns_(columns),
        strips_((rows + mr - 1) / mr),
        pack_a_(packing(problem, rows, columns).a > 0),
        pack_b_(problem.transpose_b || rows > 4 * mr) {
    const Packing values = packing(problem, rows, columns);
    packed_b_ = allocate<T>(values.b);
    if (pack_a_) packed_a_ = allocate<T>(values.a);
  }

  static Packing packing(const Gemm<T>& problem, index_t rows, index_t columns) {
    const index_t steps = std::min(block_steps, problem.k),
                  together = (std::min(block_columns, columns) + width - 1) / width * width;
    const bool across = problem.transpose_a && columns > 2 * width;
    return {steps * together, across ? (rows + mr - 1) / mr * mr * steps : 0};
  }

  void run() const {
    for (index_t step = 0; step < g_.k; step += block_steps) {
      const index_t steps = std::min(block_steps, g_.k - step);
      if (pack_a_)
        pack_columns<kernel_rows>(g_.a + row_ + step * g_.lda, index_t{1}, g_.lda, steps, rows_, packed_a_.get());
      for (index_t across = 0; across < columns_; across += block_columns) {
        const index_t part = std::min(block_columns, columns_ - across);
        if (pack_b_) pack_b(step, steps, across, part, packed_b_.get());
        for (index_t slab = 0; slab < part; slab += width)
          down_slab(step, steps, across, slab, std::min(width, part - slab));
      }
    }
  }

 private:
  void pack_b(index_t step, index_t steps, index_t across, index_t columns, T* to) const {
    const index_t beside = g_.transpose_b ? g_.ldb : 1, below = g_.transpose_b ? 1 : g_.ldb;
    pack_columns<width>(g_.b + (column_ + across) * beside + step * below, beside, below, steps, columns, to);
  }

  /// All rows of the tile against one slab, which stays in the first cache.
  void down_slab(index_t step, index_t steps, index_t across, index_t slab, index_t columns) const {
    const T* b = packed_b_.get() + slab * steps;
    index_t b_step = width;
    if (!pack_b_ && columns == width) {
      b = g_.b + step * g_.ldb + column_ + across + slab;
      b_step = g_.ldb;
    } else if (!pack_b_) {  // the ragged end of an operand that is read in place
      pack_b(step, steps, across + slab, columns, packed_b_.get());
      b = packed_b_.get();
    }
    T* c = g_.c + row_ * g_.ldc + column_ + across + slab;
    for (index_t strip = 0; strip < strips_; ++strip) {
      const OutputBlock<T> out{c + strip * mr * g_.ldc,   g_.ldc, std::min(mr, rows_ - strip * mr), columns, g_.alpha,
                               step == 0 ? g_.beta : T(1)};
      kernel<T, NV>(steps, row_pointers(step, steps, strip), b, b_step, out);
    }
  }

  RowPointers<T> row_pointers(index_t step, index_t steps, index_t strip) const {
    RowPointers<T> a;
    a.step = pack_a_ ? mr : g_.transpose_a ? g_.lda : 1;
    for (index_t i = 0; i < mr; ++i) {
      const index_t inside =
          row_ + std::min(strip * mr + i, rows_ - 1);  // rows past the end repeat the last, and are not stored
      a.row[i] = pack_a_          ? packed_a_.get() + strip * mr * steps + i
                 : g_.transpose_a ? g_.a + step * g_.lda + inside
                                  : g_.a + inside * g_.lda + step;
    }
    return a;
  }

  const Gemm<T>& g_;
  index_t row_, rows_, column_, columns_, strips_;
  bool pack_a_, pack_b_;
  std::shared_ptr<T> packed_a_, packed_b_;
};

/// What tile_product packs for a tile of this size.
template <Real T>
Packing tile_packing(const Gemm<T>& g, index_t rows, index_t columns) {
  if (g.k == 0 || g.alpha == T(0) || prefers_dots(g, rows)) return {};
  return columns <= vector_lanes<T> ? TileWalk<T, 1>::packing(g, rows, columns)
                                    : TileWalk<T, 2>::packing(g, rows, columns);
}

/// C[row.., column..] of one product, rows by columns.
template <Real T>
void tile_product(const Gemm<T>& g, index_t row, index_t rows, index_t column, index_t columns) {
  if (g.k == 0 || g.alpha == T(0)) {
    T* c = g.c + row * g.ldc + column;
    for (index_t i = 0; i < rows; ++i, c += g.ldc) {
      for (index_t j = 0; j < columns; ++j) c[j] = g.beta == T(0) ? T(0) : g.beta * c[j];
    }
  } else if (prefers_dots(g, rows)) {
    dot_tile(g, row, rows, column, columns);
  } else if (columns <= vector_lanes<T>) {
    TileWalk<T, 1>(g, row, rows, column, columns).run();
  } else {
    TileWalk<T, 2>(g, row, rows, column, columns).run();
  }
}

}  // namespace veneer::cpu
