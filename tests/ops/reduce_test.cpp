// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/reduce.hpp"

#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace reduce_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("inner and mean_squared_error are their definitions", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(2, 2, std::vector<float>{1, 2, 3, 4});
  const auto y = testing::matrix_of<TestType>(2, 2, std::vector<float>{5, 0, -1, 2});
  CHECK(item(dot(x, y)) == 10.0f);
  CHECK(item(mean_squared_error(x, y)) == 10.0f);  // (16 + 4 + 16 + 4) / 4
  const Matrix<float, TestType> empty(Shape<dyn, dyn>(0, 3));
  CHECK(item(dot(empty, empty)) == 0.0f);
  CHECK(item(mean_squared_error(empty, empty)) == 0.0f);
}

TEMPLATE_LIST_TEST_CASE("sums run in double: small terms are not lost beside large ones", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<float> values(1 << 16, 1.0f);
  values[0] = 16777216.0f;  // 2^24: adding 1 to it in float changes nothing
  const auto x = testing::vector_of<TestType>(values);
  CHECK(item(dot(x, full<float, TestType>(x.shape(), 1.0f))) == 16777216.0f + 65536.0f);
}

TEMPLATE_LIST_TEST_CASE("a loss of two shapes is refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<float, TestType>(3, 1), y = testing::random_vector<float, TestType>(4, 1);
  CHECK_THROWS_AS(dot(x, y), ShapeError);
  CHECK_THROWS_AS(mean_squared_error(x, y), ShapeError);
  CHECK_THROWS_WITH(mean_squared_error(x, y), Catch::Contains("(3) and (4)"));
}

}  // namespace reduce_test
