// SPDX-License-Identifier: Apache-2.0
/// \file cut.hpp
/// Cut: the division of a matmul into tiles, and their memory. It depends only on extents and the instruction set, so
/// the bits do not depend on the number of threads, and a planner may use it without computing.
///
///   skinny (n <= 64, or m <= 64)    the short side undivided, the long side in strips
///   general                         up to 512 by 512
#pragma once

#include <algorithm>
#include <type_traits>

#include "veneer/backend/cpu/pack.hpp"

namespace veneer::cpu {

/// The rows and columns of a tile of C.
struct TileShape {
  index_t rows = 1, columns = 1;
};

/// Returns the size of equal parts of `extent`, about `target`, in multiples of `unit`.
constexpr index_t even_cut(index_t extent, index_t target, index_t unit) {
  const index_t pieces = extent <= target ? 1 : ceil_div(extent, target);
  const index_t size = ceil_div(extent, pieces);
  return round_up(size, unit);
}

/// Returns a shape that gives at least eight tiles if there is enough work, long enough to amortise packing.
constexpr TileShape tile_shape(index_t m, index_t n, index_t k, index_t unit_rows, index_t unit_columns) {
  constexpr index_t short_side = 64;
  const auto strip = [k](index_t extent, index_t other, index_t unit) {
    const index_t worth = (index_t{1} << 20) / (other * k + 1) + 1;  // at least 2^20 multiplications per task
    return even_cut(extent, std::clamp(worth, index_t{128}, std::max(index_t{128}, extent / 8)), unit);
  };
  if (n <= short_side) return {strip(m, n, unit_rows), n};
  if (m <= short_side) return {m, strip(n, m, unit_columns)};
  if (m * n * k <= (index_t{1} << 21)) return {even_cut(m, 128, unit_rows), n};
  return {even_cut(m, 512, unit_rows), even_cut(n, n >= 2048 ? 512 : 256, unit_columns)};
}

template <Stored E>
const Panel<E>& panel_of(const Kernels& k) {
  if constexpr (std::is_same_v<E, float>) return k.float32;
  if constexpr (std::is_same_v<E, double>) return k.float64;
  if constexpr (std::is_same_v<E, bfloat16>) return k.bfloat16_pairs;
}

/// The division of one matmul and its memory, which depend only on extents and the instruction set.
template <Stored E>
struct Cut {
  using C = compute_t<E>;

  Cut(const Kernels& kernels, const Matmul& p) : panel(panel_of<E>(kernels)) {
    for (int t = 0; t < p.count; ++t) {
      if (p.terms[t].scale == 0.0) continue;
      steps += p.terms[t].k, deepest = std::max(deepest, p.terms[t].k);
      passes += ceil_div(p.terms[t].k, panel.depth);
    }
    tile = tile_shape(p.m, p.n, steps, panel.rows, panel.columns);
    constexpr index_t shared_values = index_t{1} << 24;
    const index_t across = ceil_div(p.n, tile.columns);
    shares_a = across > 1 && passes > 0;
    together = !shares_a ? p.m : std::max<index_t>(1, shared_values / (steps + 1) / tile.rows) * tile.rows;
    together = std::min(together, p.m);
  }

  index_t rows_padded(index_t rows) const { return round_up(rows, panel.rows); }
  /// Returns the number of values of the packed rows of A of one block of steps.
  index_t packed_a(index_t rows, index_t block_steps) const {
    return rows_padded(rows) * (panel.chunk == panel.depth ? panel.depth : panel.padded(block_steps));
  }
  index_t packed_a_whole(index_t rows, index_t k) const {
    const index_t full = k / panel.depth, rest = k % panel.depth;
    return full * packed_a(rows, panel.depth) + (rest > 0 ? packed_a(rows, rest) : 0);
  }
  index_t shared_bytes(const Matmul& p) const {
    index_t values = 0;
    for (int t = 0; t < p.count; ++t) values += packed_a_whole(together, p.terms[t].k);
    return shares_a ? values * static_cast<index_t>(sizeof(E)) : 0;
  }
  index_t own_a() const { return shares_a ? 0 : packed_a(tile.rows, std::min(panel.depth, deepest)); }
  index_t slab() const { return panel.columns * panel.padded(std::min(panel.depth, deepest)); }
  index_t slabs() const { return std::min(panel.slabs, ceil_div(tile.columns, panel.columns)) * slab(); }
  /// Rows of B across all slabs, where they are stored in another type.
  index_t decoded() const { return panel.slabs > 1 ? panel.multiple * panel.slabs * panel.columns : 0; }
  index_t sums() const {
    if (passes <= 1) return panel.rows * panel.columns;
    return rows_padded(tile.rows) * round_up(tile.columns, panel.columns);
  }
  index_t tile_bytes() const {
    if (passes == 0) return 0;
    return sums() * static_cast<index_t>(sizeof(C)) +
           (slabs() + own_a() + decoded() + Packer<E>::room(panel)) * static_cast<index_t>(sizeof(E));
  }

  const Panel<E>& panel;
  index_t steps = 0, deepest = 0, passes = 0;
  TileShape tile;
  bool shares_a = false;
  index_t together = 0;  // rows of A packed at a time
};

}  // namespace veneer::cpu
