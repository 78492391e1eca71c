// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/gather.hpp"

#include <type_traits>
#include <vector>

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace gather_test {

using namespace veneer;

namespace {

using Table = Tensor<bfloat16, Shape<dyn, 8>, Cpu>;
using Ids = Tensor<std::int32_t, Shape<4>, Cpu>;

// 16-bit tables give vectors of float; the type keeps what is known of both.
static_assert(
    std::is_same_v<decltype(embedding(std::declval<Ids>(), std::declval<Table>())), Tensor<float, Shape<4, 8>, Cpu>>);

template <Backend B>
auto ids_of(const std::vector<std::int32_t>& ids) {
  return testing::vector_of<B>(ids);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gathered rows are the rows, in the order asked for", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(3, 2, std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto ids = ids_of<TestType>({2, 0, 2});
  CHECK(to_host(gather_rows(x, ids)) == std::vector<float>{5, 6, 1, 2, 5, 6});
  CHECK(testing::same_bits(embedding(ids, x), gather_rows(x, ids)));
  CHECK(to_host(gather_columns(x, ids_of<TestType>({1, 1, 0, 1}))) ==
        std::vector<float>{2, 4, 6, 2, 4, 6, 1, 3, 5, 2, 4, 6});
  CHECK(gather_rows(x, ids_of<TestType>({})).shape() == Shape<0, 2>{});
}

TEMPLATE_LIST_TEST_CASE("16-bit tables widen, exactly", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto table = testing::random_matrix<float, TestType>(7, 20, 1);
  const auto ids = ids_of<TestType>({6, 0, 3});
  const auto narrow = convert<bfloat16>(table);
  CHECK(testing::same_bits(embedding(ids, narrow), embedding(ids, convert<float>(narrow))));
  const auto half_narrow = convert<veneer::half>(table);
  CHECK(testing::same_bits(embedding(ids, half_narrow), embedding(ids, convert<float>(half_narrow))));
}

TEMPLATE_LIST_TEST_CASE("the gradient of a row is the sum over its uses, of an unused one 0", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(testing::random_matrix<double, TestType>(4, 2, 1));
  const auto c = testing::matrix_of<TestType>(3, 2, std::vector<double>{1, 2, 10, 20, 100, 200});
  backward(dot(gather_rows(x, ids_of<TestType>({3, 1, 3})), c));
  CHECK(to_host(x.gradient()) == std::vector<double>{0, 0, 10, 20, 0, 0, 101, 202});
}

TEMPLATE_LIST_TEST_CASE("a parameter is picked from by ids on a tape", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Parameter table(testing::random_matrix<double, TestType>(3, 2, 1));
  Tape tape;
  const auto y = embedding(tape.input(ids_of<TestType>({1})), table);
  static_assert(VariableLike<decltype(y)>);
  backward(dot(y, full<double, TestType>(Shape<1, 2>{}, 1.0)));
  CHECK(to_host(table.gradient()) == std::vector<double>{0, 0, 1, 1, 0, 0});
}

TEMPLATE_LIST_TEST_CASE("ranges of columns next to one another are the matrix", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 7, 1);
  const auto all = to_host(x), left = to_host(column_range(x, 0, 3)), right = to_host(column_range(x, 3, 7));
  std::vector<double> joined;
  for (std::ptrdiff_t r = 0; r < 4; ++r) {
    joined.insert(joined.end(), left.begin() + 3 * r, left.begin() + 3 * r + 3);
    joined.insert(joined.end(), right.begin() + 4 * r, right.begin() + 4 * r + 4);
  }
  CHECK(joined == std::vector<double>(all.begin(), all.end()));
  CHECK(column_range(x, 5, 5).count() == 0);
  CHECK_THROWS_AS(column_range(x, -1, 3), ShapeError);
  CHECK_THROWS_AS(column_range(x, 4, 3), ShapeError);
  CHECK_THROWS_WITH(column_range(x, 2, 8), Catch::Contains("[2, 8) is outside of 7 columns"));
}

TEMPLATE_LIST_TEST_CASE("the complement of an id reads the same row and gives it no gradient", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 4, 1);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{2, 0, 2, 3});
  const auto some = testing::vector_of<TestType>(std::vector<std::int32_t>{~2, 0, ~2, 3});
  const auto weights = testing::random_matrix<double, TestType>(4, 4, 2);
  CHECK(testing::same_bits(gather_rows(x, ids), gather_rows(x, some)));
  CHECK(testing::same_bits(gather_columns(x, ids), gather_columns(x, some)));
  Parameter by_row(x), by_column(x);
  Tape tape;
  backward(add(dot(gather_rows(by_row, tape.input(some)), weights),
               dot(gather_columns(by_column, tape.input(some)), weights)));
  const auto rows = to_host(by_row.gradient()), columns = to_host(by_column.gradient()), given = to_host(weights);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(rows[2 * 4 + i] == 0);
    CHECK(columns[i * 4 + 2] == 0);
    CHECK(rows[i] == given[4 + i]);
    CHECK(columns[i * 4 + 3] == given[3 * 4 + i]);
  }
}

}  // namespace gather_test
