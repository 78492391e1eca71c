// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/vera.hpp"

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace vera_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5, rank = 4;

/// In a model whose largest module is (out + 3, in + 5).
template <Real T, Backend B>
VeraAdapter<B, T> trained(double dropout = 0.0) {
  return {Parameter(testing::random_vector<T, B>(rank, 1)), Parameter(testing::random_vector<T, B>(out, 2)),
          std::make_shared<SharedProjection<T, B>>(rank, out + 3, in + 5, 11, true, true, B{}), dropout};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("merging VeRA changes no result", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  const auto adapter = trained<double, TestType>();
  CHECK(testing::largest_difference(adapter(w, NoBias{}, x), linear(x, adapter.merged(w, NoBias{}).weight)) < 1e-13);
  auto untrained = adapter;
  untrained.b = Parameter(zeros<double>(Shape<dyn>(out), TestType{}));
  CHECK(testing::same_bits(untrained(w, NoBias{}, x), linear(x, w)));
}

TEMPLATE_LIST_TEST_CASE("gradients of VeRA are those of differences, with dropout too", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  for (const double p : {0.0, 0.4}) {
    auto adapter = trained<double, TestType>(p);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, NoBias{}, tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.d, adapter.b) < 1e-6);
  }
}

}  // namespace vera_test
