// SPDX-License-Identifier: Apache-2.0
/// \file product.hpp
/// gemm on the CPU: C is cut into tiles by its shape alone, and each tile is one single-threaded product over all of k
/// by `tile_product` of kernel.hpp, the one place to refine.
///
/// Tiles of (m, n, k), decided by extents and never by the number of threads, so the bits do not depend on it:
///   general          128..512 rows by up to 512 columns
///   skinny (n <= 64, or m <= 64: the products of an adapter)   the short side whole, the long side in strips
#pragma once

#include <algorithm>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/kernel.hpp"
#include "veneer/backend/cpu/pool.hpp"

namespace veneer::cpu {

/// Rows and columns of a tile of C.
struct TileShape {
  index_t rows = 1;
  index_t columns = 1;
};

/// The number of pieces of about `target` that `extent` is cut into, and the size of each, a multiple of 16.
constexpr index_t even_cut(index_t extent, index_t target) {
  const index_t pieces = extent <= target ? 1 : (extent + target - 1) / target;
  const index_t size = (extent + pieces - 1) / pieces;
  return (size + 15) / 16 * 16;
}

/// Eight tiles or more when there is enough work for them, long enough that packing an operand is paid for.
constexpr TileShape tile_shape(index_t m, index_t n, index_t k) {
  constexpr index_t short_side = 64;
  const auto strip = [k](index_t extent, index_t other) {
    const index_t worth = (index_t{1} << 18) / (other * k + 1) + 1;  // 2^18 multiplications are worth a task
    return even_cut(extent, std::clamp(worth, index_t{64}, std::max(index_t{64}, extent / 8)));
  };
  if (n <= short_side) return {strip(m, n), n};
  if (m <= short_side) return {m, strip(n, m)};
  if (m * n * k <= (index_t{1} << 21)) return {even_cut(m, 128), n};
  return {even_cut(m, m >= 2048 ? 512 : 256), even_cut(n, n >= 2048 ? 512 : 256)};
}

/// The product of number i of a batch.
template <Real T>
Gemm<T> element(Gemm<T> p, index_t i) {
  p.a += i * p.stride_a;
  p.b += i * p.stride_b;
  p.c += i * p.stride_c;
  return p;
}

/// The whole product, or every product of the batch, over the pool.
template <Real T>
void multiply(const Gemm<T>& p) {
  if (p.m == 0 || p.n == 0 || p.batch == 0) return;
  const TileShape shape = tile_shape(p.m, p.n, p.k);
  const index_t down = (p.m + shape.rows - 1) / shape.rows;
  const index_t across = (p.n + shape.columns - 1) / shape.columns;
  const index_t work = p.m * p.n * (p.k + 1);
  const index_t together = std::max<index_t>(1, (index_t{1} << 17) / (work + 1));  // small products share a task
  if (down * across == 1 && together > 1) {
    Pool::instance().run((p.batch + together - 1) / together, [&](index_t task) {
      const index_t end = std::min(p.batch, (task + 1) * together);
      for (index_t i = task * together; i < end; ++i) tile_product(element(p, i), 0, p.m, 0, p.n);
    });
    return;
  }
  Pool::instance().run(p.batch * down * across, [&](index_t task) {
    const index_t row = task % down * shape.rows;  // neighbours share the columns, that is the weight
    const index_t column = task / down % across * shape.columns;
    tile_product(element(p, task / (down * across)), row, std::min(shape.rows, p.m - row), column,
                 std::min(shape.columns, p.n - column));
  });
}

}  // namespace veneer::cpu
