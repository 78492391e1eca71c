// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/hira.hpp"

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace hira_test {

using namespace veneer;

namespace {

constexpr index_t out = 6, in = 11, tokens = 5, rank = 4;

template <Real T, Backend B>
HiraAdapter<B, T> trained(double dropout) {
  return {Parameter(testing::random_matrix<T, B>(rank, in, 1)), Parameter(testing::random_matrix<T, B>(out, rank, 2)),
          dropout};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("HiRA scales every element of the weight by 1 + (B A)", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3);
  const auto adapter = trained<double, TestType>(0.0);
  const LowRankFactors<double, TestType> product{adapter.down.value(), adapter.up.value(), 1.0, {}};
  const auto factor = product.merged(full<double>(w.shape(), 1.0, TestType{}), NoBias{}).weight;
  CHECK(testing::largest_difference(adapter.merged(w, NoBias{}).weight, multiply(w, factor)) < 1e-13);
  auto untrained = adapter;
  untrained.up = Parameter(zeros<double>(Shape<dyn, dyn>(out, rank), TestType{}));
  CHECK(testing::same_bits(untrained.merged(w, NoBias{}).weight, w));
}

TEMPLATE_LIST_TEST_CASE("gradients of HiRA are those of differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  for (const double p : {0.0, 0.4}) {
    auto adapter = trained<double, TestType>(p);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, NoBias{}, tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.down, adapter.up) < 1e-6);
  }
}

}  // namespace hira_test
