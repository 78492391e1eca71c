// SPDX-License-Identifier: Apache-2.0
#include "veneer/tensor/factory.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace factory_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("tensors are filled with one value of any type", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Shape<dyn, 3> shape(2);
  CHECK(to_host(full<float, TestType>(shape, 2.5f)) == std::vector<float>(6, 2.5f));
  CHECK(to_host(full<std::int32_t, TestType>(shape, -3)) == std::vector<std::int32_t>(6, -3));
  CHECK(to_host(zeros<double, TestType>(shape)) == std::vector<double>(6, 0.0));
  CHECK(to_host(full<bfloat16, TestType>(shape, bfloat16(1.5f)))[5].bits == bfloat16(1.5f).bits);
  CHECK(zeros<float, TestType>(Shape<0>{}).count() == 0);
}

TEMPLATE_LIST_TEST_CASE("values of the host come back, and must be as many as the shape says", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const std::vector<std::int64_t> values{1, -2, std::int64_t{1} << 40};
  CHECK(to_host(from_host<std::int64_t, TestType>(Shape<3>{}, values)) == values);
  CHECK_THROWS_AS((from_host<std::int64_t, TestType>(Shape<dyn, dyn>(2, 2), values)), ShapeError);
  CHECK_THROWS_WITH((from_host<std::int64_t, TestType>(Shape<dyn, dyn>(2, 2), values)),
                    Catch::Contains("(2, 2) needs 4 values, there are 3"));
}

TEMPLATE_LIST_TEST_CASE("uniform values depend on the stream and the index alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr index_t n = 40000;  // more than one task of a pool
  const RandomStream source{3, 9};
  const auto x = to_host(uniform<float, TestType>(Shape<dyn>(n), source, 0.0f, 1.0f));
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) wrong += x[i] != uniform_at(source, i);
  CHECK(wrong == 0);
  const auto y = to_host(uniform<double, TestType>(Shape<dyn, dyn>(200, 200), source, -2.0, 3.0));
  for (std::size_t i = 0; i < y.size(); ++i)
    wrong += y[i] != std::fma(5.0, static_cast<double>(uniform_at(source, i)), -2.0);
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("normal values depend on the stream and the index alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr index_t n = 20000;
  const RandomStream source{3, 10};
  const auto x = to_host(normal<double, TestType>(Shape<dyn>(n), source, 0.5));
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) wrong += x[i] != 0.5 * normal_at(source, i);
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("widening is exact, narrowing rounds to nearest even", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<float> values;
  for (int i = 0; i < 5000; ++i)
    values.push_back(std::ldexp(static_cast<float>(i * 37 % 4999) / 4999.0f - 0.5f, i % 40 - 20));
  const auto x = testing::vector_of<TestType>(values);
  const auto narrow = convert<bfloat16>(x);
  const auto half_narrow = convert<veneer::half>(x);
  const auto back = to_host(convert<float>(narrow)), half_back = to_host(convert<float>(half_narrow));
  int wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    wrong += back[i] != static_cast<float>(bfloat16(values[i]));
    wrong += half_back[i] != static_cast<float>(veneer::half(values[i]));
  }
  CHECK(wrong == 0);
  CHECK(testing::same_bits(convert<float>(convert<double>(x)), x));
  CHECK(testing::same_bits(convert<bfloat16>(convert<float>(narrow)), narrow));
  const auto beside = testing::vector_of<TestType>(std::vector<double>{1.0 + 0x1p-8 + 0x1p-40, 1.0 + 0x1p-8});
  CHECK(to_host(convert<float>(convert<bfloat16>(beside))) == std::vector<float>{1.0078125f, 1.0f});  // rounded once
  CHECK(to_host(convert<float>(testing::vector_of<TestType>(std::vector<std::int32_t>{-7, 0, 123}))) ==
        std::vector<float>{-7, 0, 123});
}

TEMPLATE_LIST_TEST_CASE("a conversion to the same type is a handle, a copy is new memory", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto x = testing::random_matrix<float, TestType>(3, 4, 1);
  CHECK(convert<float>(x).data() == x.data());
  const auto y = copy(x);
  CHECK(testing::same_bits(x, y));
  CHECK(y.data() != x.data());
  fill(x, 0.0f);
  CHECK(testing::largest(y) > 0.0);
}

}  // namespace factory_test
