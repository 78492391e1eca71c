// SPDX-License-Identifier: Apache-2.0
/// \file dot_kernel.hpp
/// dot_tile: few rows of A against rows of B, the product of a decoding step:
///   C[i, j] = alpha sum_p A[i, p] B[j, p] + beta C[i, j],   A (m, k) and B (n, k) as stored.
///
/// Nothing is packed and each row of B is read once, so the product costs what reading the weight costs. A block of up
/// to 3 x 4 sums lives in registers; a sum runs in as many lanes as a vector has, folded in order at the end.
#pragma once

#include <algorithm>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/vector.hpp"

namespace veneer::cpu {

/// R rows of A, `a_stride` apart, against N rows of B, `b_stride` apart.
template <int R, int N, Real T>
void dot_block(index_t steps, const T* a, index_t a_stride, const T* b, index_t b_stride, const OutputBlock<T>& out) {
  constexpr int lanes = vector_lanes<T>;
  Vector<T> sum[std::size_t{R}][std::size_t{N}];
  repeat<R>([&](auto i) { repeat<N>([&](auto j) { sum[i][j] = zero_vector<T>(); }); });
  index_t p = 0;
  for (; p + lanes <= steps; p += lanes) {
    Vector<T> down[std::size_t{R}];
    repeat<R>([&](auto i) { down[i] = load_vector(a + i * a_stride + p); });
    repeat<N>([&](auto j) {
      const Vector<T> across = load_vector(b + j * b_stride + p);
      repeat<R>([&](auto i) { sum[i][j] += down[i] * across; });
    });
  }
  repeat<R>([&](auto i) {
    repeat<N>([&](auto j) {
      T total = 0;
      for (int lane = 0; lane < lanes; ++lane) total += sum[i][j][lane];
      for (index_t q = p; q < steps; ++q) total += a[i * a_stride + q] * b[j * b_stride + q];
      T& c = out.data[i * out.stride + j];
      c = out.alpha * total + (out.beta == T(0) ? T(0) : out.beta * c);
    });
  });
}

/// All rows of the tile, three at a time, against N rows of B.
template <int N, Real T>
void dot_rows(const Gemm<T>& g, index_t row, index_t rows, index_t column) {
  const T* b = g.b + column * g.ldb;
  for (index_t done = 0; done < rows; done += 3) {
    const T* a = g.a + (row + done) * g.lda;
    const OutputBlock<T> out{g.c + (row + done) * g.ldc + column, g.ldc, rows, N, g.alpha, g.beta};
    switch (std::min<index_t>(3, rows - done)) {
      case 1: dot_block<1, N>(g.k, a, g.lda, b, g.ldb, out); break;
      case 2: dot_block<2, N>(g.k, a, g.lda, b, g.ldb, out); break;
      default: dot_block<3, N>(g.k, a, g.lda, b, g.ldb, out);
    }
  }
}

/// Whether dot_tile computes this tile, and does so faster than packing would: by extents and form alone.
template <Real T>
bool prefers_dots(const Gemm<T>& g, index_t rows) {
  constexpr index_t lanes = vector_lanes<T>;
  return !g.transpose_a && g.transpose_b && g.k >= 4 * lanes && rows <= (g.k >= 32 * lanes ? 12 : 6);
}

/// C[row.., column..] of a product whose A is stored by rows and whose B is transposed.
template <Real T>
void dot_tile(const Gemm<T>& g, index_t row, index_t rows, index_t column, index_t columns) {
  const index_t end = column + columns;
  for (; column + 4 <= end; column += 4) dot_rows<4>(g, row, rows, column);
  for (; column < end; ++column) dot_rows<1>(g, row, rows, column);
}

}  // namespace veneer::cpu
