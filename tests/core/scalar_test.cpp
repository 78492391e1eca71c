// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/scalar.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

namespace scalar_test {

using namespace veneer;

namespace {

/// The layout of a 16-bit format, to compute its values in double without the code under test.
struct Layout {
  int fraction_bits, exponent_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  int infinity() const { return ((1 << exponent_bits) - 1) << fraction_bits; }  // the magnitude's bits

  /// Returns the value of a finite magnitude, and for infinity the power of two that rounding treats it as.
  double value(int magnitude) const {
    const int exponent = magnitude >> fraction_bits;
    const int fraction = magnitude & ((1 << fraction_bits) - 1);
    const int hidden = exponent == 0 ? 0 : 1 << fraction_bits;
    return std::ldexp(hidden + fraction, (exponent == 0 ? 1 : exponent) - bias() - fraction_bits);
  }

  /// Returns the pattern nearest to `x`, ties to even: IEEE 754, section 4.3.1.
  std::uint16_t nearest(double x) const {
    const double magnitude = std::fabs(x);
    const unsigned sign = std::signbit(x) ? 0x8000u : 0u;
    int low = 0, high = infinity();  // value(low) <= magnitude < value(high)
    if (magnitude >= value(high)) return static_cast<std::uint16_t>(sign | static_cast<unsigned>(high));
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (value(middle) <= magnitude ? low : high) = middle;
    }
    const double below = magnitude - value(low), above = value(high) - magnitude;
    const int chosen = below < above ? low : above < below ? high : low % 2 == 0 ? low : high;
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(chosen));
  }
};

constexpr Layout bfloat16_layout{7, 8};
constexpr Layout half_layout{10, 5};

template <class T>
T from_pattern(unsigned pattern) {
  T value;
  value.bits = static_cast<std::uint16_t>(pattern);
  return value;
}

/// Checks all 2^16 patterns: widening is exact, and narrowing restores the pattern; a NaN keeps its sign
/// and becomes quiet.
template <class T>
int patterns_that_fail(Layout layout) {
  const unsigned quiet = 1u << (layout.fraction_bits - 1);
  int wrong = 0;
  for (unsigned pattern = 0; pattern < 65536; ++pattern) {
    const T narrow = from_pattern<T>(pattern);
    const float wide = narrow;
    const int magnitude = static_cast<int>(pattern & 0x7fffu);
    if (magnitude > layout.infinity()) {
      wrong += !(std::isnan(wide) && T(wide).bits == (pattern | quiet));
    } else if (magnitude == layout.infinity()) {
      wrong += !(std::isinf(wide) && std::signbit(wide) == (pattern > 0x7fff) && T(wide).bits == pattern);
    } else {
      const double exact = layout.value(magnitude) * (pattern > 0x7fff ? -1.0 : 1.0);
      wrong +=
          !(static_cast<double>(wide) == exact && std::signbit(wide) == (pattern > 0x7fff) && T(wide).bits == pattern);
    }
  }
  return wrong;
}

/// Checks doubles. Those next to a midpoint would be rounded to it by an intermediate conversion to float.
template <class T>
int roundings_of_double_that_fail(Layout layout) {
  int wrong = 0;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (int magnitude = 0; magnitude < layout.infinity(); ++magnitude) {
    const double low = layout.value(magnitude), high = layout.value(magnitude + 1);
    for (const double centre : {low, (low + high) / 2}) {
      for (const double x : {centre, std::nextafter(centre, infinity), std::nextafter(centre, -infinity)}) {
        wrong += T(x).bits != layout.nearest(x);
        wrong += T(-x).bits != layout.nearest(-x);
      }
    }
  }
  return wrong;
}

/// Checks values between all adjacent patterns: the midpoint, the floats next to it, and the floats next to the ends.
template <class T>
int roundings_that_fail(Layout layout) {
  int wrong = 0;
  const auto check = [&](float x) {
    wrong += T(x).bits != layout.nearest(static_cast<double>(x));
    wrong += T(-x).bits != layout.nearest(static_cast<double>(-x));
  };
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (int magnitude = 0; magnitude < layout.infinity(); ++magnitude) {
    const double low = layout.value(magnitude), high = layout.value(magnitude + 1);
    for (const double x : {low, (low + high) / 2}) {
      const float centre = static_cast<float>(x);  // exact: a float is finer
      check(centre);
      check(std::nextafter(centre, infinity));
      check(std::nextafter(centre, -infinity));
    }
  }
  return wrong;
}

}  // namespace

TEST_CASE("every pattern of a 16-bit type comes back from float") {
  CHECK(patterns_that_fail<bfloat16>(bfloat16_layout) == 0);
  CHECK(patterns_that_fail<half>(half_layout) == 0);
}

TEST_CASE("narrowing rounds to nearest, ties to even, across every step of the format") {
  CHECK(roundings_that_fail<bfloat16>(bfloat16_layout) == 0);
  CHECK(roundings_that_fail<half>(half_layout) == 0);
}

TEST_CASE("narrowing a double rounds once, across every step of the format") {
  CHECK(roundings_of_double_that_fail<bfloat16>(bfloat16_layout) == 0);
  CHECK(roundings_of_double_that_fail<half>(half_layout) == 0);
  CHECK(bfloat16(1.0 + 0x1p-8 + 0x1p-40).bits == 0x3f81);  // as a float it is a tie, which goes to the even 0x3f80
  CHECK(bfloat16(-std::numeric_limits<double>::infinity()).bits == 0xff80);
  CHECK(half(std::numeric_limits<double>::max()).bits == 0x7c00);
  CHECK(half(std::numeric_limits<double>::denorm_min()).bits == 0);
  CHECK(std::isnan(static_cast<float>(half(std::numeric_limits<double>::quiet_NaN()))));
}

TEST_CASE("widening a half makes a NaN quiet, widening a bfloat16 keeps every bit") {
  CHECK(std::bit_cast<std::uint32_t>(static_cast<float>(from_pattern<half>(0xfc01))) == 0xffc02000u);
  CHECK(std::bit_cast<std::uint32_t>(static_cast<float>(from_pattern<bfloat16>(0xff81))) == 0xff810000u);
}

TEST_CASE("narrowing agrees with exact rounding on floats of every size") {
  int wrong = 0;
  std::uint32_t bits = 0;
  for (int i = 0; i < 200000; ++i) {
    bits += 0x9E3779B9u;  // walks all exponents and fractions
    const float x = std::bit_cast<float>(bits);
    if (std::isnan(x)) continue;
    wrong += bfloat16(x).bits != bfloat16_layout.nearest(static_cast<double>(x));
    wrong += half(x).bits != half_layout.nearest(static_cast<double>(x));
  }
  CHECK(wrong == 0);
}

TEST_CASE("the ends of the formats") {
  CHECK(half(65519.99f).bits == 0x7bff);  // 65504, the largest
  CHECK(half(65520.0f).bits == 0x7c00);   // half a step past it: infinity
  CHECK(half(-std::numeric_limits<float>::infinity()).bits == 0xfc00);
  CHECK(half(std::ldexp(1.0f, -24)).bits == 1);  // the smallest subnormal
  CHECK(half(std::ldexp(1.0f, -25)).bits == 0);  // a tie, to even
  CHECK(half(-0.0f).bits == 0x8000);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(bfloat16(std::numeric_limits<float>::denorm_min()).bits == 0);
  CHECK(std::isnan(static_cast<float>(bfloat16(std::bit_cast<float>(0x7f800001u)))));  // its payload is below the cut
  CHECK(std::isnan(static_cast<float>(half(std::bit_cast<float>(0xff800001u)))));
}

TEST_CASE("names are those of checkpoints") {
  CHECK(std::string(scalar_name<float>()) == "float32");
  CHECK(std::string(scalar_name<double>()) == "float64");
  CHECK(std::string(scalar_name<bfloat16>()) == "bfloat16");
  CHECK(std::string(scalar_name<half>()) == "float16");
  CHECK(std::string(scalar_name<std::int32_t>()) == "int32");
  CHECK(std::string(scalar_name<std::int64_t>()) == "int64");
}

namespace {

static_assert(Scalar<bfloat16> && Scalar<std::int64_t> && !Scalar<bool> && !Scalar<unsigned>);
static_assert(Real<float> && Real<double> && !Real<bfloat16> && !Real<std::int32_t>);
static_assert(Stored<half> && Stored<double> && !Stored<std::int32_t>);
static_assert(std::is_same_v<compute_t<half>, float> && std::is_same_v<compute_t<double>, double>);

// Rounding is explicit; widening is implicit.
static_assert(std::is_convertible_v<bfloat16, float> && !std::is_convertible_v<float, bfloat16>);
static_assert(std::is_convertible_v<half, float> && !std::is_convertible_v<float, half>);

}  // namespace

}  // namespace scalar_test
