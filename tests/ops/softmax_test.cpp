// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/softmax.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "veneer/ops/pointwise.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace softmax_test {

using namespace veneer;

namespace {

template <TensorLike X>
std::vector<double> row_sums(const X& x) {
  const auto values = to_host(x);
  std::vector<double> sums(static_cast<std::size_t>(x.extent(0)));
  const auto columns = static_cast<std::size_t>(x.extent(1));
  for (std::size_t i = 0; i < values.size(); ++i) sums[i / columns] += static_cast<double>(values[i]);
  return sums;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("rows of a softmax are positive and sum to 1", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t columns : {1, 2, 15, 16, 17, 1000, 32000}) {
    const auto y = softmax(testing::random_matrix<float, TestType>(3, columns, 1, 4.0));
    // each of 16 lanes adds columns / 16 numbers, then lanes are folded; exp and the share round too
    const double bound = (static_cast<double>(columns) / 16 + 10) * std::numeric_limits<float>::epsilon();
    for (const double sum : row_sums(y)) CHECK(std::abs(sum - 1) < bound);
    for (const float value : to_host(y.rows(0, 1))) REQUIRE((value >= 0.0f && value <= 1.0f));
  }
}

TEMPLATE_LIST_TEST_CASE("a softmax in double is the definition", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 9, 2, 3.0);
  const std::vector<double> in = to_host(x), out = to_host(softmax(x));
  for (std::size_t r = 0; r < 4; ++r) {
    double sum = 0.0;
    for (std::size_t c = 0; c < 9; ++c) sum += std::exp(in[r * 9 + c]);
    for (std::size_t c = 0; c < 9; ++c) CHECK(out[r * 9 + c] == Approx(std::exp(in[r * 9 + c]) / sum).epsilon(1e-14));
  }
}

TEMPLATE_LIST_TEST_CASE("a softmax does not see a shift of its row", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 2, 3, -4, 0, 4});
  for (const float shift : {1024.0f, -65536.0f}) {  // the sums are exact
    CHECK(testing::same_bits(softmax(add(x, full<float, TestType>(x.shape(), shift))), softmax(x)));
  }
}

TEMPLATE_LIST_TEST_CASE("a softmax of far numbers is finite, minus infinity has no share", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const float infinity = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  const auto y = softmax(testing::matrix_of<TestType>(
      4, 3, std::vector<float>{1e4f, -1e4f, 1e4f, -1e30f, -1e30f, -1e30f, 5, -infinity, 5, most, -most, 0}));
  CHECK(to_host(y) == std::vector<float>{0.5f, 0, 0.5f, 1.0f / 3, 1.0f / 3, 1.0f / 3, 0.5f, 0, 0.5f, 1, 0, 0});
}

}  // namespace softmax_test
