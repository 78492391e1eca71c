// SPDX-License-Identifier: Apache-2.0
/// \file operand.hpp
/// Matmul: a description of the matmul C = beta C + sum of terms scale op(A) op(B), with matrices of any storage type.
///
/// A backend with the optional verb `matmul(product)` reads each operand in its storage type and rounds C once: a
/// 16-bit or 4-bit weight is never stored in another type, and y = x wᵀ + s z bᵀ is one matmul of two terms.
#pragma once

#include <cstdint>
#include <utility>

#include "veneer/backend/concept.hpp"

namespace veneer {

/// The storage type of an operand; `coded`: a quantised format with a decoder.
enum class Storage : std::uint8_t { float32, float64, bfloat16, float16, coded };

template <Stored T>
inline constexpr Storage storage_of = std::same_as<T, float>      ? Storage::float32
                                      : std::same_as<T, double>   ? Storage::float64
                                      : std::same_as<T, bfloat16> ? Storage::bfloat16
                                                                  : Storage::float16;

/// The product of few rows with rows of a coded weight: c[i, j] = sum over p of a[i, p] weight[first + j stride + p].
struct CodedDots {
  index_t steps = 0;
  const float* a = nullptr;  // (rows, steps)
  index_t rows = 0;
  index_t first = 0, stride = 0, columns = 0;
  float* c = nullptr;  // (rows, columns)
  float* room = nullptr;

  /// Returns the required number of floats in `room`.
  static index_t room_of(index_t rows, index_t steps) { return rows * steps + steps / 32 + 2; }
};

/// Prefetches `bytes` bytes.
inline void fetch_bytes(const void* from, index_t bytes) {
  for (index_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(from) + at, 0, 2);
}

/// The functions of a format that decode elements [first, first + count) of the flattened matrix `weight`.
struct RunDecoder {
  void (*to_float)(const void* weight, index_t first, index_t count, float* to) = nullptr;
  void (*to_bfloat16)(const void* weight, index_t first, index_t count, bfloat16* to) = nullptr;
  /// Prefetches elements [first, first + count); may be null.
  void (*fetch)(const void* weight, index_t first, index_t count) = nullptr;
  /// Multiplies without decoding rows first. Returns false, and does nothing, if decoding is as fast; may be null.
  bool (*dots)(const void* weight, const CodedDots&) = nullptr;
};

/// A row-major matrix in its storage type.
struct Operand {
  const void* data = nullptr;
  index_t stride = 0;  // distance between two rows, in elements
  bool transposed = false;
  Storage storage = Storage::float32;
  const RunDecoder* decoder = nullptr;  // of coded storage
};

/// Returns the bytes of an element, or 0 for coded storage.
constexpr index_t bytes_of(Storage storage) {
  switch (storage) {
    case Storage::float64: return 8;
    case Storage::float32: return 4;
    case Storage::coded: return 0;
    default: return 2;
  }
}

template <Stored T>
Operand operand(const T* data, index_t stride, bool transposed = false) {
  return {data, stride, transposed, storage_of<T>, nullptr};
}

/// scale op(A) op(B)    op(A): (m, k)   op(B): (k, n)
struct Term {
  Operand a, b;
  index_t k = 0;
  double scale = 1.0;
};

struct Matmul {
  /// The type of multiplication: float64, float32, or bfloat16. Other operands are converted to it first; sums are
  /// float, or double for float64.
  Storage arithmetic = Storage::float32;
  index_t m = 0, n = 0;
  Term terms[2]{};
  int count = 1;  // of terms
  double beta = 0.0;
  void* c = nullptr;  // (m, n), not read if beta = 0; overlaps no operand
  index_t ldc = 0;
  bool transposed = false;            // C is stored as (n, m)
  Storage stored = Storage::float32;  // of C
};

/// Returns the transposed matmul, op(B)ᵀ op(A)ᵀ.
inline Matmul transpose(Matmul p) {
  std::swap(p.m, p.n);
  p.transposed = !p.transposed;
  for (Term& term : p.terms) {
    std::swap(term.a, term.b);
    term.a.transposed = !term.a.transposed, term.b.transposed = !term.b.transposed;
  }
  return p;
}

/// The arithmetic for activations stored as T. float16 uses float32, since bfloat16 has fewer bits of precision.
template <Stored T>
inline constexpr Storage arithmetic_of = std::same_as<T, half> ? Storage::float32 : storage_of<T>;

template <Stored In, Stored Out>
Matmul matmul_of(const Gemm<In, Out>& g) {
  Matmul p{.arithmetic = arithmetic_of<In>, .m = g.m, .n = g.n};
  p.terms[0] = {operand(g.a, g.lda, g.transpose_a), operand(g.b, g.ldb, g.transpose_b), g.k,
                static_cast<double>(g.alpha)};
  p.beta = static_cast<double>(g.beta), p.c = g.c, p.ldc = g.ldc, p.stored = storage_of<Out>;
  return p;
}

}  // namespace veneer
