// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/random.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "support/catch.hpp"

namespace random_test {

using namespace veneer;

namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
  const auto wide = [](std::uint32_t low, std::uint32_t high) { return (std::uint64_t{high} << 32) | low; };
  const Philox out = Philox::at({wide(key0, key1), wide(counter[2], counter[3])}, wide(counter[0], counter[1]));
  return {out.word[0], out.word[1], out.word[2], out.word[3]};
}

struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0;
};

template <class Draw>
Moments moments(int count, const Draw& draw) {
  std::vector<double> values;
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += values.emplace_back(draw(static_cast<std::uint64_t>(i)));
  Moments m{sum / count};
  for (const double value : values) {
    const double d = value - m.mean;
    m.variance += d * d / count;
    m.skew += d * d * d / count;
    m.kurtosis += d * d * d * d / count;
  }
  return m;
}

}  // namespace

// kat_vectors of the Random123 distribution, philox4x32 with 10 rounds.
TEST_CASE("Philox gives the known answers") {
  CHECK(philox({0, 0, 0, 0}, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// The bounds on moments are six standard errors: for the mean, sigma / sqrt(n), and so on.
TEST_CASE("uniform numbers are at least 0 and below 1, and have the moments of a uniform distribution") {
  constexpr int n = 100000;
  const RandomStream source{42, 7};
  float lowest = 1, highest = 0;
  const Moments m = moments(n, [&](std::uint64_t i) {
    const float u = uniform_at(source, i);
    lowest = std::min(lowest, u), highest = std::max(highest, u);
    return static_cast<double>(u);
  });
  CHECK(lowest >= 0.0f);
  CHECK(highest < 1.0f);
  const double root = 1 / std::sqrt(double{n});
  CHECK(std::abs(m.mean - 0.5) < 6 * std::sqrt(1.0 / 12) * root);
  CHECK(std::abs(m.variance - 1.0 / 12) < 6 * std::sqrt(1.0 / 180) * root);
  CHECK(std::abs(m.skew) < 6 * std::sqrt(1.0 / 448) * root);
}

TEST_CASE("the largest uniform number is still below 1") {
  CHECK(static_cast<float>(0xffffffffu >> 8) * 5.9604644775390625e-8f < 1.0f);  // as uniform_at forms it
  CHECK(std::ldexp(uniform_at({1, 2}, 3), 24) == std::floor(std::ldexp(uniform_at({1, 2}, 3), 24)));
}

TEST_CASE("normal numbers have the moments of a normal distribution") {
  constexpr int n = 100000;
  const Moments m = moments(n, [](std::uint64_t i) { return normal_at({42, 8}, i); });
  const double root = 1 / std::sqrt(double{n});
  CHECK(std::abs(m.mean) < 6 * root);
  CHECK(std::abs(m.variance - 1) < 6 * std::sqrt(2.0) * root);
  CHECK(std::abs(m.skew) < 6 * std::sqrt(15.0) * root);
  CHECK(std::abs(m.kurtosis - 3) < 6 * std::sqrt(96.0) * root);
}

TEST_CASE("the logarithm and the cosine of normal numbers are right to two units in the last place") {
  constexpr long double turn = 6.283185307179586476925286766559005768L / 4294967296.0L;
  const auto units = [](double found, long double exact) {
    return std::abs(static_cast<double>((static_cast<long double>(found) - exact) / exact)) * 0x1p52;
  };
  double worst_log = 0.0, worst_cosine = 0.0;
  const auto check = [&](std::uint32_t w) {
    const double u = (static_cast<double>(w) + 1.0) * 0x1p-32;
    if (u < 1.0) worst_log = std::max(worst_log, units(detail::portable_log(u), std::log(static_cast<long double>(u))));
    // cos t = sin(t + turn / 4): near a zero of the cosine the argument of the sine is small, and exact
    const auto past =
        static_cast<std::int32_t>(w - 0x40000000u);  // from the zero at a quarter of a turn, minus half a turn
    const bool near = past < 0x20000000 && past >= -0x20000000;
    const long double exact = near ? -std::sin(turn * past) : std::cos(turn * w);
    if (w % 0x40000000u != 0 && (near || std::abs(exact) > 0.5L))
      worst_cosine = std::max(worst_cosine, units(detail::portable_cosine(w), exact));
  };
  for (std::uint64_t i = 0; i < 100000; ++i) check(Philox::at({4, 4}, i).word[0]);
  for (std::uint32_t i = 0; i < 1000; ++i)
    check(i), check(0x40000000u + i), check(0x3fffffffu - i), check(0xffffffffu - i);
  CHECK(worst_log <= 2.0);
  CHECK(worst_cosine <= 2.0);
  CHECK(detail::portable_log(1.0) == 0.0);
  CHECK(detail::portable_cosine(0) == 1.0);
  CHECK(detail::portable_cosine(0x40000000u) == 0.0);
  CHECK(detail::portable_cosine(0x80000000u) == -1.0);
}

TEST_CASE("normal numbers have the same bits by every compiler, for every processor") {
  const double known[] = {0x1.043b9fc4470a2p+0, 0x1.51b0100bfaba5p-1, -0x1.ef6357fa63319p-2, -0x1.bb23ad1f7444dp-1};
  for (std::uint64_t i = 0; i < 4; ++i) CHECK(normal_at({42, 8}, i) == known[i]);
  std::uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (std::uint64_t i = 0; i < 100000; ++i)
    hash = (hash ^ std::bit_cast<std::uint64_t>(normal_at({1, 2}, i))) * 1099511628211ull;
  CHECK(hash == 0xe2d1d755ac58c4aaull);
}

TEST_CASE("streams, seeds and elements give different numbers, the same ones the same") {
  std::set<double> seen;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    for (std::uint64_t stream = 0; stream < 4; ++stream) {
      for (std::uint64_t i = 0; i < 4; ++i) seen.insert(normal_at({seed, stream}, i));
    }
  }
  CHECK(seen.size() == 64);
  CHECK(normal_at({3, 2}, 1) == normal_at({3, 2}, 1));
  CHECK(normal_at({3, 2}, std::uint64_t{1} << 40) != normal_at({3, 2}, 0));  // the high half of the counter is used
  CHECK(normal_at({3, std::uint64_t{1} << 40}, 0) != normal_at({3, 0}, 0));
  CHECK(normal_at({std::uint64_t{1} << 40, 2}, 0) != normal_at({0, 2}, 0));
}

TEST_CASE("a sequence is its source and its position, and nothing else") {
  RandomSequence whole{{5, 6}};
  std::vector<std::uint32_t> expected;
  for (int i = 0; i < 11; ++i) expected.push_back(whole.next());
  RandomSequence resumed{{5, 6}, 7};
  for (std::size_t i = 7; i < 11; ++i) CHECK(resumed.next() == expected[i]);
  CHECK(resumed.position == whole.position);
}

TEST_CASE("numbers below a bound are spread evenly") {
  RandomSequence sequence{{9, 1}};
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) {
    const std::uint64_t value = sequence.below(7);
    REQUIRE(value < 7);
    ++counts[value];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  CHECK(chi_square < 33.1);  // six degrees of freedom: exceeded by chance once in 100,000
  CHECK(sequence.below(1) == 0);
  CHECK(sequence.below(0) == 0);
  const std::uint64_t half_and_one = (std::uint64_t{1} << 63) + 1;  // nearly half of the draws have to be repeated
  for (int i = 0; i < 100; ++i) CHECK(sequence.below(half_and_one) < half_and_one);
}

TEST_CASE("a sequence's uniform numbers are at least 0 and below 1") {
  RandomSequence sequence{{9, 2}};
  const Moments m = moments(10000, [&](std::uint64_t) { return sequence.uniform(); });
  CHECK(std::abs(m.mean - 0.5) < 6 * std::sqrt(1.0 / 12) / 100);
  sequence.position = 0;
  for (int i = 0; i < 1000; ++i) {
    const double u = sequence.uniform();
    CHECK((u >= 0 && u < 1));
  }
}

}  // namespace random_test
