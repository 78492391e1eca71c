// SPDX-License-Identifier: Apache-2.0
// The source of the kernels, compiled once for each instruction set: a folder includes this file in its own namespace
// and target, with vector_bytes and panel_rows for the width and number of registers. Only compiler vector types, no
// intrinsics, no lambdas (which would be compiled for the target of the includer).

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
  static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
};

/// Computes a block of panel_rows by NV vectors of C over `steps`, with each sum in the order of the steps. Source:
/// Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
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

/// Returns a vector of stored values, in the type of the sums.
template <class T>
inline typename VectorOf<T>::type load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(from);
}
template <class T>
inline typename VectorOf<T>::type load(const bfloat16* from) {
  typedef std::uint16_t Stored16 __attribute__((vector_size(vector_bytes / 2), aligned(2), may_alias));
  typedef std::uint32_t Bits __attribute__((vector_size(vector_bytes)));
  return (typename VectorOf<T>::type)(__builtin_convertvector(*reinterpret_cast<const Stored16*>(from), Bits) << 16);
}

/// Returns the first `count` values of a vector, padded with zeros, so that the last steps of a dot product are
/// computed as all others are.
template <class T, class W>
inline typename VectorOf<T>::type load_part(const W* from, index_t count) {
  W values[std::size_t{VectorOf<T>::lanes}] = {};
  std::memcpy(values, from, static_cast<std::size_t>(count) * sizeof(W));
  return load<T>(values);
}

/// Returns the sum of the lanes: halves are added, then their halves.
template <class T, int Bytes>
inline T sum_of_lanes(const void* vector) {
  typedef T Half __attribute__((vector_size(Bytes / 2)));
  Half low, high;
  std::memcpy(&low, vector, Bytes / 2);
  std::memcpy(&high, static_cast<const char*>(vector) + Bytes / 2, Bytes / 2);
  low += high;
  if constexpr (Bytes / 2 == sizeof(T)) {
    return low[0];
  } else {
    return sum_of_lanes<T, Bytes / 2>(&low);
  }
}
template <class T>
inline T sum_of_lanes(const typename VectorOf<T>::type& vector) {
  return sum_of_lanes<T, vector_bytes>(&vector);
}

/// Computes the dot products of R rows of A with one row of B, with two vectors of sums each.
template <class T, class W, int R>
inline void dot_block(const Dots<T, W>& dots, index_t row, index_t column) {
  typedef typename VectorOf<T>::type V;
  constexpr index_t lanes = VectorOf<T>::lanes, bytes = 2 * lanes * static_cast<index_t>(sizeof(W)), ahead = 4096;
  const T* a = dots.a + row * dots.a_stride;
  const W* b = dots.b + column * dots.b_stride;
  V low[std::size_t{R}], high[std::size_t{R}];
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) low[i] = V{}, high[i] = V{};
  index_t p = 0;
  for (; p + 2 * lanes <= dots.steps; p += 2 * lanes) {
#pragma GCC unroll 2
    for (index_t line = 0; line < bytes; line += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(b + p) + ahead + line, 0, 2);
    }
    const V first = load<T>(b + p), second = load<T>(b + p + lanes);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      low[i] += load<T>(a + i * dots.a_stride + p) * first;
      high[i] += load<T>(a + i * dots.a_stride + p + lanes) * second;
    }
  }
  if (p + lanes <= dots.steps) {
    const V first = load<T>(b + p);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) low[i] += load<T>(a + i * dots.a_stride + p) * first;
    p += lanes;
  }
  if (p < dots.steps) {
    const V first = load_part<T>(b + p, dots.steps - p);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) low[i] += load_part<T>(a + i * dots.a_stride + p, dots.steps - p) * first;
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
    const V sum = low[i] + high[i];
    dots.c[(row + i) * dots.c_stride + column] = sum_of_lanes<T>(sum);
  }
}

template <class T, class W>
inline void dots_of(const Dots<T, W>& dots) {
  for (index_t column = 0; column < dots.columns; ++column) {
    index_t row = 0;
    for (; row + 4 <= dots.rows; row += 4) dot_block<T, W, 4>(dots, row, column);
    if (dots.rows - row == 3) dot_block<T, W, 3>(dots, row, column);
    if (dots.rows - row == 2) dot_block<T, W, 2>(dots, row, column);
    if (dots.rows - row == 1) dot_block<T, W, 1>(dots, row, column);
  }
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

/// Transposes in blocks, so that the strided side remains in the L1 cache.
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

/// Returns the table. Constant, so that no instruction of the set runs before the processor is checked.
constexpr Kernels vector_kernels(const char* name) {
  Kernels k;
  k.name = name;
  k.float32 = {panel_rows, 2 * VectorOf<float>::lanes, panel_depth, 1, panel_depth, 1, 12, panel<float>};
  k.float64 = {panel_rows, 2 * VectorOf<double>::lanes, panel_depth, 1, panel_depth, 1, 12, panel<double>};
  k.dots = dots_of<float, float>, k.dots64 = dots_of<double, double>, k.dots_bfloat16 = dots_of<float, bfloat16>;
  k.widen = widen, k.widen_half = widen_half, k.narrow = narrow;
  k.transpose = transpose, k.interleave = interleave, k.weave = weave;
  k.look_up = look_up, k.look_up_bfloat16 = look_up_bfloat16;
  return k;
}
