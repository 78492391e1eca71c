// SPDX-License-Identifier: Apache-2.0
/// \file random.hpp
/// Philox4x32-10, a counter-based generator: element i of stream (seed, stream) has the same bits on every backend,
/// with any number of threads, in any order.
///
/// Values are computed by operations that IEEE 754 rounds once: sums, quotients, square roots, std::fma, and
/// products that are not summed. Every compiler, library and processor gives the same bits, unless it is allowed
/// to reorder arithmetic.
///
/// Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, table 2 and section 3.
///   counter: 128 bits (element, stream)   key: 64 bits (seed)   result: four 32-bit words
#pragma once

#include <cmath>
#include <cstdint>

#include "veneer/core/portable.hpp"

namespace veneer {

/// The identifier of one sequence of random numbers: plain data, saved and restored with a training state.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

struct Philox {
  std::uint32_t word[4];

  /// Computes ten rounds on the counter (element, stream) with the key `seed`.
  VENEER_HD static Philox at(RandomStream source, std::uint64_t element) {
    std::uint32_t c0 = static_cast<std::uint32_t>(element), c1 = static_cast<std::uint32_t>(element >> 32);
    std::uint32_t c2 = static_cast<std::uint32_t>(source.stream), c3 = static_cast<std::uint32_t>(source.stream >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(source.seed), k1 = static_cast<std::uint32_t>(source.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
      const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
      const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<std::uint32_t>(p1);
      c3 = static_cast<std::uint32_t>(p0);
      c0 = n0;
      c2 = n2;
      k0 += 0x9E3779B9u;  // the Weyl constants of the paper
      k1 += 0xBB67AE85u;
    }
    return Philox{{c0, c1, c2, c3}};
  }
};

/// Returns element `i` of a stream, uniform in [0, 1): 24 random bits, so the value is exact in binary32.
VENEER_HD inline float uniform_at(RandomStream source, std::uint64_t i) {
  const Philox block = Philox::at(source, i / 4);
  return static_cast<float>(block.word[i % 4] >> 8) * 5.9604644775390625e-8f;  // 2^-24
}

namespace detail {

/// Returns c[0] + c[1] x + c[2] x^2 ..., by Horner's rule with one rounding per step.
VENEER_HD inline double polynomial(double x, double last) {
  (void)x;
  return last;
}
template <class... More>
VENEER_HD double polynomial(double x, double first, More... more) {
  return std::fma(polynomial(x, more...), x, first);
}

/// Returns the logarithm of u, to 2 units in the last place.
/// \param u  in (0, 1], with at most 33 significant bits
VENEER_HD inline double portable_log(double u) {
  double exponent = 0.0;
  for (; u < 0.7071067811865476; u *= 2.0) exponent -= 1.0;
  // log u = 2 artanh s = 2 s (1 + s^2 / 3 + s^4 / 5 + ...), |s| <= 0.1716
  const double s = (u - 1.0) / (u + 1.0), twice = 2.0 * s;
  const double rest = polynomial(s * s, 0.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                                 1.0 / 19, 1.0 / 21);
  return std::fma(exponent, 0.6931471805599453, std::fma(twice, rest, twice));
}

/// Returns cos(2 pi w / 2^32), to 2 units in the last place: the nearest quarter turn, and a series for the remainder.
VENEER_HD inline double portable_cosine(std::uint32_t w) {
  const std::uint32_t quarter = (w + 0x20000000u) >> 30;  // modulo 4
  const double x = static_cast<double>(static_cast<std::int32_t>(w - (quarter << 30))) * 1.4629180792671596e-9;
  const double xx = x * x;
  if (quarter % 2 == 0) {
    const double cosine = polynomial(xx, 1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800,
                                     1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000);
    return quarter == 0 ? cosine : -cosine;
  }
  const double rest = polynomial(xx, 0.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                                 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000);
  const double sine = std::fma(x, rest, x);
  return quarter == 1 ? -sine : sine;
}

}  // namespace detail

/// Returns element `i` of a stream, standard normal, by Box and Muller on 32 + 32 bits in double precision.
VENEER_HD inline double normal_at(RandomStream source, std::uint64_t i) {
  const Philox block = Philox::at(source, i);
  const double u = (static_cast<double>(block.word[0]) + 1.0) * 2.3283064365386963e-10;  // (0, 1]
  return std::sqrt(-2.0 * detail::portable_log(u)) * detail::portable_cosine(block.word[1]);
}

/// A sequential generator on the host, for shuffles and sampling. Its state is plain data.
struct RandomSequence {
  RandomStream source{};
  std::uint64_t position = 0;

  std::uint32_t next() {
    const std::uint32_t value = Philox::at(source, position / 4).word[position % 4];
    ++position;
    return value;
  }

  /// Returns a value uniform in [0, bound), without bias: values beyond the last full multiple are redrawn.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t limit = bound == 0 ? 0 : UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
      const std::uint64_t high = next();
      const std::uint64_t value = (high << 32) | next();
      if (value < limit) return value % bound;
      if (bound == 0) return 0;
    }
  }

  /// Returns a value uniform in [0, 1).
  double uniform() { return static_cast<double>(next()) * 2.3283064365386963e-10; }
};

}  // namespace veneer
