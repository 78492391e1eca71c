// SPDX-License-Identifier: Apache-2.0
/// \file tile.hpp
/// Tile: one tile of C on one thread. Sums of all terms are kept in float (double), and C is written once.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "veneer/backend/cpu/cut.hpp"
#include "veneer/backend/cpu/memory.hpp"

namespace veneer::cpu {

/// Returns whether a result is written with stores that bypass the caches, because it is larger than the near ones.
inline bool passes_caches(const Kernels& k, const Matmul& p) {
  return k.narrow_past != nullptr && p.stored == Storage::bfloat16 && p.m * p.n >= (index_t{1} << 20);
}

/// Calls f with C at (row, column), in its storage type, and the distance of two columns.
template <class F>
void with_result(const Matmul& p, index_t row, index_t column, const F& f) {
  const index_t at = p.transposed ? column * p.ldc + row : row * p.ldc + column, step = p.transposed ? p.ldc : 1;
  switch (p.stored) {
    case Storage::float64: return f(static_cast<double*>(p.c) + at, step);
    case Storage::float32: return f(static_cast<float*>(p.c) + at, step);
    case Storage::float16: return f(static_cast<half*>(p.c) + at, step);
    default: return f(static_cast<bfloat16*>(p.c) + at, step);
  }
}

/// Initialises sums with beta C, or with zeros without reading C.
template <Real T>
void load_sums(const Matmul& p, T* sums, index_t row, index_t column, index_t count) {
  if (p.beta == 0.0) {
    std::fill_n(sums, count, T(0));
    return;
  }
  with_result(p, row, column, [&]<class U>(const U* c, index_t step) {
    for (index_t j = 0; j < count; ++j)
      sums[j] = static_cast<T>(p.beta) * static_cast<T>(static_cast<compute_t<U>>(c[j * step]));
  });
}

/// Writes a row of float sums as bfloat16, past the caches if asked. Returns false, and does nothing, for other types.
template <class T, class U>
bool stored_narrow(const Kernels&, bool, const T*, index_t, U*) {
  return false;
}
inline bool stored_narrow(const Kernels& k, bool past, const float* sums, index_t count, bfloat16* c) {
  past ? k.narrow_past(sums, count, c) : k.narrow(sums, count, c);
  return true;
}

/// Writes finished sums to C, rounded once.
template <Real T>
void store_sums(const Kernels& k, const Matmul& p, const T* sums, index_t row, index_t column, index_t count) {
  with_result(p, row, column, [&]<class U>(U* c, index_t step) {
    if (step == 1 && stored_narrow(k, passes_caches(k, p), sums, count, c)) return;
    if constexpr (std::is_same_v<T, U>) {
      if (step == 1 && count > 0) std::memcpy(c, sums, static_cast<std::size_t>(count) * sizeof(T));
      if (step == 1) return;
    }
    if (step == 1) {
      for (index_t j = 0; j < count; ++j) c[j] = static_cast<U>(static_cast<compute_t<U>>(sums[j]));
    } else {
      for (index_t j = 0; j < count; ++j) c[j * step] = static_cast<U>(static_cast<compute_t<U>>(sums[j]));
    }
  });
}

/// One tile of C.
template <Stored E>
class Tile {
 public:
  using C = compute_t<E>;

  /// \param shared  the packed rows of A from `first_row` on, or null
  Tile(const Kernels& kernels, const Matmul& p, const Cut<E>& cut, const E* shared, index_t first_row,
       index_t shared_rows, index_t row, index_t rows, index_t column, index_t columns)
      : k_(kernels),
        p_(p),
        cut_(cut),
        shared_(shared),
        shared_row_(row - first_row),
        shared_rows_(shared_rows),
        row_(row),
        rows_(rows),
        column_(column),
        columns_(columns),
        memory_(cut.passes > 0 ? allocate<std::uint8_t>(cut.tile_bytes()) : nullptr) {
    if (memory_ == nullptr) return;
    sums_ = reinterpret_cast<C*>(memory_.get());
    slab_ = reinterpret_cast<E*>(sums_ + cut.sums());
    own_a_ = slab_ + cut.slabs();
    decoded_ = own_a_ + cut.own_a();
    room_ = decoded_ + cut.decoded();
  }

  void run() const {
    if (cut_.passes == 0) return clear();
    const Packer<E> packer(k_, cut_.panel, room_);
    if (cut_.panel.enter != nullptr) cut_.panel.enter();
    index_t pass = 0;
    const E* shared = shared_;
    for (int t = 0; t < p_.count; ++t) {
      const Term& term = p_.terms[t];
      for (index_t step = 0; step < term.k; step += cut_.panel.depth) {
        const index_t steps = std::min(cut_.panel.depth, term.k - step);
        if (term.scale != 0.0) {
          block_of_steps(packer, term, step, steps, shared, pass == 0, pass + 1 == cut_.passes);
          ++pass;
        }
        if (shared != nullptr) shared += cut_.packed_a(shared_rows_, steps);
      }
    }
    if (cut_.panel.leave != nullptr) cut_.panel.leave();
    if (passes_caches(k_, p_)) k_.fence();
  }

 private:
  /// Computes C = beta C, for a matmul without steps.
  void clear() const {
    C sums[64];
    for (index_t i = 0; i < rows_; ++i) {
      for (index_t j = 0; j < columns_; j += 64) {
        const index_t count = std::min<index_t>(64, columns_ - j);
        load_sums(p_, sums, row_ + i, column_ + j, count);
        store_sums(k_, p_, sums, row_ + i, column_ + j, count);
      }
    }
  }

  void block_of_steps(const Packer<E>& packer, const Term& term, index_t step, index_t steps, const E* shared,
                      bool first, bool last) const {
    const index_t strip_values = cut_.packed_a(cut_.panel.rows, steps);
    const E* a = own_a_;
    index_t stored = 0;  // rows of A read in their storage
    if (shared != nullptr) {
      a = shared + shared_row_ / cut_.panel.rows * strip_values;
    } else {
      stored = rows_in_place(term.a, steps);
      packer.pack_a(term.a, row_ + stored, rows_ - stored, step, steps,
                    own_a_ + stored / cut_.panel.rows * strip_values);
    }
    const index_t width = cut_.panel.columns, group = cut_.panel.slabs * width;
    for (index_t begin = 0; begin < columns_; begin += group) {
      const index_t end = std::min(columns_, begin + group);
      const bool b_in_place = reads_b_in_place(term.b, end - begin);
      if (!b_in_place) pack_slabs(packer, term.b, step, steps, begin, end);
      const index_t strips = cut_.rows_padded(rows_) / cut_.panel.rows;
      index_t number = 0;
      const index_t pieces = strips * ceil_div(end - begin, width);
      for (index_t pair = 0; pair < strips; pair += 2) {  // two strips of A remain in the L1 cache
        for (index_t across = begin; across < end; across += width) {
          for (index_t strip = pair; strip < std::min(pair + 2, strips); ++strip) {
            fetch_b(term, step, steps, begin + group, number, pieces);
            Block<E> block;
            block.steps = cut_.panel.padded(steps), block.scale = static_cast<C>(term.scale);
            block.add = !first || p_.beta != 0.0;
            place_a(term.a, step, strip, strip * cut_.panel.rows < stored, a + strip * strip_values, block);
            block.columns = std::min(width, columns_ - across);
            block.b = slab_ + (across - begin) / width * cut_.slab(), block.b_step = width;
            if (b_in_place) {
              block.b = static_cast<const E*>(term.b.data) + step * term.b.stride + column_ + across;
              block.b_step = term.b.stride;
            }
            run_block(block, strip * cut_.panel.rows, across, begin / width * strips + number++, first, last);
          }
        }
      }
    }
  }

  void run_block(Block<E>& block, index_t row, index_t across, index_t number, bool first, bool last) const {
    const bool direct = in_result(row, across, block);
    if (!direct) place_sums(number, block);
    if (first && block.add && !direct) begin(block, row, across);
    cut_.panel.run(block);
    if (last && !direct) finish(block, row, across);
  }

  /// \param packed  the strip, unless it is read in its storage
  void place_a(const Operand& a, index_t step, index_t strip, bool stored, const E* packed, Block<E>& block) const {
    block.rows = std::min(cut_.panel.rows, rows_ - strip * cut_.panel.rows);
    block.a = packed, block.a_row = cut_.panel.chunk, block.a_chunk = cut_.panel.rows * cut_.panel.chunk;
    if (!stored) return;
    block.a = static_cast<const E*>(a.data) + (row_ + strip * cut_.panel.rows) * a.stride + step;
    block.a_row = a.stride, block.a_chunk = cut_.panel.chunk;
  }

  index_t rows_in_place(const Operand& a, index_t steps) const {
    const bool fits =
        cut_.panel.in_place && !a.transposed && a.storage == storage_of<E> && columns_ <= 2 * cut_.panel.columns;
    return fits && steps % cut_.panel.chunk == 0 ? rows_ / cut_.panel.rows * cut_.panel.rows : 0;
  }

  /// Returns whether panels of B are read in place, since few rows read each panel once.
  bool reads_b_in_place(const Operand& b, index_t columns) const {
    return cut_.panel.group == 1 && !b.transposed && b.storage == storage_of<E> && columns == cut_.panel.columns &&
           rows_ <= 4 * cut_.panel.rows;
  }

  /// Packs columns [begin, end) of the tile, a few steps of all columns at a time if a row of B has them all.
  void pack_slabs(const Packer<E>& packer, const Operand& b, index_t step, index_t steps, index_t begin,
                  index_t end) const {
    const index_t width = cut_.panel.columns;
    if (b.transposed || end - begin <= width) {
      E* to = slab_;
      for (index_t across = begin; across < end; across += width, to += cut_.slab()) {
        packer.pack_b(b, column_ + across, std::min(width, end - across), step, steps, to);
      }
      return;
    }
    for (index_t p = 0; p < steps; p += cut_.panel.multiple) {
      const index_t count = std::min(cut_.panel.multiple, steps - p);
      const Operand rows = decoded_rows(b, step + p, count, column_ + begin, end - begin);
      E* to = slab_ + p * width;
      for (index_t across = begin; across < end; across += width, to += cut_.slab()) {
        packer.pack_b(rows, across - begin, std::min(width, end - across), 0, count, to);
      }
    }
  }

  /// Returns elements [first, first + count) of stored rows [row, row + rows) of B as E: in place, or decoded.
  Operand decoded_rows(const Operand& b, index_t row, index_t rows, index_t first, index_t count) const {
    if (b.storage == storage_of<E>) return operand(static_cast<const E*>(b.data) + row * b.stride + first, b.stride);
    for (index_t r = 0; r < rows; ++r) {
      E* to = decoded_ + r * count;
      const E* from = read_row<E>(k_, b, row + r, first, count, to);
      if (from != to) std::copy_n(from, count, to);
    }
    return operand(static_cast<const E*>(decoded_), count);
  }

  /// Prefetches one part of the next slabs of B, so that memory is read while the kernel computes.
  void fetch_b(const Term& term, index_t step, index_t steps, index_t across, index_t number, index_t pieces) const {
    if (across >= columns_) {  // the first slabs of the next block of steps
      across = 0, step += steps, steps = std::min(cut_.panel.depth, term.k - step);
      if (steps <= 0) return;
    }
    const index_t columns = std::min(cut_.panel.slabs * cut_.panel.columns, columns_ - across);
    const bool coded = term.b.storage == Storage::coded;
    if (term.b.transposed) {
      if (coded) return fetch_coded(term.b, column_ + across, columns, step, steps, number, pieces);
      fetch(term.b, column_ + across, columns, step, steps, number, pieces);
    } else {
      if (coded) return fetch_coded(term.b, step, steps, column_ + across, columns, number, pieces);
      fetch(term.b, step, steps, column_ + across, columns, number, pieces);
    }
  }

  /// Returns whether the sums of a full block can be in C, and sets their address.
  bool in_result(index_t strip, index_t across, Block<E>& block) const {
    const bool alike = p_.stored == storage_of<C> && !p_.transposed && (p_.beta == 0.0 || p_.beta == 1.0);
    if (!alike || cut_.passes > 1 || block.rows < cut_.panel.rows || block.columns < cut_.panel.columns) return false;
    block.c = static_cast<C*>(p_.c) + (row_ + strip) * p_.ldc + column_ + across, block.c_stride = p_.ldc;
    return true;
  }

  /// Places the sums of a block contiguously: rows at distances of a power of two would share few cache sets.
  void place_sums(index_t number, Block<E>& block) const {
    block.c = cut_.passes == 1 ? sums_ : sums_ + number * cut_.panel.rows * cut_.panel.columns;
    block.c_stride = cut_.panel.columns;
  }

  /// Initialises the sums of a block with C.
  void begin(const Block<E>& block, index_t strip, index_t across) const {
    for (index_t i = 0; i < block.rows; ++i) {
      load_sums(p_, block.c + i * block.c_stride, row_ + strip + i, column_ + across, block.columns);
    }
  }

  void finish(const Block<E>& block, index_t strip, index_t across) const {
    for (index_t i = 0; i < block.rows; ++i) {
      store_sums(k_, p_, block.c + i * block.c_stride, row_ + strip + i, column_ + across, block.columns);
    }
  }

  const Kernels& k_;
  const Matmul& p_;
  const Cut<E>& cut_;
  const E* shared_;
  index_t shared_row_, shared_rows_, row_, rows_, column_, columns_;
  std::shared_ptr<std::uint8_t> memory_;
  C* sums_ = nullptr;
  E *slab_ = nullptr, *own_a_ = nullptr, *decoded_ = nullptr, *room_ = nullptr;
};

}  // namespace veneer::cpu
