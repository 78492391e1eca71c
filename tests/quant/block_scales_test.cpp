// SPDX-License-Identifier: Apache-2.0
#include "veneer/quant/block_scales.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace block_scales_test {

using namespace veneer;

namespace {

template <Backend B>
Vector<float, B> maxima(index_t count, std::uint64_t seed) {
  return uniform<float, B>(Shape<dyn>(count), RandomStream{seed, 0}, 0.5f, 1.5f);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("plain scales are the block maxima", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto absmax = maxima<TestType>(300, 1);
  const BlockScales<TestType> scales(absmax);
  CHECK_FALSE(scales.nested());
  CHECK(scales.count() == 300);
  CHECK(testing::same_bits(scales.decoded(), absmax));
}

TEMPLATE_LIST_TEST_CASE("nested scales lie within half a step of the map of the maxima", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto map = dynamic_map();
  float widest = 0.0f;
  for (std::size_t i = 1; i < map.size(); ++i) widest = std::max(widest, map[i] - map[i - 1]);
  for (const index_t count : {1, 255, 256, 257, 1000}) {
    CAPTURE(count);
    const auto absmax = maxima<TestType>(count, 2);
    const BlockScales<TestType> scales = nest(absmax);
    CHECK(scales.nested());
    CHECK(scales.count() == count);
    CHECK(scales.nested_absmax().count() == (count + 255) / 256);
    // Below -0.99 the map has no value: there the whole step is the error.
    CHECK(testing::largest_difference(scales.decoded(), absmax) <= static_cast<double>(widest) * 0.6 * 0.5 + 1e-6);
  }
}

TEMPLATE_LIST_TEST_CASE("the product of a nested scale is rounded before the sum", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const BlockScales<TestType> scales = nest(maxima<TestType>(2000, 5), 0.9876543f);
  const std::vector<std::uint8_t> codes = to_host(scales.codes());
  const std::vector<float> nested = to_host(scales.nested_absmax()), map = to_host(scales.map());
  std::vector<float> expected;
  int fused_differs = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const volatile float product = map[codes[i]] * nested[i / 256];  // volatile: no compiler looks through it
    expected.push_back(product + scales.offset());
    fused_differs += std::fma(map[codes[i]], nested[i / 256], scales.offset()) != expected.back();
  }
  CHECK(to_host(scales.decoded()) == expected);
  CHECK(fused_differs > 0);  // the values tell the two apart
}

TEMPLATE_LIST_TEST_CASE("nesting around a given offset is idempotent", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const BlockScales<TestType> once = nest(maxima<TestType>(700, 3), 1.0f);
  // A block whose largest difference from the mean is an end of the map is a fixed point; a further
  // step changes nothing.
  const BlockScales<TestType> twice = nest(once.decoded(), 1.0f), thrice = nest(twice.decoded(), 1.0f);
  CHECK(testing::largest_difference(thrice.decoded(), twice.decoded()) <= 1e-6);
}

TEMPLATE_LIST_TEST_CASE("equal maxima are kept exactly", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto absmax = full<float, TestType>(Shape<dyn>(300), 0.3f);
  CHECK(testing::same_bits(nest(absmax).decoded(), absmax));
  CHECK(to_host(nest(absmax).codes()) == std::vector<std::uint8_t>(300, 127));
}

TEMPLATE_LIST_TEST_CASE("what is not finite is not nested, and parts that do not fit are refused", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const float odd : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> values(10, 1.0f);
    values[3] = odd;
    CHECK_THROWS_AS(nest(testing::vector_of<TestType>(values)), ArgumentError);
  }
  const BlockScales<TestType> good = nest(maxima<TestType>(300, 4));
  CHECK_THROWS_AS(BlockScales<TestType>(good.codes(), maxima<TestType>(3, 1), good.map(), 0.0f), ShapeError);
  CHECK_THROWS_AS(BlockScales<TestType>(good.codes(), good.nested_absmax(), maxima<TestType>(16, 1), 0.0f), ShapeError);
  CHECK_THROWS_AS(BlockScales<TestType>(good.codes(), good.nested_absmax(), good.map(), 0.0f, 0), ShapeError);
}

}  // namespace block_scales_test
