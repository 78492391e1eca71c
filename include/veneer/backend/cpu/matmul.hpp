// SPDX-License-Identifier: Apache-2.0
/// \file matmul.hpp
/// multiply(product) on the CPU. C is divided into tiles by its extents alone, so its bits do not depend on the number
/// of threads. A is packed once and shared by the tiles, B is packed by each tile; the sums of all terms are kept in
/// one tile of float (double), and C is written once.
///
///   few rows (a decoding step)      dot products of rows in their storage type: nothing is packed, B is read once
///   skinny (n <= 64, or m <= 64)    the short side undivided, the long side in strips
///   general                         up to 512 by 512
#pragma once

#include <algorithm>

#include "veneer/backend/cpu/few_rows.hpp"
#include "veneer/backend/cpu/split.hpp"

namespace veneer::cpu {

/// Computes the matmul by the tiles of `cut`.
template <Stored E>
void multiply_tiles(const Kernels& kernels, const Matmul& p, const Cut<E>& cut) {
  const index_t across = ceil_div(p.n, cut.tile.columns);
  for (index_t first = 0; first < p.m; first += cut.together) {
    const index_t rows = std::min(cut.together, p.m - first);
    const auto shared = cut.shares_a ? allocate<std::uint8_t>(cut.shared_bytes(p)) : nullptr;
    E* packed = cut.shares_a ? reinterpret_cast<E*>(shared.get()) : nullptr;
    if (packed != nullptr) pack_shared(kernels, p, cut, first, rows, packed);
    const index_t down = ceil_div(rows, cut.tile.rows);
    Pool::instance().run(down * across, [&](index_t task) {
      const index_t row = task % down * cut.tile.rows;  // adjacent tiles share the columns, that is, the weight
      const index_t column = task / down * cut.tile.columns;
      Tile<E>(kernels, p, cut, packed, first, rows, first + row, std::min(cut.tile.rows, rows - row), column,
              std::min(cut.tile.columns, p.n - column))
          .run();
    });
  }
}

/// Packs rows [first, first + rows) of every op(A), for all blocks of steps.
template <Stored E>
void pack_shared(const Kernels& kernels, const Matmul& p, const Cut<E>& cut, index_t first, index_t rows, E* to) {
  const index_t height = 4 * cut.panel.rows, pieces = ceil_div(rows, height);
  Pool::instance().run(pieces, [&](index_t piece) {
    const auto room = allocate<E>(Packer<E>::room(cut.panel));
    const Packer<E> packer(kernels, cut.panel, room.get());
    const index_t row = piece * height, count = std::min(height, rows - row);
    E* block = to;
    for (int t = 0; t < p.count; ++t) {
      const Term& term = p.terms[t];
      for (index_t step = 0; step < term.k; step += cut.panel.depth) {
        const index_t steps = std::min(cut.panel.depth, term.k - step);
        if (term.scale != 0.0) {
          packer.pack_a(term.a, first + row, count, step, steps, block + cut.packed_a(row, steps));
        }
        block += cut.packed_a(rows, steps);
      }
    }
  });
}

/// Calls f with a null pointer to the type in which p is multiplied.
template <class F>
void with_arithmetic(const Kernels& k, const Matmul& p, const F& f) {
  if (p.arithmetic == Storage::float64) {
    f(static_cast<const double*>(nullptr));
  } else if (p.arithmetic == Storage::bfloat16 && k.bfloat16_pairs.run != nullptr) {
    f(static_cast<const bfloat16*>(nullptr));
  } else {
    f(static_cast<const float*>(nullptr));
  }
}

/// Returns p, transposed if it is narrow and would read a long A across its rows, as gradients of factors do.
inline Matmul oriented(const Matmul& p) {
  constexpr index_t narrow = 64;
  return p.terms[0].a.transposed && p.n <= narrow && p.m > narrow ? transpose(p) : p;
}

/// Computes a matmul. A template, like instruction_sets.
template <class = void>
void matmul(const Matmul& asked) {
  const Matmul p = oriented(asked);
  if (p.m == 0 || p.n == 0) return;
  const Kernels& k = kernels();
  if (SplitMatmul::suits(k, p)) {
    const SplitMatmul split(p);
    const Matmul inner = split.inner();
    multiply_tiles(k, inner, Cut<bfloat16>(k, inner));
    return split.finish(k);
  }
  with_arithmetic(k, p, [&]<class E>(const E*) {
    if (FewRows<compute_t<E>>::suits(p, panel_of<E>(k).few)) {
      FewRows<compute_t<E>>(k, p).run();
    } else {
      multiply_tiles(k, p, Cut<E>(k, p));
    }
  });
}

/// The number of concurrent tasks, and the bytes of each.
struct Demand {
  index_t tasks = 0, bytes = 0;
};

/// Calls f(bytes for all, first tasks, tasks after them) with the memory of multiply(p).
template <class F>
void measure(const Matmul& asked, const F& f) {
  Matmul p = oriented(asked);
  if (p.m == 0 || p.n == 0) return;
  const Kernels& k = kernels();
  const index_t split = SplitMatmul::suits(k, p) ? SplitMatmul::bytes(p) : 0;
  if (split > 0) p = SplitMatmul::inner(p, nullptr, nullptr);
  with_arithmetic(k, p, [&]<class E>(const E*) {
    using Few = FewRows<compute_t<E>>;
    if (Few::suits(p, panel_of<E>(k).few)) {
      f(Few::shared_bytes(p), Demand{}, Demand{Few::tasks(p), Few::task_bytes(p)});
      return;
    }
    const Cut<E> cut(k, p);
    const index_t packs = cut.shares_a ? ceil_div(cut.together, 4 * cut.panel.rows) : 0;
    const index_t down = ceil_div(cut.together, cut.tile.rows);
    f(split + cut.shared_bytes(p), Demand{packs, Packer<E>::room(cut.panel) * static_cast<index_t>(sizeof(E))},
      Demand{down * ceil_div(p.n, cut.tile.columns), cut.tile_bytes()});
  });
}

}  // namespace veneer::cpu
