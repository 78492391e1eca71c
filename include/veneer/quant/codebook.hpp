// SPDX-License-Identifier: Apache-2.0
/// \file codebook.hpp
/// The values of quantisation codes, equal to those of bitsandbytes to the bit.
///
///   NF4       16 values: quantiles of the normal distribution, scaled to [-1, 1], with an exact 0 (code 7)
///   FP4       16 values: a sign and one of 8 magnitudes / 12. Only read.
///   dynamic   256 values for the 8-bit codes of block maxima: +-10^(i-6) m_ik, i = 0..6, and 0 and 1, in order;
///             m_ik is the midpoint of step k of the 2^i equal steps from 0.1 to 1
/// A value s in [-1, 1] gets the NF4 code of the nearest value, and at the midpoint of two values the lower one.
/// Dettmers, Pagnoni, Holtzman and Zettlemoyer, "QLoRA", arXiv:2305.14314, section 3 and appendix E; Dettmers et al.,
/// "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861, section 2.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "veneer/core/scalar.hpp"

namespace veneer {

/// The code book of a 4-bit weight.
enum class CodeBook { nf4, fp4 };

/// Returns the name of a code book in checkpoints, such as "nf4".
constexpr const char* code_book_name(CodeBook book) { return book == CodeBook::nf4 ? "nf4" : "fp4"; }

inline constexpr std::array<float, 16> nf4_values{-1.0f,
                                                  -0.6961928009986877f,
                                                  -0.5250730514526367f,
                                                  -0.39491748809814453f,
                                                  -0.28444138169288635f,
                                                  -0.18477343022823334f,
                                                  -0.09105003625154495f,
                                                  0.0f,
                                                  0.07958029955625534f,
                                                  0.16093020141124725f,
                                                  0.24611230194568634f,
                                                  0.33791524171829224f,
                                                  0.44070982933044434f,
                                                  0.5626170039176941f,
                                                  0.7229568362236023f,
                                                  1.0f};

inline constexpr std::array<float, 16> fp4_values{
    0.0f, 0.0625f / 12,  8.0f / 12,  1.0f,  4.0f / 12,  6.0f / 12,  2.0f / 12,  3.0f / 12,
    0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -6.0f / 12, -2.0f / 12, -3.0f / 12};

constexpr const std::array<float, 16>& code_values(CodeBook book) {
  return book == CodeBook::nf4 ? nf4_values : fp4_values;
}

namespace detail {

/// Returns the bits of a float that is not a NaN as an integer with the same order. Comparisons of integers keep loops
/// free of branches, unlike comparisons of floats. Both zeros are between the negative and the positive numbers.
VENEER_HD constexpr std::int32_t ordered(std::uint32_t bits) {
  const auto word = static_cast<std::int32_t>(bits);
  return word ^ ((word >> 31) & 0x7fffffff);
}

/// The number of keys below `key`, as a sum of comparisons.
template <std::uint32_t... Bits>
struct CountBelow {
  VENEER_HD static std::int32_t of(std::int32_t key) {
    return (0 - ... - -static_cast<std::int32_t>(key > ordered(Bits)));
  }
};

/// The midpoints of adjacent values of NF4, (a + b) / 2 in float.
using NF4Bounds =
    CountBelow<0xbf591cd8u, 0xbf1c5270u, 0xbeeb8480u, 0xbeadea76u, 0xbe703cecu, 0xbe0d38bcu, 0xbd3a7871u, 0x3d22faffu,
               0x3df64862u, 0x3e5067e0u, 0x3e9582d4u, 0x3ec753f9u, 0x3f006d04u, 0x3f248dafu, 0x3f5c89dau>;

}  // namespace detail

/// Returns the code of a scaled value: 0 to 15.
/// \param s  not a NaN
VENEER_HD inline std::int32_t nf4_code(float s) {
  return detail::NF4Bounds::of(detail::ordered(detail::bits_of_float(s)));
}

/// Returns the 256 values of the signed dynamic map, ascending, with the roundings of torch.linspace and bitsandbytes.
inline std::array<float, 256> dynamic_map() {
  std::array<float, 256> values{};
  std::size_t count = 0;
  constexpr std::array<float, 7> powers{1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  for (int i = 0; i < 7; ++i) {
    const int steps = 1 << i;
    const float low = 0.1f, high = 1.0f, step = (high - low) / static_cast<float>(steps);
    const auto edge = [&](int k) {  // one rounding: the sum is exact in double
      return static_cast<float>(2 * k < steps + 1
                                    ? static_cast<double>(low) + static_cast<double>(step) * k
                                    : static_cast<double>(high) - static_cast<double>(step) * (steps - k));
    };
    for (int k = 0; k < steps; ++k) {
      const float value = powers[static_cast<std::size_t>(i)] * ((edge(k) + edge(k + 1)) / 2.0f);
      values[count++] = value;
      values[count++] = -value;
    }
  }
  values[count++] = 0.0f;
  values[count++] = 1.0f;
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace veneer
