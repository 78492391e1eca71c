// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// The kernels for AVX-512: blocks of 12 x 32 in 24 of 32 registers; table lookups and transposes in registers.
#pragma once

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // false alarms in g++ 12's own AVX-512 intrinsics
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "veneer/backend/cpu/kernels.hpp"

#if defined(__CUDACC__)
#pragma nv_diag_suppress 1675
#endif
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
                                 apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace veneer::cpu::avx512 {

inline constexpr int vector_bytes = 64, panel_rows = 12;
inline constexpr index_t panel_depth = 256;

#include "veneer/backend/cpu/vector_kernels.inl"

/// Loads 16 words into a register, with zeros after `count`.
inline __m512i load_words(const Word* from, index_t count) {
  return count >= 16 ? _mm512_loadu_si512(from)
                     : _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << count) - 1), from);
}

/// Transposes 16 rows of up to 16 words: pairs of rows are interleaved at 32, 64, 128 and 256 bits.
inline void transpose_16(const Word* from, index_t stride, index_t columns, Word* to, index_t to_stride) {
  __m512i x[16], y[16];
  for (int i = 0; i < 16; ++i) x[i] = load_words(from + i * stride, columns);
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {  // lanes 0 and 2, 1 and 3 of rows 4 apart
    y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    x[i + 4] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0x88);
    x[i + 12] = _mm512_shuffle_i32x4(y[i + 4], y[i + 12], 0xdd);
  }
  for (int i = 0; i < 16; ++i) {
    if (i < columns) _mm512_storeu_si512(to + i * to_stride, x[i]);
  }
}

inline void transpose_fast(const Word* from, index_t stride, index_t rows, index_t columns, Word* to,
                           index_t to_stride) {
  if (rows < 16) return transpose(from, stride, rows, columns, to, to_stride);
  for (index_t j = 0; j < columns; j += 16) {
    transpose_16(from + j, stride, columns - j, to + j * to_stride, to_stride);
  }
}

/// Returns the order that interleaves 16 words of two registers: indices of the second have 0x20 added.
inline __m512i weave_order() {
  const __m512i even = _mm512_cvtepu16_epi32(_mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  return _mm512_or_si512(even, _mm512_slli_epi32(_mm512_or_si512(even, _mm512_set1_epi32(0x20)), 16));
}

inline void interleave_fast(const bfloat16* even, const bfloat16* odd, index_t count, bfloat16* to) {
  const __m512i order = weave_order();
  index_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(even + i));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(odd + i));
    const __m512i wide_low = _mm512_castsi256_si512(low), wide_high = _mm512_castsi256_si512(high);
    _mm512_storeu_si512(to + 2 * i, _mm512_permutex2var_epi16(wide_low, order, wide_high));
  }
  interleave(even + i, odd + i, count - i, to + 2 * i);
}

inline void weave_fast(const bfloat16* from, index_t stride, index_t pairs, index_t columns, bfloat16* to,
                       index_t width) {
  if (columns != 32) return weave(from, stride, pairs, columns, to, width);
  const __m512i low = weave_order(), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (index_t p = 0; p < pairs; ++p, from += 2 * stride, to += 2 * width) {
    __builtin_prefetch(from + 16 * stride);
    __builtin_prefetch(from + 17 * stride);
    const __m512i even = _mm512_loadu_si512(from), odd = _mm512_loadu_si512(from + stride);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, low, odd));
    _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(even, high, odd));
  }
}

inline void widen_fast(const bfloat16* from, index_t count, float* to) {
  index_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm512_storeu_si512(to + i, _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  widen(from + i, count - i, to + i);
}

inline void widen_half_fast(const half* from, index_t count, float* to) {
  index_t i = 0;
  for (; i + 16 <= count; i += 16) {
    _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i))));
  }
  widen_half(from + i, count - i, to + i);
}

/// Rounds 16 values to nearest even; a NaN remains a NaN.
inline __m256i rounded(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i nan = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(is_nan, up, nan), 16));
}

inline void narrow_fast(const float* from, index_t count, bfloat16* to) {
  index_t i = 0;
  for (; i + 16 <= count; i += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), rounded(_mm512_loadu_ps(from + i)));
  }
  narrow(from + i, count - i, to + i);
}

/// Narrows with stores that bypass the caches if whole lines are written, so that large results are not read into
/// the caches first.
inline void narrow_past(const float* from, index_t count, bfloat16* to) {
  index_t i = 0;
  if (reinterpret_cast<std::uintptr_t>(to) % 64 == 0) {
    for (; i + 32 <= count; i += 32) {
      const __m256i low = rounded(_mm512_loadu_ps(from + i)), high = rounded(_mm512_loadu_ps(from + i + 16));
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
    }
  }
  narrow_fast(from + i, count - i, to + i);
}
inline void fence() { _mm_sfence(); }

/// Returns the 16 codes of 8 bytes, in order, in the low bits of 16 words.
inline __m512i codes_16(const std::uint8_t* from) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  const __m128i high = _mm_srli_epi16(bytes, 4);
  return _mm512_and_si512(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(high, bytes)), _mm512_set1_epi32(15));
}

inline void look_up_fast(const std::uint8_t* codes, index_t count, const float* values, const float* scales,
                         index_t block, float* to) {
  const __m512 entries = _mm512_loadu_ps(values);
  for (index_t begin = 0; begin < count; begin += block) {
    const __m512 scale = _mm512_set1_ps(*scales++);
    const index_t end = begin + block < count ? begin + block : count;
    for (index_t i = begin; i < end; i += 16) {
      _mm512_storeu_ps(to + i, _mm512_mul_ps(_mm512_permutexvar_ps(codes_16(codes + i / 2), entries), scale));
    }
  }
}

/// Looks up 32 codes at a time among the 16 products of a block, which are rounded before. The look-up ignores the
/// upper bits of a code.
inline void look_up_bfloat16_fast(const std::uint8_t* codes, index_t count, const float* values, const float* scales,
                                  index_t block, bfloat16* to) {
  const __m512 entries = _mm512_loadu_ps(values);
  for (index_t begin = 0; begin < count; begin += block) {
    const __m512i table = _mm512_broadcast_i64x4(rounded(_mm512_mul_ps(entries, _mm512_set1_ps(*scales++))));
    const index_t end = begin + block < count ? begin + block : count;
    for (index_t i = begin; i < end; i += 32) {
      const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i / 2)));
      const __m512i places = _mm512_or_si512(_mm512_srli_epi32(bytes, 4), _mm512_slli_epi32(bytes, 16));
      _mm512_storeu_si512(to + i, _mm512_permutexvar_epi16(places, table));
    }
  }
}

/// Writes values in the order of code_dot(): of each 16 codes, those of the first half are in even lanes.
inline void arrange(const float* from, index_t count, float* to) {
  for (index_t i = 0; i < count; i += 16) {
    for (index_t j = 0; j < 8; ++j) to[i + 2 * j] = from[i + j], to[i + 2 * j + 1] = from[i + 8 + j];
  }
}

/// Adds 16 N steps of one block to the sums of R rows of A, from element e of the codes. Eight bytes are in each pair
/// of lanes: the even lane shifts one of the first eight codes down, the odd one of the others, and the lookup
/// ignores higher bits.
template <int R, int N>
inline void code_run(const CodeDots& dots, const float* a, index_t e, __m512 values, __m512* total) {
  const __m512i shifts = _mm512_set_epi32(24, 24, 28, 28, 16, 16, 20, 20, 8, 8, 12, 12, 0, 0, 4, 4);
  const std::uint8_t* codes = dots.codes + e / 2;
  __m512 part[std::size_t{R}];
#pragma GCC unroll 4
  for (int step = 0; step < N; ++step) {
    long long bytes;
    std::memcpy(&bytes, codes + 8 * step, 8);
    const __m512 value = _mm512_permutexvar_ps(_mm512_srlv_epi32(_mm512_set1_epi64(bytes), shifts), values);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const __m512 x = _mm512_loadu_ps(a + i * dots.steps + 16 * step);
      part[i] = step == 0 ? _mm512_mul_ps(value, x) : _mm512_fmadd_ps(value, x, part[i]);
    }
  }
  const __m512 scale = _mm512_set1_ps(dots.scales[e >> dots.shift]);
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) total[i] = _mm512_fmadd_ps(part[i], scale, total[i]);
}

/// Computes the products of R rows of A with the row of codes from element e on, in runs of 64 that begin at
/// multiples of 64.
template <int R>
inline void code_dot(const CodeDots& dots, index_t row, index_t e, float* c, __m512 values) {
  const float* a = dots.a + row * dots.steps;
  const index_t end = e + dots.steps;
  __m512 total[std::size_t{R}];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) total[i] = _mm512_setzero_ps();
  if (dots.shift > 5) {
    if (e % 64 != 0 && e < end) code_run<R, 2>(dots, a, e, values, total), e += 32, a += 32;
    for (; e + 64 <= end; e += 64, a += 64) {
      __builtin_prefetch(dots.codes + e / 2 + 2048, 0, 2);
      code_run<R, 4>(dots, a, e, values, total);
    }
  }
  for (; e < end; e += 32, a += 32) code_run<R, 2>(dots, a, e, values, total);
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) c[(row + i) * dots.c_stride] = _mm512_reduce_add_ps(total[i]);
}

inline void dots_codes(const CodeDots& dots) {
  const __m512 values = _mm512_loadu_ps(dots.values);
  index_t e = dots.first;
  for (index_t column = 0; column < dots.columns; ++column, e += dots.stride) {
    float* c = dots.c + column;
    index_t row = 0;
    for (; row + 4 <= dots.rows; row += 4) code_dot<4>(dots, row, e, c, values);
    if (dots.rows - row == 3) code_dot<3>(dots, row, e, c, values);
    if (dots.rows - row == 2) code_dot<2>(dots, row, e, c, values);
    if (dots.rows - row == 1) code_dot<1>(dots, row, e, c, values);
  }
}

constexpr Kernels make_kernels() {
  Kernels k = vector_kernels("avx512");
  k.dots_codes = dots_codes, k.arrange = arrange;
  k.widen = widen_fast, k.widen_half = widen_half_fast, k.narrow = narrow_fast;
  k.narrow_past = narrow_past, k.fence = fence;
  k.transpose = transpose_fast, k.interleave = interleave_fast, k.weave = weave_fast;
  k.look_up = look_up_fast, k.look_up_bfloat16 = look_up_bfloat16_fast;
  return k;
}

inline constexpr Kernels table = make_kernels();

}  // namespace veneer::cpu::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
