// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// The kernels for AMX: bfloat16 in tiles (tiles.hpp), the others as for AVX-512.
#pragma once

#if defined(__x86_64__)

#include "veneer/backend/cpu/amx/tiles.hpp"
#include "veneer/backend/cpu/avx512/kernels.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16"))), \
                                 apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16")
#endif

namespace veneer::cpu::amx {

/// The tiles of the processor, used through inline assembler: the intrinsics of g++ accept no template constants, and
/// do not declare the memory that they read.
struct HardwareTiles {
  template <int C>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(C));
  }
  template <int C>
  static void load(const void* from, index_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(C) : "memory");
  }
  template <int C>
  static void store(void* to, index_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(C) : "memory");
  }
  template <int C, int A, int B>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
  }
};

#include "veneer/backend/cpu/amx/tile_block.inl"

/// Configures eight tiles of 16 rows of 64 bytes, until leave().
inline void enter() {
  struct alignas(64) {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } const shape;
  asm volatile("ldtilecfg %0" ::"m"(shape));
}
inline void leave() { asm volatile("tilerelease"); }

constexpr Kernels make_kernels() {
  Kernels k = avx512::make_kernels();
  k.name = "amx";
  k.bfloat16_pairs = {block_rows, block_columns, chunk, 2, depth, chunk, 4, tile_block<HardwareTiles>,
                      enter,      leave,         true,  16};
  return k;
}

inline constexpr Kernels table = make_kernels();

}  // namespace veneer::cpu::amx

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
