// SPDX-License-Identifier: Apache-2.0
// The kernels as text, compiled once for each instruction set: a folder includes this inside its own namespace and
// under its own target, where vector_bytes and panel_rows say how wide and how many registers are. Compiler vector
// types, no intrinsics, no lambdas (they would be compiled for the target of the includer).

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
  static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
};

/// A block of panel_rows by NV vectors of C over `steps`, each sum in the order of the steps. Source: Goto and van de
/// Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
template <class T, int NV>
inline void panel_block(const Block<T>& block) {
  typedef typename VectorOf<T>::type V;
  typedef typename VectorOf<T>::unaligned U;
  constexpr int lanes = VectorOf<T>::lanes;
  V sum[std::size_t{panel_rows}][std::size_t{NV}];
#pragma GCC unroll 16
  for (int i = 0; i < panel_rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) sum[i][v] = V{};
  }
  const T* a = block.a;
  const T* b = block.b;
  for (index_t p = 0; p < block.steps; ++p, ++a, b += block.b_step) {
    V beside[std::size_t{NV}];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) beside[v] = *reinterpret_cast<const U*>(b + v * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < panel_rows; ++i) {
      const T down = a[i * panel_depth];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) sum[i][v] += down * beside[v];
    }
  }
  T* c = block.c;
#pragma GCC unroll 16
  for (int i = 0; i < panel_rows; ++i, c += block.c_stride) {
    if (i >= block.rows) break;
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      U& to = *reinterpret_cast<U*>(c + v * lanes);
      to = block.add ? to + block.scale * sum[i][v] : block.scale * sum[i][v];
    }
  }
}

template <class T>
inline void panel(const Block<T>& block) {
  if (block.columns <= VectorOf<T>::lanes) {
    panel_block<T, 1>(block);
  } else {
    panel_block<T, 2>(block);
  }
}

/// R rows of A against N rows of B; a sum runs in as many lanes as a vector has, folded in order at the end.
template <class T, int R, int N>
inline void dot_block(const Dots<T>& dots, index_t row) {
  typedef typename VectorOf<T>::type V;
  typedef typename VectorOf<T>::unaligned U;
  constexpr int lanes = VectorOf<T>::lanes;
  const T* a = dots.a + row * dots.a_stride;
  V sum[std::size_t{R}][std::size_t{N}];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) sum[i][j] = V{};
  }
  index_t p = 0;
  for (; p + lanes <= dots.steps; p += lanes) {
    V down[std::size_t{R}];
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) down[i] = *reinterpret_cast<const U*>(a + i * dots.a_stride + p);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      const V across = *reinterpret_cast<const U*>(dots.b + j * dots.b_stride + p);
#pragma GCC unroll 4
      for (int i = 0; i < R; ++i) sum[i][j] += down[i] * across;
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < N; ++j) {
      T total = 0;
      for (int lane = 0; lane < lanes; ++lane) total += sum[i][j][lane];
      for (index_t q = p; q < dots.steps; ++q) total += a[i * dots.a_stride + q] * dots.b[j * dots.b_stride + q];
      dots.c[(row + i) * dots.c_stride + j] = total;
    }
  }
}

template <class T, int R>
inline void dot_rows(const Dots<T>& dots, index_t row) {
  switch (dots.columns) {
    case 1: dot_block<T, R, 1>(dots, row); break;
    case 2: dot_block<T, R, 2>(dots, row); break;
    case 3: dot_block<T, R, 3>(dots, row); break;
    default: dot_block<T, R, 4>(dots, row);
  }
}

template <class T>
inline void dots_of(const Dots<T>& dots) {
  index_t row = 0;
  for (; row + 3 <= dots.rows; row += 3) dot_rows<T, 3>(dots, row);
  if (dots.rows - row == 2) dot_rows<T, 2>(dots, row);
  if (dots.rows - row == 1) dot_rows<T, 1>(dots, row);
}

inline void widen(const bfloat16* __restrict from, index_t count, float* __restrict to) {
  for (index_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}
inline void widen_half(const half* __restrict from, index_t count, float* __restrict to) {
  for (index_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}
inline void narrow(const float* __restrict from, index_t count, bfloat16* __restrict to) {
  for (index_t i = 0; i < count; ++i) to[i] = bfloat16(from[i]);
}

/// In blocks, so that the strided side stays in the first cache.
inline void transpose(const Word* from, index_t stride, index_t rows, index_t columns, Word* to, index_t to_stride) {
  for (index_t begin = 0; begin < columns; begin += 16) {
    const index_t end = columns < begin + 16 ? columns : begin + 16;
    for (index_t i = 0; i < rows; ++i) {
      for (index_t j = begin; j < end; ++j) to[j * to_stride + i] = from[i * stride + j];
    }
  }
}

inline void interleave(const bfloat16* __restrict even, const bfloat16* __restrict odd, index_t count,
                       bfloat16* __restrict to) {
  for (index_t i = 0; i < count; ++i) {
    to[2 * i] = even[i];
    to[2 * i + 1] = odd[i];
  }
}

inline void weave(const bfloat16* from, index_t stride, index_t pairs, index_t columns, bfloat16* to, index_t width) {
  for (index_t p = 0; p < pairs; ++p) {
    interleave(from + 2 * p * stride, from + (2 * p + 1) * stride, columns, to + 2 * p * width);
  }
}

inline void look_up(const std::uint8_t* codes, index_t count, const float* values, const float* scales, index_t block,
                    float* to) {
  for (index_t i = 0; i < count; i += 32) {
    const float scale = scales[i / block];
    for (index_t j = 0; j < 16; ++j) {
      const std::uint8_t byte = codes[i / 2 + j];
      to[i + 2 * j] = values[byte >> 4] * scale;
      to[i + 2 * j + 1] = values[byte & 15] * scale;
    }
  }
}

inline void look_up_bfloat16(const std::uint8_t* codes, index_t count, const float* values, const float* scales,
                             index_t block, bfloat16* to) {
  float wide[32];
  for (index_t i = 0; i < count; i += 32) {
    look_up(codes + i / 2, 32, values, scales + i / block, block, wide);
    narrow(wide, 32, to + i);
  }
}

/// Constant: no instruction of a set runs before it is known that the processor has it.
constexpr Kernels vector_kernels(const char* name) {
  Kernels k;
  k.name = name;
  k.float32 = {panel_rows, 2 * VectorOf<float>::lanes, panel_depth, 1, panel_depth, 1, 12, panel<float>};
  k.float64 = {panel_rows, 2 * VectorOf<double>::lanes, panel_depth, 1, panel_depth, 1, 12, panel<double>};
  k.dots = dots_of<float>, k.dots64 = dots_of<double>;
  k.widen = widen, k.widen_half = widen_half, k.narrow = narrow;
  k.transpose = transpose, k.interleave = interleave, k.weave = weave;
  k.look_up = look_up, k.look_up_bfloat16 = look_up_bfloat16;
  return k;
}
