// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/pointwise.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace pointwise_test {

using namespace veneer;

namespace {

template <index_t... Extents>
using Floats = Tensor<float, Shape<Extents...>, Cpu>;

template <class X, class Y>
using Sum = decltype(add(std::declval<X>(), std::declval<Y>()));

// A result knows what either operand knows.
static_assert(std::is_same_v<Sum<Floats<dyn, 3>, Floats<2, dyn>>, Floats<2, 3>>);
static_assert(std::is_same_v<decltype(multiply(std::declval<Floats<dyn, dyn>>(), std::declval<Floats<dyn, 7>>())),
                             Floats<dyn, 7>>);
static_assert(std::is_same_v<decltype(silu(std::declval<Floats<4>>())), Floats<4>>);

}  // namespace

TEMPLATE_LIST_TEST_CASE("silu and swiglu are x times sigmoid(x)", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<float> values{0.0f, -0.0f, 100.0f, -100.0f, 1e30f, -1e30f};
  for (float x = -30.0f; x < 30.0f; x += 0.0371f) values.push_back(x);
  const auto x = testing::vector_of<TestType>(values);
  const auto y = to_host(silu(x));
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double exact = static_cast<double>(values[i]) / (1 + std::exp(-static_cast<double>(values[i])));
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - exact) / std::max(std::abs(exact), 1e-30));
  }
  CHECK(worst < 5e-7);  // exp to 2 units of the last place, then three roundings: (4 + 3) * 2^-24
  const auto up = testing::random_vector<float, TestType>(x.count(), 2);
  CHECK(testing::same_bits(swiglu(x, up), multiply(silu(x), up)));
}

TEMPLATE_LIST_TEST_CASE("geglu is the tanh form of GELU of the gate, times up", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<double> values{0.0, 100.0, -100.0, 1e30, -1e30};
  for (double x = -9.0; x < 9.0; x += 0.0371) values.push_back(x);
  const auto x = testing::vector_of<TestType>(values);
  const auto y = to_host(geglu(x, full<double, TestType>(x.shape(), 1.0)));
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i], root = std::sqrt(2 / std::acos(-1.0));
    const double exact = v == 0 ? 0 : 0.5 * v * (1 + std::tanh(root * (v + 0.044715 * v * v * v)));
    worst = std::max(worst, std::abs(y[i] - exact) / std::max(std::abs(exact), 1.0));
  }
  CHECK(worst < 1e-15);
  const auto up = testing::random_vector<double, TestType>(x.count(), 2);
  const auto gates = geglu(x, full<double, TestType>(x.shape(), 1.0));
  CHECK(testing::same_bits(geglu(x, up), multiply(gates, up)));
}

TEMPLATE_LIST_TEST_CASE("relu keeps what is above 0", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(to_host(relu(testing::vector_of<TestType>(std::vector<float>{-2, -0.0f, 0, 3}))) ==
        std::vector<float>{0, 0, 0, 3});
}

TEMPLATE_LIST_TEST_CASE("sums and products of elements commute, a scale is a product with one number", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(33, 17, 1),
             y = testing::random_matrix<float, TestType>(33, 17, 2);
  CHECK(testing::same_bits(add(x, y), add(y, x)));
  CHECK(testing::same_bits(multiply(x, y), multiply(y, x)));
  CHECK(testing::same_bits(scale(x, 0.3), multiply(x, full<float, TestType>(x.shape(), 0.3f))));
  CHECK(testing::same_bits(add(x, scale(x, -1.0)), zeros<float, TestType>(x.shape())));
  CHECK(to_host(add(testing::vector_of<TestType>(std::vector<float>{1, 2}),
                    testing::vector_of<TestType>(std::vector<float>{10, 20}))) == std::vector<float>{11, 22});
}

TEMPLATE_LIST_TEST_CASE("add_row adds one row to all, 16-bit ones widened", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto row = testing::vector_of<TestType>(std::vector<float>{10, 20, 30});
  CHECK(to_host(add_row(x, row)) == std::vector<float>{11, 22, 33, 14, 25, 36});
  CHECK(testing::same_bits(add_row(x, convert<bfloat16>(row)), add_row(x, row)));  // these numbers fit
  CHECK(testing::same_bits(add_row(x, convert<veneer::half>(row)), add_row(x, row)));
}

TEMPLATE_LIST_TEST_CASE("operands of another shape are refused with both shapes", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(2, 3, 1), y = testing::random_matrix<float, TestType>(3, 2, 2);
  CHECK_THROWS_AS(add(x, y), ShapeError);
  CHECK_THROWS_AS(multiply(x, y), ShapeError);
  CHECK_THROWS_AS(swiglu(x, y), ShapeError);
  CHECK_THROWS_WITH(multiply(x, y),
                    "veneer::multiply(x, y): x and y must have the same shape; they are (2, 3) and (3, 2)");
  const auto row = testing::random_vector<float, TestType>(4, 3);
  CHECK_THROWS_AS(add_row(x, row), ShapeError);
  CHECK_THROWS_WITH(add_row(x, row), Catch::Contains("must equal the extent of row; they are 3 and 4"));
}

}  // namespace pointwise_test
