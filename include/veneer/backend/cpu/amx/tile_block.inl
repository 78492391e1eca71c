// SPDX-License-Identifier: Apache-2.0
// The source of tile_block, compiled for the target of its includer.

/// Tiles 0 to 3 are C, 4 and 5 are A, 6 and 7 are B. Empty halves of the block are skipped.
template <class Tiles, bool Low, bool Right>
inline void tile_steps(const Block<bfloat16>& block) {
  constexpr index_t bytes_b = 4 * block_columns;
  const index_t bytes_a = 2 * block.a_row;
  const bfloat16* a = block.a;
  const bfloat16* b = block.b;
  for (index_t p = 0; p < block.steps; p += chunk, a += block.a_chunk, b += block_columns * chunk) {
    Tiles::template load<4>(a, bytes_a);
    Tiles::template load<6>(b, bytes_b);
    Tiles::template multiply<0, 4, 6>();
    if constexpr (Right) {
      Tiles::template load<7>(b + 32, bytes_b);
      Tiles::template multiply<1, 4, 7>();
    }
    if constexpr (Low) {
      Tiles::template load<5>(a + 16 * block.a_row, bytes_a);
      Tiles::template multiply<2, 5, 6>();
      if constexpr (Right) Tiles::template multiply<3, 5, 7>();
    }
  }
}

template <class Tiles>
inline void tile_block(const Block<bfloat16>& block) {
  const bool low = block.rows > 16, right = block.columns > 16, direct = block.scale == 1.0f;
  alignas(64) float room[block_rows * block_columns];
  float* c = direct ? block.c : room;
  const index_t stride = direct ? block.c_stride : block_columns;
  if (direct && block.add) {
    Tiles::template load<0>(c, 4 * stride);
    Tiles::template load<1>(c + 16, 4 * stride);
    Tiles::template load<2>(c + 16 * stride, 4 * stride);
    Tiles::template load<3>(c + 16 * stride + 16, 4 * stride);
  } else {
    Tiles::template zero<0>();
    Tiles::template zero<1>();
    Tiles::template zero<2>();
    Tiles::template zero<3>();
  }
  if (low) {
    right ? tile_steps<Tiles, true, true>(block) : tile_steps<Tiles, true, false>(block);
  } else {
    right ? tile_steps<Tiles, false, true>(block) : tile_steps<Tiles, false, false>(block);
  }
  Tiles::template store<0>(c, 4 * stride);
  Tiles::template store<1>(c + 16, 4 * stride);
  Tiles::template store<2>(c + 16 * stride, 4 * stride);
  Tiles::template store<3>(c + 16 * stride + 16, 4 * stride);
  if (direct) return;
  for (index_t i = 0; i < block.rows; ++i) {
    for (index_t j = 0; j < block.columns; ++j) {
      float& to = block.c[i * block.c_stride + j];
      to = block.add ? to + block.scale * room[i * block_columns + j] : block.scale * room[i * block_columns + j];
    }
  }
}
