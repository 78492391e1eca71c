// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/dropout.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace dropout_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("dropout gives 0 or x / (1 - p), and backward the same elements", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr double p = 0.25;
  Tape tape({1, 1});
  const auto ones = full<double, TestType>(Shape<dyn, dyn>(50, 40), 1.0);
  const auto x = tape.variable(ones);
  const auto y = dropout(x, p);
  for (const double value : to_host(y.value())) REQUIRE((value == 0.0 || value == 1 / (1 - p)));
  backward(dot(y, ones));
  CHECK(testing::same_bits(x.gradient(), y.value()));
}

TEMPLATE_LIST_TEST_CASE("dropout keeps the mean", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr int n = 100000;
  for (const double p : {0.05, 0.5, 0.9}) {
    Tape tape({2, 1});
    int zero = 0;
    for (const float value : to_host(dropout(tape.input(full<float, TestType>(Shape<n>{}, 1.0f)), p).value()))
      zero += value == 0.0f;
    CAPTURE(p);
    CHECK(std::abs(zero - n * p) < 6 * std::sqrt(n * p * (1 - p)));  // six standard deviations
  }
}

TEMPLATE_LIST_TEST_CASE("every dropout of a step has a mask of its own, every step others", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto ones = full<float, TestType>(Shape<1000>{}, 1.0f);
  Tape step({3, 1}), next({3, 2});
  const auto x = step.input(ones);
  const auto first = dropout(x, 0.5).value(), second = dropout(x, 0.5).value();
  CHECK_FALSE(testing::same_bits(first, second));
  CHECK_FALSE(testing::same_bits(first, dropout(next.input(ones), 0.5).value()));
}

TEMPLATE_LIST_TEST_CASE("there is no dropout at probability 0, nor off a tape", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<float, TestType>(100, 1);
  Tape tape;
  CHECK(dropout(tape.variable(x), 0.0).value().data() == x.data());
  CHECK(tape.size() == 0);
  CHECK(tape.drawn() == 0);
  CHECK(dropout(x, 0.5).data() == x.data());
}

TEMPLATE_LIST_TEST_CASE("a probability below 0, or of 1 and more, is refused, on a tensor too", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<float, TestType>(3, 1);
  Tape tape;
  for (const double p :
       {-0.1, 1.0, 1.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CAPTURE(p);
    CHECK_THROWS_AS(dropout(x, p), ArgumentError);
    CHECK_THROWS_AS(dropout(tape.variable(x), p), ArgumentError);
  }
  CHECK_THROWS_WITH(dropout(x, 1.5), Catch::Contains("[0, 1); it is 1.5"));
}

}  // namespace dropout_test
