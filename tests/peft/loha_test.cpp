// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/loha.hpp"

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace loha_test {

using namespace veneer;

namespace {

constexpr index_t out = 6, in = 11, tokens = 5, rank = 4;

template <Real T, Backend B>
LohaAdapter<B, T> trained(double scaling) {
  return {Parameter(testing::random_matrix<T, B>(out, rank, 1)), Parameter(testing::random_matrix<T, B>(rank, in, 2)),
          Parameter(testing::random_matrix<T, B>(out, rank, 5)), Parameter(testing::random_matrix<T, B>(rank, in, 7)),
          scaling};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("LoHa adds the elementwise product of two low-rank matrices", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto adapter = trained<double, TestType>(0.5);
  const auto zero = zeros<double>(Shape<dyn, dyn>(out, in), TestType{});
  const auto of = [&](const auto& down, const auto& up) {
    return LowRankFactors<double, TestType>{down.value(), up.value(), 1.0, {}}.merged(zero, NoBias{}).weight;
  };
  const auto expected = scale(multiply(of(adapter.down1, adapter.up1), of(adapter.down2, adapter.up2)), 0.5);
  CHECK(testing::largest_difference(adapter.delta().weight, expected) < 1e-13);
  auto refused = adapter;
  refused.trains = false;
  Tape tape;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  CHECK_THROWS_WITH(refused(w, NoBias{}, tape.input(x)), Catch::Contains("rank_dropout"));
}

TEMPLATE_LIST_TEST_CASE("gradients of LoHa are those of differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  for (const double p : {0.5, 2.0}) {
    auto adapter = trained<double, TestType>(p);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, NoBias{}, tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.up1, adapter.down1, adapter.up2, adapter.down2) < 1e-6);
  }
}

}  // namespace loha_test
