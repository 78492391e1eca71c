// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/map.hpp"

#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace map_test {

using namespace veneer;

namespace {

template <Real T>
struct Sum {
  VENEER_HD T value(T x, T y) const { return x + y; }
};

/// x + y in storage T, by a map and by hand.
template <Stored T, Backend B>
bool is_rounded_once() {
  using C = compute_t<T>;
  const auto x = convert<T>(testing::random_vector<C, B>(1000, 1)),
             y = convert<T>(testing::random_vector<C, B>(1000, 2));
  Vector<T, B> z(x.shape(), x.device());
  ops::map(z, ops::BinaryValue<Sum<C>, T>{{}, x.data(), y.data()});
  const std::vector<T> left = to_host(x), right = to_host(y);
  std::vector<T> expected;
  for (std::size_t i = 0; i < left.size(); ++i) {
    expected.push_back(static_cast<T>(static_cast<C>(left[i]) + static_cast<C>(right[i])));
  }
  return testing::same_bits(z, testing::vector_of<B>(expected));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a map computes in the compute type and rounds once", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(is_rounded_once<float, TestType>());
  CHECK(is_rounded_once<double, TestType>());
  CHECK(is_rounded_once<bfloat16, TestType>());
  CHECK(is_rounded_once<veneer::half, TestType>());
}

TEMPLATE_LIST_TEST_CASE("a map over rows reads and writes parts of wider matrices", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6});
  Matrix<bfloat16, TestType> y(Shape<dyn, dyn>(2, 2), x.device());
  ops::map_rows(y, ops::RowsLoad<float>{x.data() + 1, 3});
  CHECK(testing::same_bits(convert<float>(y), testing::matrix_of<TestType>(2, 2, std::vector<float>{2, 3, 5, 6})));
  auto wide = full<float, TestType>(Shape<dyn, dyn>(2, 3), 7.0f);
  using Body = ops::MapRowsBody<float, ops::RowsLoad<bfloat16>>;
  wide.device().for_each(2, 2, Body{wide.data(), {y.data(), 2}, 3});
  CHECK(to_host(wide) == std::vector<float>{2, 3, 7, 5, 6, 7});
}

TEMPLATE_LIST_TEST_CASE("products and reciprocals of 16-bit values are in float", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = convert<bfloat16>(testing::random_matrix<float, TestType>(3, 5, 1));
  Matrix<float, TestType> squares(x.shape(), x.device());
  ops::map_rows(squares, ops::ProductLoad<bfloat16>{x.data(), x.data(), 5});
  Matrix<float, TestType> inverse(x.shape(), x.device());
  ops::map(inverse, ops::UnaryValue<ops::Reciprocal<float>, float>{{}, squares.data()});
  const auto values = to_host(x);
  const auto found = to_host(squares), inverses = to_host(inverse);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = values[i];
    CHECK(found[i] == value * value);  // 16 bits of significand: exact in float
    CHECK(inverses[i] == 1.0f / (value * value));
  }
}

}  // namespace map_test
