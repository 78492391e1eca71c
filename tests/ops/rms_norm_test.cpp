// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/rms_norm.hpp"

#include <cmath>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace rms_norm_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("with gains of 1 every row has a mean square of 1", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(5, 37, 1, 8.0);
  const auto y = to_host(rms_norm(x, full<double, TestType>(Shape<37>{}, 1.0), 0.0));
  for (std::size_t r = 0; r < 5; ++r) {
    double sum = 0.0;
    for (std::size_t c = 0; c < 37; ++c) sum += y[r * 37 + c] * y[r * 37 + c];
    CHECK(sum / 37 == Approx(1.0).epsilon(1e-14));
  }
}

TEMPLATE_LIST_TEST_CASE("the length of a row does not count, where epsilon is small beside it", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 19, 2),
             w = testing::random_matrix<float, TestType>(1, 19, 3);
  const auto gains = w.reshape(Shape<19>{});
  const auto y = rms_norm(x, gains, 0.0);
  for (const double factor : {4.0, 1024.0, -0.125}) {  // powers of two: no rounding differs
    CHECK(testing::same_bits(rms_norm(scale(x, factor), gains, 0.0), scale(y, factor < 0 ? -1.0 : 1.0)));
  }
}

TEMPLATE_LIST_TEST_CASE("groups are rows of a norm of their own, an offset is part of the weight", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 15, 2);
  const auto w = testing::random_vector<double, TestType>(5, 3);
  const auto more = add(w, full<double, TestType>(w.shape(), 1.0));
  const auto y = grouped_rms_norm(x, w, 1e-3, 1.0);
  const auto apart = rms_norm(x.reshape(Shape<dyn, dyn>(12, 5)), more, 1e-3);
  CHECK(to_host(y) == to_host(apart));
  CHECK(testing::same_bits(grouped_rms_norm(apart, w, 1e-3), rms_norm(apart, w, 1e-3)));
  CHECK_THROWS_AS(grouped_rms_norm(x, testing::random_vector<double, TestType>(4, 3), 1e-3), ShapeError);
  CHECK_THROWS_AS(grouped_rms_norm(x, testing::random_vector<double, TestType>(0, 3), 1e-3), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("epsilon stands inside the root", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(1, 2, std::vector<double>{3, 4});
  const auto w = testing::vector_of<TestType>(std::vector<double>{1, 10});
  const auto y = to_host(rms_norm(x, w, 3.5));  // 12.5 + 3.5 = 4^2
  CHECK(y[0] == Approx(0.75).epsilon(1e-15));
  CHECK(y[1] == Approx(10.0).epsilon(1e-15));
  CHECK(to_host(rms_norm(zeros<double, TestType>(Shape<1, 2>{}), w, 1e-6)) == std::vector<double>{0, 0});
}

TEMPLATE_LIST_TEST_CASE("a row does not depend on the others", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(70, 33, 4);
  const auto w = testing::random_vector<float, TestType>(33, 5);
  const auto y = rms_norm(x, w, 1e-5);
  for (const index_t row : {0, 1, 69}) CHECK(testing::same_bits(y.rows(row, 1), rms_norm(x.rows(row, 1), w, 1e-5)));
}

TEMPLATE_LIST_TEST_CASE("16-bit gains count as their widened values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(3, 8, 6);
  const auto w = convert<bfloat16>(testing::random_vector<float, TestType>(8, 7));
  CHECK(testing::same_bits(rms_norm(x, w, 1e-5), rms_norm(x, convert<float>(w), 1e-5)));
}

TEMPLATE_LIST_TEST_CASE("gains of another extent are refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(3, 8, 6);
  const auto w = testing::random_vector<float, TestType>(7, 7);
  CHECK_THROWS_AS(rms_norm(x, w, 1e-5), ShapeError);
  CHECK_THROWS_WITH(rms_norm(x, w, 1e-5),
                    "veneer::rms_norm(x, w): the last extent of x must equal the extent of w; they are (3, 8) and (7)");
}

}  // namespace rms_norm_test
