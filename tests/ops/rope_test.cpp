// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/rope.hpp"

#include <cmath>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace rope_test {

using namespace veneer;

namespace {

constexpr index_t half_width = 3;

/// cos and sin of position times a frequency of each pair.
template <Backend B>
struct Angles {
  Matrix<double, B> cosines, sines;
  explicit Angles(const std::vector<double>& positions) {
    std::vector<double> c, s;
    for (const double position : positions) {
      for (int i = 0; i < half_width; ++i) {
        const double angle = position * std::pow(0.3, i);
        c.push_back(std::cos(angle)), s.push_back(std::sin(angle));
      }
    }
    const auto rows = static_cast<index_t>(positions.size());
    cosines = testing::matrix_of<B>(rows, half_width, c), sines = testing::matrix_of<B>(rows, half_width, s);
  }
};

template <Backend B>
Matrix<double, B> turned(const Matrix<double, B>& x, const std::vector<double>& positions) {
  const Angles<B> angles(positions);
  return rope(x, angles.cosines, angles.sines);
}

double dot(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a turn keeps the length of every pair (i, i + d/2) of every head", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr std::size_t half = half_width, heads = 2;
  const auto x = testing::random_matrix<double, TestType>(3, heads * 2 * half, 1);
  const auto before = to_host(x), after = to_host(turned<TestType>(x, {0, 5, -2}));
  for (std::size_t head = 0; head < 3 * heads; ++head) {
    for (std::size_t i = head * 2 * half; i < head * 2 * half + half; ++i) {
      CHECK(std::hypot(after[i], after[i + half]) == Approx(std::hypot(before[i], before[i + half])).epsilon(1e-14));
    }
  }
  for (std::size_t i = 0; i < heads * 2 * half; ++i) CHECK(after[i] == before[i]);  // position 0
}

TEMPLATE_LIST_TEST_CASE("the product of two turned vectors depends on the distance of their positions alone", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto q = testing::random_matrix<double, TestType>(1, 2 * half_width, 1);
  const auto k = testing::random_matrix<double, TestType>(1, 2 * half_width, 2);
  const auto product = [&](double at_q, double at_k) {
    return dot(to_host(turned<TestType>(q, {at_q})), to_host(turned<TestType>(k, {at_k})));
  };
  for (const double distance : {0.0, 1.0, 7.0}) {
    const double expected = product(distance, 0);
    for (const double shift : {1.0, 100.0, -3.0})
      CHECK(product(distance + shift, shift) == Approx(expected).epsilon(1e-12));
  }
  CHECK(std::abs(product(1, 0) - product(0, 1)) > 1e-3);  // the direction counts
}

TEMPLATE_LIST_TEST_CASE("a turn back undoes a turn, and two turns add their angles", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(2, 4 * half_width, 3);
  CHECK(testing::largest_difference(turned<TestType>(turned<TestType>(x, {4, 9}), {-4, -9}), x) < 1e-14);
  CHECK(testing::largest_difference(turned<TestType>(turned<TestType>(x, {4, 9}), {2, 1}),
                                    turned<TestType>(x, {6, 10})) < 1e-14);
}

TEMPLATE_LIST_TEST_CASE("in a partial rotation the first features of every head turn and the others stay", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr index_t turning = 2 * half_width, width = turning + 3, heads = 2;
  const auto x = testing::random_matrix<double, TestType>(2, heads * width, 4);
  const Angles<TestType> angles({3, 8});
  const auto before = to_host(x), after = to_host(rope(x, angles.cosines, angles.sines, width));
  for (index_t token = 0; token < 2; ++token) {
    for (index_t head = 0; head < heads; ++head) {
      const auto first = before.begin() + (token * heads + head) * width;
      const auto alone = testing::matrix_of<TestType>(1, turning, std::vector<double>(first, first + turning));
      std::vector<double> expected = to_host(turned<TestType>(alone, {token == 0 ? 3.0 : 8.0}));
      expected.insert(expected.end(), first + turning, first + width);
      const auto found = after.begin() + (token * heads + head) * width;
      CHECK(std::vector<double>(found, found + width) == expected);
    }
  }
  CHECK_THROWS_AS(rope(x, angles.cosines, angles.sines, turning - 1), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("angles that do not fit are refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Angles<TestType> two({0, 1});
  const auto refuses = [&](index_t rows, index_t columns) {
    const auto x = testing::random_matrix<double, TestType>(rows, columns, 1);
    CHECK_THROWS_AS(rope(x, two.cosines, two.sines), ShapeError);
  };
  refuses(3, 2 * half_width);
  refuses(2, 2 * half_width + 1);
  refuses(2, half_width);
  const auto x = testing::random_matrix<double, TestType>(2, 2 * half_width, 1);
  CHECK_THROWS_WITH(rope(x, two.cosines, Angles<TestType>({0}).sines), Catch::Contains("(2, 6), (2, 3) and (1, 3)"));
  CHECK_THROWS_AS(
      rope(x, Matrix<double, TestType>(Shape<dyn, dyn>(2, 0)), Matrix<double, TestType>(Shape<dyn, dyn>(2, 0))),
      ShapeError);
}

}  // namespace rope_test
