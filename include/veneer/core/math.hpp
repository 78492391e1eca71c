// SPDX-License-Identifier: Apache-2.0
/// \file math.hpp
/// Vectorisable exp and sigmoid: no branch, no call, no table.
///
///   e^x = 2^n * e^r,   n = round(x / ln 2),   r = x - n ln 2 in two parts (Cody and Waite),   |r| <= 0.35
/// e^r is its series to r^7, whose remainder is below 2^-26. For float, the error is at most 2 units in the last place
/// on [-87.3, 88.3]; the result is 0 below -87.7, infinity above 88.4, and NaN for NaN. For double it is std::exp,
/// since double is used only for finite differences.
#pragma once

#include <cmath>
#include <cstdint>

#include "veneer/core/portable.hpp"
#include "veneer/core/scalar.hpp"

namespace veneer {

VENEER_HD inline double exponential(double x) { return std::exp(x); }

VENEER_HD inline float exponential(float x) {
  // The bounds are integer minima on the bits: a compiler compiles a comparison of floats to a branch, and a loop with
  // a branch is not vectorised.
  constexpr float shift = 12582912.0f;          // 1.5 * 2^23: adding it rounds to an integer held in the low bits
  constexpr std::uint32_t zero = 0x4b400000u;   // the bits of `shift`
  constexpr std::uint32_t floor = 0xc2b00000u;  // the bits of -88, where n is -127 and the exponent field is 0
  const std::uint32_t bits = detail::bits_of_float(x);
  const float low = detail::float_from_bits(bits < floor ? bits : floor);
  const std::uint32_t rounded = detail::bits_of_float(low * 1.44269504088896341f + shift);
  const std::uint32_t bounded =
      rounded < zero + 128u ? rounded : zero + 128u;  // n is at most 128, the exponent of infinity
  const float n = detail::float_from_bits(bounded) - shift;
  const float r = (low - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9841270e-4f;
  p = p * r + 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float value = p * detail::float_from_bits((bounded + (127u - zero)) << 23);
  const std::uint32_t nan = 0u - ((0x7f800000u - (bits & 0x7fffffffu)) >> 31);  // all ones for a NaN of either sign
  return detail::float_from_bits(detail::bits_of_float(value) | (nan & 0x7fc00000u));
}

/// Returns 1 / (1 + e^-x).
template <Real T>
VENEER_HD T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}

}  // namespace veneer
