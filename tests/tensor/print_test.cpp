// SPDX-License-Identifier: Apache-2.0
#include "veneer/tensor/print.hpp"

#include <sstream>
#include <string>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace print_test {

using namespace veneer;

namespace {

template <class X>
std::string printed(const X& x) {
  std::ostringstream out;
  out << x;
  return out.str();
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a tensor is printed as type, shape and first values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(printed(testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6.5f})) ==
        "float32 (2, 3) [1, 2, 3, 4, 5, 6.5]");
  CHECK(printed(testing::vector_of<TestType>(std::vector<bfloat16>{bfloat16(0.5f)})) == "bfloat16 (1) [0.5]");
  CHECK(printed(testing::vector_of<TestType>(std::vector<std::int32_t>{-1, 7})) == "int32 (2) [-1, 7]");
  CHECK(printed(full<double, TestType>(Shape<13>{}, 1.0)) == "float64 (13) [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...]");
  CHECK(printed(full<double, TestType>(Shape<12>{}, 1.0)) == "float64 (12) [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]");
  CHECK(printed(Matrix<float, TestType>()) == "float32 (0, 0) without values");
}

}  // namespace print_test
