// SPDX-License-Identifier: Apache-2.0
/// \file scalar.hpp
/// The element types of tensors: float, double, bfloat16, half, integers for token ids, and bytes for packed codes.
///
/// bfloat16 is the upper half of a binary32: sign, 8 bits of exponent, 7 of fraction. half is IEEE 754 binary16: 5 and
/// 10 bits. Both are storage types: they convert to float exactly, and from float and double with one rounding, to
/// nearest even; arithmetic is done in float. double exists for finite differences. Conversions of a NaN give a NaN
/// with the same sign. Narrowing makes it quiet, and so does widening a half, like the instructions of processors;
/// widening a bfloat16 keeps every bit.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "veneer/core/portable.hpp"

namespace veneer {

namespace detail {
VENEER_HD inline float float_from_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}
VENEER_HD inline std::uint32_t bits_of_float(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  return std::bit_cast<std::uint32_t>(value);
#endif
}

/// Returns a float that rounds to any narrower type like the double itself: the double rounded towards 0, with the last
/// bit set if that is not exact (rounding to odd). Rounding to the nearest float first would round twice.
VENEER_HD inline float float_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  const double back = static_cast<double>(nearest);
  if (back == value || value != value) return nearest;
  const bool beyond = value < 0.0 ? back < value : back > value;
  return float_from_bits((bits_of_float(nearest) - (beyond ? 1u : 0u)) | 1u);
}
}  // namespace detail

/// A 16-bit float with the upper half of a binary32.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  VENEER_HD explicit bfloat16(float value) {
    const std::uint32_t wide = detail::bits_of_float(value);
    const bool nan = (wide & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
    bits = static_cast<std::uint16_t>(nan ? (wide >> 16) | 0x40u : rounded);  // a NaN remains a NaN
  }
  template <std::same_as<double> Double>
  VENEER_HD explicit bfloat16(Double value) : bfloat16(detail::float_to_odd(value)) {}
  VENEER_HD operator float() const { return detail::float_from_bits(static_cast<std::uint32_t>(bits) << 16); }
};

/// A 16-bit float in the format IEEE binary16.
struct half {
  std::uint16_t bits = 0;

  half() = default;
  VENEER_HD explicit half(float value) {
    const std::uint32_t wide = detail::bits_of_float(value);
    const std::uint32_t sign = (wide >> 16) & 0x8000u;
    const std::uint32_t magnitude = wide & 0x7fffffffu;
    // All cases are computed and one is selected, without a branch, so that loops vectorise.
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    // Adding 0.5 makes the hardware round at 2^-24, the step of the subnormals.
    const std::uint32_t subnormal = detail::bits_of_float(detail::float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    std::uint32_t out = magnitude >= 0x38800000u ? normal : subnormal;
    out = magnitude >= 0x477ff000u ? 0x7c00u : out;  // rounds to more than 65504
    out = magnitude > 0x7f800000u ? nan : out;
    bits = static_cast<std::uint16_t>(sign | out);
  }
  template <std::same_as<double> Double>
  VENEER_HD explicit half(Double value) : half(detail::float_to_odd(value)) {}
  VENEER_HD operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
    const float scaled = detail::float_from_bits(magnitude) * 5.192296858534828e33f;  // 2^112, exact; no branch
    const std::uint32_t top = magnitude > 0x0f800000u    ? 0x7fc00000u                // NaN
                              : magnitude == 0x0f800000u ? 0x7f800000u                // infinity
                                                         : 0u;
    return detail::float_from_bits(sign | detail::bits_of_float(scaled) | top);
  }
};

static_assert(sizeof(bfloat16) == 2 && sizeof(half) == 2);

/// The element types of tensors.
template <class T>
concept Scalar =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bfloat16> || std::same_as<T, half> ||
    std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> || std::same_as<T, std::uint8_t>;

/// The types of arithmetic.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// The storage types of weights: a Real, or one of the 16-bit types that widen to float.
template <class T>
concept Stored = Real<T> || std::same_as<T, bfloat16> || std::same_as<T, half>;

/// The type that arithmetic on a T is done in: float for 16-bit storage, else T.
template <Stored T>
using compute_t = std::conditional_t<std::same_as<T, double>, double, float>;

/// Returns the name of a type in frameworks and checkpoints, such as "float32".
template <Scalar T>
constexpr const char* scalar_name() {
  if constexpr (std::same_as<T, float>) return "float32";
  if constexpr (std::same_as<T, double>) return "float64";
  if constexpr (std::same_as<T, bfloat16>) return "bfloat16";
  if constexpr (std::same_as<T, half>) return "float16";
  if constexpr (std::same_as<T, std::int32_t>) return "int32";
  if constexpr (std::same_as<T, std::int64_t>) return "int64";
  if constexpr (std::same_as<T, std::uint8_t>) return "uint8";
}

}  // namespace veneer
