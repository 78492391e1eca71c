// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/axis_scale.hpp"

#include <vector>

#include "veneer/ops/linear.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace axis_scale_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("a gain is a product with a diagonal matrix", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType, float>(2, 3, {1, 2, 3, 4, 5, 6});
  CHECK(to_host(scale_columns(x, testing::vector_of<TestType, float>({2, 0, -1}))) ==
        std::vector<float>{2, 0, -3, 8, 0, -6});
  CHECK(to_host(scale_rows(x, testing::vector_of<TestType, float>({2, -1}))) ==
        std::vector<float>{2, 4, 6, -4, -5, -6});
}

TEMPLATE_LIST_TEST_CASE("a gain of a weight's rows is a gain of the product's columns", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(5, 8, 1),
             w = testing::random_matrix<double, TestType>(6, 8, 2);
  const auto g = testing::random_vector<double, TestType>(6, 3), h = testing::random_vector<double, TestType>(8, 4);
  CHECK(testing::largest_difference(scale_columns(linear(x, w), g), linear(x, scale_rows(w, g))) < 1e-13);
  CHECK(testing::largest_difference(linear(scale_columns(x, h), w), linear(x, scale_columns(w, h))) < 1e-13);
}

TEMPLATE_LIST_TEST_CASE("the numbers may stand in a row, in a column, or alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 3, 1);
  const auto g = testing::random_vector<float, TestType>(3, 2);
  const auto y = scale_columns(x, g);
  const auto column = Parameter(g.reshape(Shape<dyn, dyn>(3, 1))), row = Parameter(g.reshape(Shape<dyn, dyn>(1, 3)));
  CHECK(testing::same_bits(scale_columns(x, column), y));
  CHECK(testing::same_bits(scale_columns(x, row), y));
  Tape tape;
  const auto z = scale_columns(tape.input(x), column);
  backward(dot(z, full<float>(z.shape(), 1.0f, x.device())));
  CHECK(column.gradient().shape() == column.shape());
}

TEMPLATE_LIST_TEST_CASE("another number of values is refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 3, 1);
  CHECK_THROWS_AS(scale_columns(x, testing::random_vector<float, TestType>(4, 2)), ShapeError);
  CHECK_THROWS_WITH(scale_rows(x, testing::random_vector<float, TestType>(3, 2)),
                    Catch::Contains("one value for each row of x"));
}

}  // namespace axis_scale_test
