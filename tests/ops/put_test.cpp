// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/put.hpp"

#include <vector>

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace put_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("what was put into rows or columns is what is picked from there, and the rest stays", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(3, 2, std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto at = testing::vector_of<TestType>(std::vector<std::int32_t>{2, 0});
  const auto rows = testing::matrix_of<TestType>(2, 2, std::vector<float>{10, 20, 30, 40});
  CHECK(to_host(put_rows(x, rows, at)) == std::vector<float>{30, 40, 3, 4, 10, 20});
  CHECK(testing::same_bits(gather_rows(put_rows(x, rows, at), at), rows));
  const auto first = testing::vector_of<TestType>(std::vector<std::int32_t>{1});
  const auto column = testing::matrix_of<TestType>(3, 1, std::vector<float>{7, 8, 9});
  CHECK(to_host(put_columns(x, column, first)) == std::vector<float>{1, 7, 3, 8, 5, 9});
  CHECK(to_host(gather_columns(put_columns(x, column, first), first)) == to_host(column));
  CHECK(to_host(x) == std::vector<float>{1, 2, 3, 4, 5, 6});  // untouched
}

TEMPLATE_LIST_TEST_CASE("the gradient goes to what was put where something was, and to the matrix elsewhere", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(testing::random_matrix<double, TestType>(3, 2, 1));
  const auto rows = tape.variable(testing::random_matrix<double, TestType>(1, 2, 2));
  const auto c = testing::matrix_of<TestType>(3, 2, std::vector<double>{1, 2, 3, 4, 5, 6});
  backward(dot(put_rows(x, rows, testing::vector_of<TestType>(std::vector<std::int32_t>{1})), c));
  CHECK(to_host(x.gradient()) == std::vector<double>{1, 2, 0, 0, 5, 6});
  CHECK(to_host(rows.gradient()) == std::vector<double>{3, 4});
}

TEST_CASE("parts that do not fit are refused") {
  const auto x = testing::random_matrix<float, Cpu>(3, 2, 1);
  const auto at = testing::vector_of<Cpu>(std::vector<std::int32_t>{1});
  CHECK_THROWS_AS(put_rows(x, testing::random_matrix<float, Cpu>(2, 2, 1), at), ShapeError);
  CHECK_THROWS_AS(put_rows(x, testing::random_matrix<float, Cpu>(1, 3, 1), at), ShapeError);
  CHECK_THROWS_AS(put_columns(x, testing::random_matrix<float, Cpu>(3, 2, 1), at), ShapeError);
}

}  // namespace put_test
