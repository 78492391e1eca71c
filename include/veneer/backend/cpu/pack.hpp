// SPDX-License-Identifier: Apache-2.0
/// \file pack.hpp
/// Packer: converts stored rows of an operand of any storage type to the panels of a kernel. A row is read in place if
/// it has the type of the panel, otherwise it is first decoded or converted into a buffer of a few rows; a weight is
/// never converted as a whole.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "veneer/backend/cpu/isa.hpp"
#include "veneer/backend/operand.hpp"

namespace veneer::cpu {

/// Returns elements [first, first + count) of stored row `row` as E: in place, or in `room`.
template <Stored E>
const E* read_row(const Kernels& k, const Operand& x, index_t row, index_t first, index_t count, E* room);

template <>
inline const float* read_row(const Kernels& k, const Operand& x, index_t row, index_t first, index_t count,
                             float* room) {
  const index_t at = row * x.stride + first;
  switch (x.storage) {
    case Storage::float32: return static_cast<const float*>(x.data) + at;
    case Storage::bfloat16: k.widen(static_cast<const bfloat16*>(x.data) + at, count, room); break;
    case Storage::float16: k.widen_half(static_cast<const half*>(x.data) + at, count, room); break;
    case Storage::coded: x.decoder->to_float(x.data, at, count, room); break;
    case Storage::float64:
      for (index_t i = 0; i < count; ++i) room[i] = static_cast<float>(static_cast<const double*>(x.data)[at + i]);
  }
  return room;
}

template <>
inline const bfloat16* read_row(const Kernels& k, const Operand& x, index_t row, index_t first, index_t count,
                                bfloat16* room) {
  const index_t at = row * x.stride + first;
  if (x.storage == Storage::bfloat16) return static_cast<const bfloat16*>(x.data) + at;
  if (x.storage == Storage::float32) {
    k.narrow(static_cast<const float*>(x.data) + at, count, room);
  } else if (x.storage == Storage::coded) {
    x.decoder->to_bfloat16(x.data, at, count, room);
  } else {
    float wide[64];
    for (index_t i = 0; i < count; i += 64) {
      const index_t part = std::min<index_t>(64, count - i);
      k.narrow(read_row<float>(k, x, row, first + i, part, wide), part, room + i);
    }
  }
  return room;
}

template <>
inline const double* read_row(const Kernels& k, const Operand& x, index_t row, index_t first, index_t count,
                              double* room) {
  if (x.storage == Storage::float64) return static_cast<const double*>(x.data) + row * x.stride + first;
  float wide[64];
  for (index_t i = 0; i < count; i += 64) {
    const index_t part = std::min<index_t>(64, count - i);
    const float* from = read_row<float>(k, x, row, first + i, part, wide);
    for (index_t j = 0; j < part; ++j) room[i + j] = static_cast<double>(from[j]);
  }
  return room;
}

/// Prefetches one of `pieces` parts of stored rows [row, row + rows), elements [first, first + count).
inline void fetch(const Operand& x, index_t row, index_t rows, index_t first, index_t count, index_t piece,
                  index_t pieces) {
  const index_t size = bytes_of(x.storage), stride = x.stride * size;
  const char* from = static_cast<const char*>(x.data) + (row * x.stride + first) * size;
  const index_t lines = (count * size + 63) / 64, all = rows * lines, begin = piece * all / pieces;
  index_t r = lines == 0 ? 0 : begin / lines, line = lines == 0 ? 0 : begin % lines;
  for (index_t i = begin; i < (piece + 1) * all / pieces; ++i) {
    __builtin_prefetch(from + r * stride + 64 * line, 0, 2);
    if (++line == lines) line = 0, ++r;
  }
}

/// The same for a coded weight; a part is some whole rows.
inline void fetch_coded(const Operand& x, index_t row, index_t rows, index_t first, index_t count, index_t piece,
                        index_t pieces) {
  if (x.decoder->fetch == nullptr) return;
  for (index_t r = piece * rows / pieces; r < (piece + 1) * rows / pieces; ++r) {
    x.decoder->fetch(x.data, (row + r) * x.stride + first, count);
  }
}

/// A packer of operands into the panels of one kernel.
template <Stored E>
class Packer {
 public:
  /// Returns the required size of `room`.
  static index_t room(const Panel<E>& panel) { return 2 * 16 * std::max({panel.depth, panel.columns, panel.rows}); }

  Packer(const Kernels& kernels, const Panel<E>& panel, E* room) : k_(kernels), panel_(panel), room_(room) {}

  /// Packs rows [row, row + rows) of op(A), steps [step, step + steps), strip by strip, in chunks of a row.
  void pack_a(const Operand& a, index_t row, index_t rows, index_t step, index_t steps, E* to) const {
    const index_t height = panel_.rows, strip_values = height * strip_steps(steps);
    for (index_t first = 0; first < rows; first += height, to += strip_values) {
      const index_t count = std::min(height, rows - first);
      if (a.transposed) {
        strip_across(a, row + first, count, step, steps, to);
      } else {
        strip_along(a, row + first, count, step, steps, to);
      }
    }
  }

  /// Packs columns [column, column + columns) of op(B), at most those of a panel, steps [step, step + steps).
  void pack_b(const Operand& b, index_t column, index_t columns, index_t step, index_t steps, E* to) const {
    if (b.transposed) {
      slab_along(b, column, columns, step, steps, to);
    } else {
      slab_across(b, column, columns, step, steps, to);
    }
  }

  /// Returns the number of steps for which a strip of A has room.
  index_t strip_steps(index_t steps) const {
    return panel_.chunk == panel_.depth ? panel_.depth : panel_.padded(steps);
  }

 private:
  static constexpr bool pairs = std::is_same_v<E, bfloat16>;
  static constexpr index_t group = pairs ? 2 : 1;

  /// Returns the position of step p of row r in a strip.
  index_t place(index_t r, index_t p) const {
    return p / panel_.chunk * panel_.chunk * panel_.rows + r * panel_.chunk + p % panel_.chunk;
  }

  void strip_along(const Operand& a, index_t row, index_t rows, index_t step, index_t steps, E* to) const {
    const index_t filled = panel_.padded(steps), chunk = panel_.chunk;
    for (index_t r = 0; r < panel_.rows; ++r, to += chunk) {
      const E* from = r < rows ? read_row<E>(k_, a, row + r, step, steps, room_) : nullptr;
      const index_t valid = from == nullptr ? 0 : steps;
      E* there = to;
      for (index_t p = 0; p < filled; p += chunk, there += chunk * panel_.rows) {
        constexpr index_t line = 64 / static_cast<index_t>(sizeof(E));
        if (chunk == line && p + line <= valid) {
          std::memcpy(there, from + p, 64);  // one load, one store
        } else {
          const index_t room = std::min(chunk, filled - p), count = std::clamp<index_t>(valid - p, 0, room);
          if (count > 0) std::memcpy(there, from + p, static_cast<std::size_t>(count) * sizeof(E));
          if (count < room) std::fill_n(there + count, room - count, E{});
        }
      }
    }
  }

  /// Packs an A that is stored with one row per step: 16 groups of steps are transposed at a time.
  void strip_across(const Operand& a, index_t row, index_t rows, index_t step, index_t steps, E* to) const {
    const index_t filled = panel_.padded(steps);
    if (rows < panel_.rows) {  // zeros for rows beyond the end
      for (index_t p = 0; p < filled; p += panel_.chunk) {
        const index_t there = std::min(panel_.chunk, filled - p);
        for (index_t r = rows; r < panel_.rows; ++r) {
          std::fill_n(to + place(r, p), there, E{});
        }
      }
    }
    for (index_t p = 0; p < filled; p += 16 * group) {
      E* block = room_;
      const index_t groups = std::min<index_t>(16, (filled - p) / group);
      for (index_t g = 0; g < groups; ++g, block += group * rows) {
        read_group(a, row, rows, step, steps, p + g * group, room_ + 16 * group * panel_.rows, block);
      }
      turn(room_, rows, groups, rows, to + place(0, p), panel_.chunk / group);
    }
  }

  /// Reads `count` values of one step, or of two interleaved in pairs; zeros beyond the end.
  void read_group(const Operand& x, index_t first, index_t count, index_t step, index_t steps, index_t p, E* room,
                  E* to) const {
    if constexpr (pairs) {
      const E* even = read_or_zero(x, step + p, p < steps, first, count, room);
      const E* odd = read_or_zero(x, step + p + 1, p + 1 < steps, first, count, room + count);
      k_.interleave(even, odd, count, to);
    } else {
      const E* from = read_or_zero(x, step + p, p < steps, first, count, room);
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(E));
    }
  }
  const E* read_or_zero(const Operand& x, index_t row, bool there, index_t first, index_t count, E* room) const {
    if (there) return read_row<E>(k_, x, row, first, count, room);
    std::fill_n(room, count, E{});
    return room;
  }

  /// Transposes: to[j][i] = from[i][j] in units of a group; strides are in groups.
  void turn(const E* from, index_t stride, index_t rows, index_t columns, E* to, index_t to_stride) const {
    if constexpr (sizeof(E) * group == 4) {
      k_.transpose(reinterpret_cast<const Word*>(from), stride, rows, columns, reinterpret_cast<Word*>(to), to_stride);
    } else {
      for (index_t i = 0; i < rows; ++i) {
        for (index_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * stride + j];
      }
    }
  }

  /// Packs a B that is stored with one row per column: 16 columns are transposed at a time.
  void slab_along(const Operand& b, index_t column, index_t columns, index_t step, index_t steps, E* to) const {
    const index_t filled = panel_.padded(steps), width = panel_.columns;
    const bool in_place = b.storage == storage_of<E> && filled == steps && b.stride % group == 0;
    for (index_t first = 0; first < width; first += 16) {
      const index_t count = std::clamp<index_t>(columns - first, 0, 16);
      const E* from = room_;
      index_t stride = filled;
      if (in_place && count == 16) {
        from = static_cast<const E*>(b.data) + (column + first) * b.stride + step, stride = b.stride;
      } else {
        for (index_t j = 0; j < 16 && first + j < width; ++j) {
          E* row = room_ + j * filled;
          const E* there = j < count ? read_row<E>(k_, b, column + first + j, step, steps, row) : row;
          if (there != row) std::memcpy(row, there, static_cast<std::size_t>(steps) * sizeof(E));
          const index_t valid = j < count ? steps : 0;
          std::fill_n(row + valid, filled - valid, E{});
        }
      }
      turn(from, stride / group, std::min<index_t>(16, width - first), filled / group, to + first * group, width);
    }
  }
  /// Packs a B that is stored with one row per step.
  void slab_across(const Operand& b, index_t column, index_t columns, index_t step, index_t steps, E* to) const {
    const index_t filled = panel_.padded(steps), width = panel_.columns;
    index_t p = 0;
    if constexpr (pairs) {
      if (b.storage == storage_of<E> && columns == width) {
        k_.weave(static_cast<const E*>(b.data) + step * b.stride + column, b.stride, steps / 2, columns, to, width);
        p = steps / 2 * 2, to += p * width;
      }
    }
    for (; p < filled; p += group, to += group * width) {
      read_group(b, column, columns, step, steps, p, room_, to);
      if (columns < width) {
        std::fill_n(to + group * columns, group * (width - columns), E{});
      }
    }
  }

  const Kernels& k_;
  const Panel<E>& panel_;
  E* room_;
};

}  // namespace veneer::cpu
