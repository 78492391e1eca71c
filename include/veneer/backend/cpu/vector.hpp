// SPDX-License-Identifier: Apache-2.0
/// \file vector.hpp
/// What the kernels of products share: vectors as wide as the target of the compilation has them, by the vector types
/// of GCC and clang and without intrinsics, so one source serves SSE, AVX2, AVX-512 and NEON.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "veneer/backend/concept.hpp"

namespace veneer::cpu {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int kernel_rows = 12;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int kernel_rows = 6;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int kernel_rows = 6;
#endif

/// As many values as a register of the target holds.
template <Real T>
inline constexpr int vector_lanes = vector_bytes / static_cast<int>(sizeof(T));

template <Real T>
struct VectorOf {
  typedef T type __attribute__((vector_size(vector_bytes)));
  typedef T unaligned __attribute__((vector_size(vector_bytes), aligned(alignof(T)), may_alias));
};

template <Real T>
using Vector = typename VectorOf<T>::type;

/// A function, since a vector of zeros written out in a lambda stops the device compiler of nvcc 13.
template <Real T>
Vector<T> zero_vector() {
  return Vector<T>{};
}

/// `from` needs the alignment of T alone.
template <Real T>
Vector<T> load_vector(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(from);
}

template <Real T>
void store_vector(T* to, Vector<T> values) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(to) = values;
}

/// The block of C that a kernel writes; it may be narrower than the kernel.
template <Real T>
struct OutputBlock {
  T* data;
  index_t stride;
  index_t rows, columns;
  T alpha, beta;
};

/// f(0), f(1), ..., f(N - 1) with constants: a loop that is unrolled at every level of optimisation.
template <int N, class F>
void repeat(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
  }(std::make_integer_sequence<int, N>{});
}

}  // namespace veneer::cpu
