// SPDX-License-Identifier: Apache-2.0
#include "veneer/autograd/gradcheck.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace gradcheck_test {

using namespace veneer;

namespace {

/// z = x * y with intended errors: the gradient of x times `first`, that of y times `second`.
struct Flawed {
  double first = 1.0, second = 1.0;
  auto forward(const auto& x, const auto& y) const { return multiply(x, y); }
  auto pullback(Wrt<0>, const auto& dz, const auto&, const auto&, const auto& y) const {
    return scale(multiply(dz, y), first);
  }
  auto pullback(Wrt<1>, const auto& dz, const auto&, const auto& x, const auto&) const {
    return scale(multiply(dz, x), second);
  }
};

/// y = x, with a pullback that omits one element.
struct ForgetsOne {
  auto forward(const auto& x) const { return x; }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const {
    std::vector<double> values = to_host(dy);
    values[2] = 0.0;
    return from_host(dy.shape(), values, dy.device());
  }
};

/// y = x, with a pullback that gives no gradient.
struct WithoutPullback {
  auto forward(const auto& x) const { return x; }
  auto pullback(Wrt<0>, const auto&, const auto&...) const { return NoGradient{}; }
};

template <Backend B>
double error_of(const Flawed& op) {
  const auto c = testing::random_vector<double, B>(5, 3);
  return gradient_error([&](Tape&, const auto& x, const auto& y) { return dot(apply(op, x, y), c); },
                        testing::random_vector<double, B>(5, 1), testing::random_vector<double, B>(5, 2));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("right gradients pass at 1e-8", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(error_of<TestType>({}) < 1e-8);
  const auto c = testing::random_vector<double, TestType>(5, 3);
  const auto x = testing::random_vector<double, TestType>(5, 1);
  CHECK(gradient_error([&](Tape&, const auto& v) { return dot(silu(v), c); }, x) < 1e-8);
}

TEMPLATE_LIST_TEST_CASE("a gradient that is wrong by a part in ten thousand is found, in any operand", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(error_of<TestType>({1.0001, 1.0}) == Approx(1e-4).epsilon(0.01));
  CHECK(error_of<TestType>({1.0, 0.9999}) == Approx(1e-4).epsilon(0.01));
  CHECK(error_of<TestType>({-1.0, 1.0}) == Approx(2.0).epsilon(0.01));
}

TEMPLATE_LIST_TEST_CASE("a gradient that misses an element, or all of them, is found", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto c = testing::vector_of<TestType>(std::vector<double>{4, 3, 2, 1});
  const auto x = testing::random_vector<double, TestType>(4, 1);
  CHECK(gradient_error([&](Tape&, const auto& v) { return dot(apply(ForgetsOne{}, v), c); }, x) == Approx(0.5));
  CHECK(gradient_error([&](Tape&, const auto& v) { return dot(apply(WithoutPullback{}, v), c); }, x) == Approx(1.0));
}

TEMPLATE_LIST_TEST_CASE("a NaN is an error, in the gradient as in the value", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isinf(error_of<TestType>({nan, 1.0})));
  const auto x = testing::vector_of<TestType>(std::vector<double>{1, nan});
  CHECK(std::isinf(gradient_error([&](Tape&, const auto& v) { return dot(v, v); }, x)));
}

TEMPLATE_LIST_TEST_CASE("the operands are as before when the check is done", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<double, TestType>(4, 1);
  const auto before = to_host(x);
  CHECK(gradient_error([&](Tape&, const auto& v) { return dot(v, v); }, x) < 1e-8);
  CHECK(to_host(x) == before);
}

TEMPLATE_LIST_TEST_CASE("an operand without slope is compared with 0", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<double, TestType>(4, 1);
  const auto c = testing::random_vector<double, TestType>(4, 2);
  const auto ignores = [&](Tape&, const auto& v, const auto&) { return dot(v, c); };
  CHECK(gradient_error(ignores, x, testing::random_vector<double, TestType>(3, 5)) < 1e-8);
}

}  // namespace gradcheck_test
