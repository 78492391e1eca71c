// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/orthogonality.hpp"

#include <cmath>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace orthogonality_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("rows of a rotation are orthonormal, those of twice it are not", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const double c = std::cos(0.3), s = std::sin(0.3);
  const auto q = testing::matrix_of<TestType, double>(2, 3, {c, s, 0, -s, c, 0});
  CHECK(item(row_orthogonality(q)) < 1e-15);
  CHECK(item(column_orthogonality(q)) == Approx(1.0));  // the third column is 0
  CHECK(item(row_orthogonality(scale(q, 2.0))) == Approx(3.0 * std::sqrt(2.0)));
}

TEMPLATE_LIST_TEST_CASE("where the norm is 0 its slope is taken as 0", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(testing::matrix_of<TestType, double>(2, 2, {1, 0, 0, 1}));
  backward(row_orthogonality(x));
  CHECK(to_host(x.gradient()) == std::vector<double>(4, 0.0));
}

}  // namespace orthogonality_test
