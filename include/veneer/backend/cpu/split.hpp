// SPDX-License-Identifier: Apache-2.0
/// \file split.hpp
/// A matmul of a bfloat16 matrix with a few float columns, to float accuracy, by bfloat16 tiles.
///
///   b = b1 + b2 + b3, each with 8 of the 24 bits of b, so  A b = A b1 + A b2 + A b3  with exact products
/// A is read once in its storage type. DoRA's norms have this form. Infinities and NaNs are preserved.
#pragma once

#include <cstring>

#include "veneer/backend/cpu/tile.hpp"

namespace veneer::cpu {

class SplitMatmul {
 public:
  static bool suits(const Kernels& k, const Matmul& p) {
    const Term& t = p.terms[0];
    const bool stored = t.a.storage == Storage::bfloat16 && !t.a.transposed && t.b.storage == Storage::float32;
    return k.bfloat16_pairs.in_place && p.arithmetic == Storage::float32 && p.count == 1 && t.scale != 0.0 && stored &&
           3 * p.n <= 64 && p.m >= 256 && t.k >= 256;
  }

  explicit SplitMatmul(const Matmul& p) : p_(p), room_(allocate<std::uint8_t>(bytes(p))) {
    sums_ = reinterpret_cast<float*>(room_.get());
    parts_ = reinterpret_cast<bfloat16*>(sums_ + 3 * p.m * p.n);
    const Term& t = p.terms[0];
    const float* b = static_cast<const float*>(t.b.data);
    for (index_t j = 0; j < p.n; ++j) {
      for (index_t i = 0; i < t.k; ++i) split(t.b.transposed ? b[j * t.b.stride + i] : b[i * t.b.stride + j], j, i);
    }
  }

  static index_t bytes(const Matmul& p) { return 12 * p.m * p.n + 6 * p.terms[0].k * p.n; }

  /// Returns the matmul A [b1 b2 b3], with sums in float.
  static Matmul inner(const Matmul& p, const bfloat16* parts, float* sums) {
    Matmul inner{.arithmetic = Storage::bfloat16, .m = p.m, .n = 3 * p.n};
    inner.terms[0] = {p.terms[0].a, operand(parts, p.terms[0].k, true), p.terms[0].k, p.terms[0].scale};
    inner.c = sums, inner.ldc = inner.n;
    return inner;
  }
  Matmul inner() const { return inner(p_, parts_, sums_); }

  /// Computes C = beta C + the three sums.
  void finish(const Kernels& k) const {
    float total[64];
    for (index_t i = 0; i < p_.m; ++i) {
      const float* sums = sums_ + 3 * p_.n * i;
      load_sums(p_, total, i, 0, p_.n);
      for (index_t j = 0; j < p_.n; ++j) total[j] += sums[j] + (sums[p_.n + j] + sums[2 * p_.n + j]);
      store_sums(k, p_, total, i, 0, p_.n);
    }
  }

 private:
  void split(float value, index_t column, index_t step) const {
    const index_t k = p_.terms[0].k;
    for (index_t part = 0; part < 3; ++part) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
      bfloat16& to = parts_[(part * p_.n + column) * k + step];
      to.bits = static_cast<std::uint16_t>(bits >> 16 | (!finite && (bits & 0x7fffffu) != 0 ? 0x40u : 0u));
      value = finite ? value - static_cast<float>(to) : 0.0f;
    }
  }

  const Matmul& p_;
  std::shared_ptr<std::uint8_t> room_;
  float* sums_;
  bfloat16* parts_;
};

}  // namespace veneer::cpu
