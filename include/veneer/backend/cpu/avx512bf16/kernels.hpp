// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// The kernels for AVX-512 with vdpbf16ps, which multiplies pairs of bfloat16 and adds them to a float: blocks of 12 x
/// 32 as for float, B interleaved in pairs of steps, pairs of A broadcast from memory.
#pragma once

#if defined(__x86_64__)

#include <cstring>

#include "veneer/backend/cpu/avx512/kernels.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), \
                                 apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")
#endif

namespace veneer::cpu::avx512bf16 {

inline constexpr int panel_rows = 12;
inline constexpr index_t panel_depth = 512;

template <int NV>
inline void panel_block(const Block<bfloat16>& block) {
  __m512 sum[std::size_t{panel_rows}][std::size_t{NV}];
#pragma GCC unroll 16
  for (int i = 0; i < panel_rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) sum[i][v] = _mm512_setzero_ps();
  }
  const bfloat16* a = block.a;
  const bfloat16* b = block.b;
  for (index_t p = 0; p < block.steps; p += 2, a += 2, b += 64) {
    __m512i beside[std::size_t{NV}];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) beside[v] = _mm512_loadu_si512(b + 32 * v);
#pragma GCC unroll 16
    for (int i = 0; i < panel_rows; ++i) {
      int pair;
      std::memcpy(&pair, a + i * panel_depth, sizeof pair);
      const __m512i down = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        sum[i][v] = _mm512_dpbf16_ps(sum[i][v], (__m512bh)down, (__m512bh)beside[v]);
      }
    }
  }
  const __m512 scale = _mm512_set1_ps(block.scale);
  float* c = block.c;
#pragma GCC unroll 16
  for (int i = 0; i < panel_rows; ++i, c += block.c_stride) {
    if (i >= block.rows) break;
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      const __m512 product = _mm512_mul_ps(scale, sum[i][v]);
      _mm512_storeu_ps(c + 16 * v, block.add ? _mm512_add_ps(_mm512_loadu_ps(c + 16 * v), product) : product);
    }
  }
}

inline void panel(const Block<bfloat16>& block) {
  if (block.columns <= 16) {
    panel_block<1>(block);
  } else {
    panel_block<2>(block);
  }
}

constexpr Kernels make_kernels() {
  Kernels k = avx512::make_kernels();
  k.name = "avx512bf16";
  k.bfloat16_pairs = {panel_rows, 32, panel_depth, 2, panel_depth, 2, 12, panel};
  return k;
}

inline constexpr Kernels table = make_kernels();

}  // namespace veneer::cpu::avx512bf16

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
