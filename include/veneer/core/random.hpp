// SPDX-License-Identifier: Apache-2.0
/// \file random.hpp
/// Philox4x32-10, a counter-based generator: element i of stream (seed, stream) has the same bits on every backend, at
/// any
/// thread count, in any order.
///
/// Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, table 2 and section 3.
///   counter: 128 bits (element, stream)   key: 64 bits (seed)   result: four 32-bit words
#pragma once

#include <cmath>
#include <cstdint>

#include "veneer/core/portable.hpp"

namespace veneer {

/// Names one sequence of random numbers: plain data, saved and restored with a training state.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

struct Philox {
  std::uint32_t word[4];

  /// Ten rounds on the counter (element, stream) under the key `seed`.
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

/// Element `i` of a stream, uniform in [0, 1): 24 random bits, so the value is exact in binary32.
VENEER_HD inline float uniform_at(RandomStream source, std::uint64_t i) {
  const Philox block = Philox::at(source, i / 4);
  return static_cast<float>(block.word[i % 4] >> 8) * 5.9604644775390625e-8f;  // 2^-24
}

/// Element `i` of a stream, standard normal, by Box and Muller on 32 + 32 bits in double precision.
VENEER_HD inline double normal_at(RandomStream source, std::uint64_t i) {
  const Philox block = Philox::at(source, i);
  const double u = (static_cast<double>(block.word[0]) + 1.0) * 2.3283064365386963e-10;  // (0, 1]
  const double v = static_cast<double>(block.word[1]) * 2.3283064365386963e-10;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
}

/// Draws numbers one after the other on the host: shuffles, sampling. State is plain data.
struct RandomSequence {
  RandomStream source{};
  std::uint64_t position = 0;

  std::uint32_t next() {
    const std::uint32_t value = Philox::at(source, position / 4).word[position % 4];
    ++position;
    return value;
  }

  /// Uniform in [0, bound), without bias: values past the last full multiple are drawn again.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t limit = bound == 0 ? 0 : UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
      const std::uint64_t high = next();
      const std::uint64_t value = (high << 32) | next();
      if (value < limit) return value % bound;
      if (bound == 0) return 0;
    }
  }

  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next()) * 2.3283064365386963e-10; }
};

}  // namespace veneer
