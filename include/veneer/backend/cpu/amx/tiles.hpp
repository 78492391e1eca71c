// SPDX-License-Identifier: Apache-2.0
/// \file tiles.hpp
/// tile_block: a block of 32 x 32 of C in four tiles of 16 x 16, from tiles of A (16 rows of 32 bfloat16) and of B (16
/// pairs of steps by 16 columns), over any engine with eight tiles of 16 rows of 64 bytes.
///
///   tile c[i][j] += sum over p of a[i][2p] b[p][2j] + a[i][2p + 1] b[p][2j + 1]     Intel's TDPBF16PS
/// PlainTiles is such an engine in plain C++, with which packing and edges are tested on every machine.
#pragma once

#include <cstring>

#include "veneer/backend/cpu/kernels.hpp"

namespace veneer::cpu::amx {

inline constexpr index_t block_rows = 32, block_columns = 32, chunk = 32, depth = 256;

/// An engine with eight tiles in memory, and the arithmetic of the instruction up to the order of one sum.
struct PlainTiles {
  template <int C>
  static void zero() {
    std::memset(tile(C), 0, sizeof(float) * 256);
  }
  template <int C>
  static void load(const void* from, index_t stride) {
    for (index_t r = 0; r < 16; ++r) std::memcpy(tile(C) + 16 * r, static_cast<const char*>(from) + r * stride, 64);
  }
  template <int C>
  static void store(void* to, index_t stride) {
    for (index_t r = 0; r < 16; ++r) std::memcpy(static_cast<char*>(to) + r * stride, tile(C) + 16 * r, 64);
  }
  template <int C, int A, int B>
  static void multiply() {
    for (int i = 0; i < 16; ++i) {
      for (int p = 0; p < 16; ++p) {
        bfloat16 a[2], b[2];
        std::memcpy(static_cast<void*>(a), tile(A) + 16 * i + p, 4);
        for (int j = 0; j < 16; ++j) {
          std::memcpy(static_cast<void*>(b), tile(B) + 16 * p + j, 4);
          float& c = tile(C)[16 * i + j];
          c += static_cast<float>(a[0]) * static_cast<float>(b[0]);
          c += static_cast<float>(a[1]) * static_cast<float>(b[1]);
        }
      }
    }
  }

 private:
  static float* tile(int number) {
    alignas(64) thread_local float tiles[8][256];
    return tiles[number];
  }
};

}  // namespace veneer::cpu::amx
