// SPDX-License-Identifier: Apache-2.0
#include "veneer/tensor/tensor.hpp"

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace tensor_test {

using namespace veneer;

namespace {

template <index_t... Extents>
using Floats = Tensor<float, Shape<Extents...>, Cpu>;

// The rules of shapes hold for tensors: to a dynamic extent implicitly, to a static one explicitly, no conversion
// for a contradiction.
static_assert(std::is_convertible_v<Floats<2, 3>, Floats<dyn, 3>>);
static_assert(std::is_convertible_v<Floats<2, 3>, Matrix<float, Cpu>>);
static_assert(!std::is_convertible_v<Matrix<float, Cpu>, Floats<2, 3>>);
static_assert(std::is_constructible_v<Floats<2, 3>, Matrix<float, Cpu>>);
static_assert(!std::is_constructible_v<Floats<2, 3>, Floats<2, 4>>);
static_assert(!std::is_constructible_v<Floats<2, 3>, Tensor<double, Shape<2, 3>, Cpu>>);

static_assert(std::is_same_v<decltype(std::declval<const Floats<2>&>().data()), const float*>);
static_assert(TensorLike<Floats<2>> && TensorLike<const Floats<2>&> && !TensorLike<std::vector<float>>);

// Static extents need no memory: a handle is as large as the shared pointer in it.
static_assert(sizeof(Floats<2, 3>) == sizeof(std::shared_ptr<float>));

template <Backend B>
Tensor<float, Shape<2, 3>, B> one_to_six() {
  return from_host<float, B>(Shape<2, 3>{}, {1, 2, 3, 4, 5, 6});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a copy of a tensor is a handle on the same values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto x = one_to_six<TestType>();
  CHECK(x.unique());
  const auto y = x;
  CHECK_FALSE(x.unique());
  CHECK(y.data() == std::as_const(x).data());
  fill(x, 7.0f);
  CHECK(to_host(y) == std::vector<float>(6, 7.0f));
}

TEMPLATE_LIST_TEST_CASE("a type that knows more or less shares the values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = one_to_six<TestType>();
  const Matrix<float, TestType> free = x;
  CHECK(free.data() == x.data());
  CHECK(free.shape() == x.shape());
  const Tensor<float, Shape<2, 3>, TestType> fixed(free);
  CHECK(fixed.data() == x.data());
  CHECK_THROWS_AS((Tensor<float, Shape<2, 4>, TestType>(free)), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("a reshaped tensor has the same values in the same order", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = one_to_six<TestType>();
  const auto y = x.reshape(Shape<dyn, 2>(3));
  CHECK(y.data() == x.data());
  CHECK(to_host(y) == to_host(x));
  CHECK(y.extent(0) == 3);
  CHECK(to_host(x.reshape(Shape<6>{})) == to_host(x));
  CHECK_THROWS_AS(x.reshape(Shape<dyn, dyn>(2, 4)), ShapeError);
  CHECK_THROWS_WITH(x.reshape(Shape<dyn, dyn>(2, 4)), Catch::Contains("(2, 3)") && Catch::Contains("(2, 4)"));
}

TEMPLATE_LIST_TEST_CASE("rows are a view that keeps its buffer alive", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto x = from_host<float, TestType>(Shape<dyn, 2>(4), {1, 2, 3, 4, 5, 6, 7, 8});
  auto middle = x.rows(1, 2);
  static_assert(std::is_same_v<typename decltype(middle)::shape_type, Shape<dyn, 2>>);
  CHECK(to_host(middle) == std::vector<float>{3, 4, 5, 6});
  CHECK_FALSE(x.unique());
  fill(middle, 0.0f);
  CHECK(to_host(x) == std::vector<float>{1, 2, 0, 0, 0, 0, 7, 8});
  x = {};
  CHECK(to_host(middle) == std::vector<float>(4, 0.0f));

  const auto v = testing::vector_of<TestType>(std::vector<float>{1, 2, 3});
  CHECK(to_host(v.rows(2, 1)) == std::vector<float>{3});
  CHECK(v.rows(3, 0).count() == 0);
  CHECK_THROWS_AS(v.rows(2, 2), ShapeError);
  CHECK_THROWS_AS(v.rows(-1, 1), ShapeError);
  CHECK_THROWS_AS(v.rows(1, -1), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("a shape-only tensor has a shape and nothing else", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = one_to_six<TestType>();
  const auto shape_only = x.shape_only();
  CHECK_FALSE(shape_only);
  CHECK(shape_only.shape() == x.shape());
  CHECK(x.unique());
  const Tensor<float, Shape<dyn, 3>, TestType> none;
  CHECK_FALSE(none);
  CHECK(none.count() == 0);
  CHECK(none.extent(-1) == 3);
}

TEMPLATE_LIST_TEST_CASE("tensors without elements are tensors", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Matrix<float, TestType> empty(Shape<dyn, dyn>(0, 5));
  CHECK(empty);
  CHECK(to_host(empty).empty());
  CHECK(empty.rows(0, 0).count() == 0);
  CHECK(empty.reshape(Shape<dyn, dyn>(7, 0)).extent(0) == 7);
}

TEMPLATE_LIST_TEST_CASE("item is the value of a tensor of one, of any rank", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  CHECK(item(testing::vector_of<TestType>(std::vector<double>{2.5})) == 2.5);
  CHECK(item(testing::matrix_of<TestType>(1, 1, std::vector<std::int32_t>{-4})) == -4);
  CHECK_THROWS_AS(item(one_to_six<TestType>()), ShapeError);
  CHECK_THROWS_WITH(item(one_to_six<TestType>()), Catch::Contains("(2, 3)"));
}

}  // namespace tensor_test
