// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// Kernels: the table of matmul kernels of an instruction set, with one folder for each (generic, avx2, avx512,
/// avx512bf16, amx). The functions are compiled for their instruction set whatever the flags of the program, so one
/// binary is fast on every processor, and files compiled with different flags may be linked into one program.
#pragma once

#include <cstdint>
#include <cstring>

#include "veneer/backend/concept.hpp"

namespace veneer::cpu {

/// Four bytes of any type, also of two bfloat16 at an even address.
typedef std::uint32_t Word __attribute__((may_alias, aligned(2)));

/// A block of a matmul held in registers: C += scale A B, or C = scale A B, over `steps`.
/// A and B are packed, see Panel; C is in the type of the sums, with `c_stride` between rows.
template <Stored E>
struct Block {
  index_t steps = 0;
  const E* a = nullptr;
  index_t a_row = 0, a_chunk = 0;  // distances of rows and chunks of A, if a panel reads it in place
  const E* b = nullptr;
  index_t b_step = 0;  // distance of steps of B: above the columns of a panel if float is read in place
  compute_t<E>* c = nullptr;
  index_t c_stride = 0;
  index_t rows = 0, columns = 0;  // valid ones; panels are filled with zeros
  compute_t<E> scale = 1;
  bool add = false;
};

/// A kernel and the form of its operands:
///   A   (rows, steps) in chunks: [steps / chunk][rows][chunk]
///   B   (steps, columns) in groups: [steps / group][columns][group]
template <Stored E>
struct Panel {
  index_t rows = 0, columns = 0;
  index_t chunk = 0, group = 1;
  index_t depth = 0;     // largest number of steps of a block
  index_t multiple = 1;  // steps are padded with zeros to a multiple of this
  index_t few = 0;       // largest number of rows for which dot products of stored rows are faster
  void (*run)(const Block<E>&) = nullptr;
  void (*enter)() = nullptr;  // before the blocks of a task, and after them; may be null
  void (*leave)() = nullptr;
  bool in_place = false;  // full strips of A may be read in their storage, in whole chunks
  index_t slabs = 1;      // panels of B packed together, so that rows of B are read in longer runs

  index_t padded(index_t steps) const { return round_up(steps, multiple); }
};

/// The matmul C[i, j] = sum over p of A[i, p] B[j, p], with B in its storage type. The order of a sum depends only
/// on the steps.
template <Real T, Stored W = T>
struct Dots {
  index_t steps = 0;
  const T* a = nullptr;
  index_t a_stride = 0, rows = 0;
  const W* b = nullptr;
  index_t b_stride = 0, columns = 0;
  T* c = nullptr;
  index_t c_stride = 0;
};

/// C[i, j] = sum over p of A[i, p] values[code e] scales[e / block], e = first + j stride + p: rows of 4-bit codes.
/// steps, first, stride and block: multiples of 32
struct CodeDots {
  index_t steps = 0;
  const float* a = nullptr;  // (rows, steps), in the order of `arrange`
  index_t rows = 0;
  const std::uint8_t* codes = nullptr;  // two per byte, the first in the high half
  const float* values = nullptr;        // (16)
  const float* scales = nullptr;
  int shift = 6;  // log2 of block
  index_t first = 0, stride = 0, columns = 0;
  float* c = nullptr;
  index_t c_stride = 0;
};

struct Kernels {
  const char* name = "";
  Panel<float> float32;
  Panel<double> float64;
  Panel<bfloat16> bfloat16_pairs;  // run is null if bfloat16 is not faster than float
  void (*dots)(const Dots<float>&) = nullptr;
  void (*dots64)(const Dots<double>&) = nullptr;
  void (*dots_bfloat16)(const Dots<float, bfloat16>&) = nullptr;
  /// Null if decoding a row first is as fast.
  void (*dots_codes)(const CodeDots&) = nullptr;
  void (*arrange)(const float* from, index_t count, float* to) = nullptr;  // count: a multiple of 16
  // Conversion of `count` values to another type.
  void (*widen)(const bfloat16* from, index_t count, float* to) = nullptr;
  void (*widen_half)(const half* from, index_t count, float* to) = nullptr;
  void (*narrow)(const float* from, index_t count, bfloat16* to) = nullptr;
  /// Like `narrow`, with stores that bypass the caches; call fence() before another thread reads. May be null.
  void (*narrow_past)(const float* from, index_t count, bfloat16* to) = nullptr;
  void (*fence)() = nullptr;
  /// to[j * to_stride + i] = from[i * stride + j]    i < rows <= 16   j < columns
  void (*transpose)(const Word* from, index_t stride, index_t rows, index_t columns, Word* to,
                    index_t to_stride) = nullptr;
  /// Interleaves pairs of rows like `interleave`, for at most the columns of a panel; rows of `from` are `stride`
  /// apart, those of `to` 2 * width.
  void (*weave)(const bfloat16* from, index_t stride, index_t pairs, index_t columns, bfloat16* to,
                index_t width) = nullptr;
  /// to[2 i] = even[i], to[2 i + 1] = odd[i]
  void (*interleave)(const bfloat16* even, const bfloat16* odd, index_t count, bfloat16* to) = nullptr;
  /// to[i] = values[code i] * scales[i / block], two codes per byte, the first in the high half.  count: a
  /// multiple of 32
  void (*look_up)(const std::uint8_t* codes, index_t count, const float* values, const float* scales, index_t block,
                  float* to) = nullptr;
  void (*look_up_bfloat16)(const std::uint8_t* codes, index_t count, const float* values, const float* scales,
                           index_t block, bfloat16* to) = nullptr;
};

}  // namespace veneer::cpu
