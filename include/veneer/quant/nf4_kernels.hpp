// SPDX-License-Identifier: Apache-2.0
/// \file nf4_kernels.hpp
/// The loops of 4-bit weights: encode a block, decode a run. Bit-identical to bitsandbytes on a CPU.
///
///   encode   absmax[b] = max |x|;   code[i] = nf4_code(x[i] * (1 / max(absmax[b], 1e-38)))     i in block b
///   decode   y[i] = value[code[i]] * scale[i / blocksize], in float, then rounded to the type of y
/// Blocks are runs of the flattened tensor and may cross its rows. A byte has two codes, the first in the high half. An
/// incomplete last block divides by its maximum and stores it as at least 1e-38; after an odd count the low half is the
/// code of 0. A NaN makes all codes of its block 15; in a block with an infinity, finite values get 7 and infinities
/// 15. Source: bitsandbytes 0.50, bitsandbytes/backends/default/ops.py.
#pragma once

#include <cstdint>

#include "veneer/backend/cpu/isa.hpp"
#include "veneer/backend/operand.hpp"
#include "veneer/quant/block_scales.hpp"
#include "veneer/quant/codebook.hpp"

namespace veneer::ops {

/// A kernel that computes the codes and the absmax of block b of x.
template <Stored From>
struct EncodeNF4Body {
  static constexpr index_t run = 32;  // the smallest block
  std::uint8_t* codes;
  float* absmax;
  const From* x;
  index_t count, blocksize;

  VENEER_HD void operator()(index_t b) const {
    const index_t begin = b * blocksize;
    const index_t end = begin + blocksize < count ? begin + blocksize : count;
    const bool full = end - begin == blocksize;
    const std::uint32_t largest = largest_magnitude(x + begin, end - begin);
    const float bounded = divisor_of(largest);
    absmax[b] = full ? detail::float_from_bits(largest) : bounded;
    if (full && largest < 0x7f800000u) {
      const float inverse = 1.0f / bounded;
      for (index_t i = begin; i < end; i += run) encode_run(i, inverse);
    } else {
      for (index_t i = begin; i < end; i += 2) encode_pair(i, bounded, full);
    }
  }

 private:
  VENEER_HD void encode_run(index_t first, float inverse) const {
    std::int32_t code[run];
    for (int i = 0; i < run; ++i) code[i] = nf4_code(static_cast<float>(x[first + i]) * inverse);
    std::uint8_t* to = codes + first / 2;
    for (int i = 0; i < run / 2; ++i) to[i] = static_cast<std::uint8_t>(code[2 * i] << 4 | code[2 * i + 1]);
  }

  VENEER_HD void encode_pair(index_t i, float bounded, bool full) const {
    const std::int32_t high = encode_one(i, bounded, full), low = i + 1 < count ? encode_one(i + 1, bounded, full) : 7;
    codes[i / 2] = static_cast<std::uint8_t>(high << 4 | low);
  }

  VENEER_HD std::int32_t encode_one(index_t i, float bounded, bool full) const {
    const float value = static_cast<float>(x[i]), s = full ? value * (1.0f / bounded) : value / bounded;
    const bool nan = (detail::bits_of_float(s) & 0x7fffffffu) > 0x7f800000u;
    return nan ? 15 : nf4_code(s);
  }
};

/// A 4-bit weight as plain pointers, for kernels.
struct PackedView {
  const std::uint8_t* codes;
  float values[16];
  ScaleView scale;
  int shift;  // log2 of the block size

  /// Returns element i of the flattened tensor.
  VENEER_HD float operator()(index_t i) const {
    const std::uint8_t byte = codes[i / 2];
    return values[i % 2 == 0 ? byte >> 4 : byte & 15] * scale(i >> shift);
  }
};

/// Decodes elements [first, first + count) on the host: whole runs of 32, each within one block, by the kernels
/// of the processor.
/// \param look_up  of cpu::Kernels, for this type
template <Stored To, class LookUp>
void decode_run(const PackedView& w, index_t first, index_t count, To* to, const LookUp& look_up) {
  constexpr index_t run = 32, together = 32;
  const index_t end = first + count;
  for (; first < end && first % run != 0; ++first) *to++ = static_cast<To>(w(first));
  while (end - first >= run) {
    const index_t runs = (end - first) / run < together ? (end - first) / run : together;
    float scales[together];
    for (index_t i = 0, before = -1; i < runs; ++i) {
      const index_t block = (first + i * run) >> w.shift;
      scales[i] = block == before ? scales[i - 1] : w.scale(block);
      before = block;
    }
    look_up(w.codes + first / 2, runs * run, w.values, scales, run, to);
    first += runs * run, to += runs * run;
  }
  for (; first < end; ++first) *to++ = static_cast<To>(w(first));
}

/// Multiplies few rows by packed codes: a sum over each block, times its scale.
inline bool nf4_dots(const PackedView& w, const CodedDots& d) {
  const cpu::Kernels& kernels = cpu::kernels();
  if (kernels.dots_codes == nullptr || d.steps % 32 != 0 || d.first % 32 != 0 || d.stride % 32 != 0) return false;
  kernels.arrange(d.a, d.rows * d.steps, d.room);
  cpu::CodeDots dots{d.steps, d.room, d.rows, w.codes, w.values, w.scale.plain, w.shift};
  dots.first = d.first, dots.stride = d.stride, dots.columns = d.columns, dots.c = d.c, dots.c_stride = d.columns;
  if (w.scale.codes == nullptr) {
    kernels.dots_codes(dots);
    return true;
  }
  float* const scales = d.room + d.rows * d.steps;  // of one row at a time
  dots.columns = 1;
  for (index_t j = 0, first = d.first; j < d.columns; ++j, first += d.stride, ++dots.c) {
    const index_t block = first >> w.shift, last = (first + d.steps - 1) >> w.shift;
    for (index_t b = block; b <= last; ++b) scales[b - block] = w.scale(b);
    dots.codes = w.codes + (block << w.shift) / 2, dots.first = first - (block << w.shift), dots.scales = scales;
    kernels.dots_codes(dots);
  }
  return true;
}

/// Returns the decoder of 4-bit weights in matmuls.
inline const RunDecoder& nf4_decoder() {
  static const RunDecoder decoder{
      [](const void* w, index_t first, index_t count, float* to) {
        decode_run(*static_cast<const PackedView*>(w), first, count, to, cpu::kernels().look_up);
      },
      [](const void* w, index_t first, index_t count, bfloat16* to) {
        decode_run(*static_cast<const PackedView*>(w), first, count, to, cpu::kernels().look_up_bfloat16);
      },
      [](const void* w, index_t first, index_t count) {
        fetch_bytes(static_cast<const PackedView*>(w)->codes + first / 2, count / 2);
      },
      [](const void* w, const CodedDots& dots) { return nf4_dots(*static_cast<const PackedView*>(w), dots); }};
  return decoder;
}

}  // namespace veneer::ops
