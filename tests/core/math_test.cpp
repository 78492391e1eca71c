// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/math.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"

namespace math_test {

using namespace veneer;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Returns the distance of `found` from `exact` in units in the last place of a float.
double units_of_the_last_place(float found, double exact) {
  const double unit = std::ldexp(1.0, std::max(std::ilogb(exact), -126) - 23);
  return std::abs(static_cast<double>(found) - exact) / unit;
}

struct Worst {
  double error = 0;
  float at = 0;
  void look(float x) {
    const double units = units_of_the_last_place(exponential(x), std::exp(static_cast<double>(x)));
    if (units > error) error = units, at = x;
  }
};

}  // namespace

TEST_CASE("exponential stays within 2 units in the last place") {
  Worst worst;
  for (std::uint32_t bits = std::bit_cast<std::uint32_t>(1e-8f); bits < std::bit_cast<std::uint32_t>(88.3f);
       bits += 331) {
    const float x = std::bit_cast<float>(bits);
    worst.look(x);
    if (x < 87.3f) worst.look(-x);
  }
  for (int i = -871000; i <= 882000; ++i) worst.look(static_cast<float>(i) * 1e-4f);
  INFO("at " << worst.at);
  CHECK(worst.error <= 2.0);
}

TEST_CASE("exponential at the borders of its cut is continuous") {
  Worst worst;
  for (int n = -125; n <= 126; ++n) {  // round(x / ln 2) changes at n + 1/2
    float x = static_cast<float>((n + 0.5) * 0.6931471805599453);
    for (int step = 0; step < 8; ++step) x = std::nextafter(x, -infinity);
    for (int step = 0; step < 16; ++step) worst.look(x = std::nextafter(x, infinity));
  }
  INFO("at " << worst.at);
  CHECK(worst.error <= 2.0);
}

TEST_CASE("exponential is 0 far below, infinite far above, 1 at 0") {
  CHECK(exponential(0.0f) == 1.0f);
  CHECK(exponential(-0.0f) == 1.0f);
  CHECK(exponential(std::numeric_limits<float>::denorm_min()) == 1.0f);
  for (const float x :
       {-87.8f, -88.0f, -88.1f, -100.0f, -1000.0f, -1e30f, -std::numeric_limits<float>::max(), -infinity}) {
    CAPTURE(x);
    CHECK(exponential(x) == 0.0f);
    CHECK_FALSE(std::signbit(exponential(x)));
  }
  for (const float x : {88.8f, 89.0f, 100.0f, 1000.0f, 1e30f, std::numeric_limits<float>::max(), infinity}) {
    CAPTURE(x);
    CHECK(exponential(x) == infinity);
  }
}

TEST_CASE("between the last normal number and 0, exponential falls and never jumps up") {
  float before = exponential(-87.3f);
  for (float x = -87.3f; x > -88.2f; x -= 1e-3f) {
    const float value = exponential(x);
    CAPTURE(x);
    CHECK(value <= before);
    CHECK(value >= 0.0f);
    before = value;
  }
  before = exponential(88.0f);
  for (float x = 88.0f; x < 89.0f; x += 1e-3f) {
    const float value = exponential(x);
    CAPTURE(x);
    CHECK(value >= before);
    before = value;
  }
}

TEST_CASE("exponential of a NaN of either sign and any payload is a NaN") {
  for (const std::uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu}) {
    CAPTURE(bits);
    CHECK(std::isnan(exponential(std::bit_cast<float>(bits))));
  }
}

TEST_CASE("exponential in double is the library's") {
  for (const double x : {-745.0, -1.0, 0.0, 1e-300, 3.5, 709.0}) CHECK(exponential(x) == std::exp(x));
}

TEST_CASE("sigmoid lies between 0 and 1, and sigmoid(x) + sigmoid(-x) is 1") {
  for (float x = -200.0f; x <= 200.0f; x += 0.37f) {
    const float s = sigmoid(x);
    CAPTURE(x);
    CHECK((s >= 0.0f && s <= 1.0f));
    CHECK(std::abs(s + sigmoid(-x) - 1.0f) <= 2e-7f);  // each is off by at most 3 roundings of 2^-25 of 1
    const double exact = 1 / (1 + std::exp(-static_cast<double>(x)));
    CHECK(std::abs(static_cast<double>(s) - exact) <= 4e-7 * exact + 1e-38);
  }
  CHECK(sigmoid(0.0) == 0.5);
  CHECK(std::isnan(sigmoid(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace math_test
