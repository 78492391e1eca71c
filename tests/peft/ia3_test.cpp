// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/ia3.hpp"

#include "veneer/nn/linear.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace ia3_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5;

template <Real T, Backend B>
ScalingAdapter<B, T> trained(bool feedforward) {
  const Shape<dyn, dyn> of = feedforward ? Shape<dyn, dyn>(1, in) : Shape<dyn, dyn>(out, 1);
  return {Parameter(testing::random<T, B>(of, 1)), feedforward};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("merging IA3 changes no result, with a bias or without", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  const auto b = testing::random_vector<double, TestType>(out, 5);
  for (const bool feedforward : {false, true}) {
    const auto adapter = trained<double, TestType>(feedforward);
    CHECK(testing::largest_difference(adapter(w, NoBias{}, x), linear(x, adapter.merged(w, NoBias{}).weight)) < 1e-13);
    const auto merged = adapter.merged(w, b);
    CHECK(testing::largest_difference(adapter(w, b, x), add_row(linear(x, merged.weight), merged.bias)) < 1e-13);
  }
  const auto stored = convert<bfloat16>(convert<float>(w));
  const auto narrow = trained<float, TestType>(false);
  const auto y = convert<float>(x);
  CHECK(testing::largest_difference(narrow(stored, NoBias{}, y), linear(y, narrow.merged(stored, NoBias{}).weight)) <
        1e-4);
}

TEMPLATE_LIST_TEST_CASE("a layer scales its bias as its output", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using W = Tensor<double, Shape<dyn, dyn>, TestType>;
  using C = Tensor<double, Shape<dyn>, TestType>;
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 4);
  const Linear<W, ScalingAdapter<TestType, double>, C> layer{testing::random_matrix<double, TestType>(out, in, 3),
                                                             trained<double, TestType>(false),
                                                             testing::random_vector<double, TestType>(out, 5)};
  const auto expected = scale_columns(add_row(linear(x, layer.weight), layer.bias), layer.adapter.gains.value());
  CHECK(testing::largest_difference(layer(x), expected) < 1e-13);
}

TEMPLATE_LIST_TEST_CASE("gradients of IA3 are those of differences, also through the bias", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  const auto b = testing::random_vector<double, TestType>(out, 5);
  for (const bool feedforward : {false, true}) {
    auto adapter = trained<double, TestType>(feedforward);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, tape.input(b), tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.gains) < 1e-6);
  }
}

}  // namespace ia3_test
