// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/transposed.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace transposed_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("a transposed matrix has columns as rows, repeated where more are asked for", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(3, 4, 1);
  const auto values = to_host(x), turned = to_host(transposed(x, 6));
  CHECK(testing::same_bits(transposed(transposed(x)), x));
  for (index_t i = 0; i < 6; ++i) {
    for (index_t j = 0; j < 3; ++j)
      CHECK(turned[static_cast<std::size_t>(i * 3 + j)] == values[static_cast<std::size_t>(j * 4 + i % 4)]);
  }
}

}  // namespace transposed_test
