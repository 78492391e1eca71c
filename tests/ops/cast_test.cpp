// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/cast.hpp"

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace cast_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("to a narrower storage and back is rounding, forward and for the gradient", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x0 = testing::random_matrix<float, TestType>(3, 5, 1);
  const auto slope = testing::random_matrix<float, TestType>(3, 5, 2);
  Tape tape;
  const auto x = tape.variable(x0);
  const auto y = cast<float>(cast<bfloat16>(x));
  CHECK(testing::same_bits(y.value(), convert<float>(convert<bfloat16>(x0))));
  backward(dot(y, slope));
  CHECK(testing::same_bits(x.gradient(), convert<float>(convert<bfloat16>(slope))));
  CHECK(cast<float>(x0).data() == x0.data());  // nothing is copied
}

}  // namespace cast_test
