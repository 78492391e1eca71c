// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/adalora.hpp"

#include "veneer/ops/reduce.hpp"
#include "veneer/peft/config.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace adalora_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5;

template <Real T, Backend B>
AdaLoraAdapter<B, T> trained(index_t rank, double dropout = 0.0) {
  AdaLoraAdapter<B, T> adapter;
  adapter.down = Parameter(testing::random_matrix<T, B>(rank, in, 1));
  adapter.singular = Parameter(testing::random_matrix<T, B>(rank, 1, 2));
  adapter.up = Parameter(testing::random_matrix<T, B>(out, rank, 3));
  adapter.scaling = 8.0;
  adapter.rank_number = 6.0;
  adapter.dropout_probability = dropout;
  return adapter;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("merging AdaLoRA changes no result, at any rank", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 4),
             x = testing::random_matrix<double, TestType>(tokens, in, 5);
  for (const index_t rank : {0, 1, 4, 20}) {
    CAPTURE(rank);
    const auto adapter = trained<double, TestType>(rank);
    CHECK(testing::largest_difference(adapter(w, NoBias{}, x), linear(x, adapter.merged(w, NoBias{}).weight)) < 1e-12);
    Tape tape;
    CHECK(testing::largest_difference(adapter(w, NoBias{}, tape.input(x)).value(), adapter(w, NoBias{}, x)) < 1e-12);
  }
  CHECK(testing::same_bits(trained<double, TestType>(0)(w, NoBias{}, x), linear(x, w)));
}

TEMPLATE_LIST_TEST_CASE("gradients of A, E and B are those of differences, with dropout too", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 4),
             x = testing::random_matrix<double, TestType>(tokens, in, 5),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  for (const double p : {0.0, 0.4}) {
    auto adapter = trained<double, TestType>(3, p);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, NoBias{}, tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.down, adapter.singular, adapter.up) < 1e-6);
  }
}

TEMPLATE_LIST_TEST_CASE("cutting masked triplets out changes no result, and no other handle", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 4),
             x = testing::random_matrix<double, TestType>(tokens, in, 5);
  for (const std::vector<bool>& kept : std::vector<std::vector<bool>>{
           {true, false, true, false}, {false, false, false, false}, {true, true, true, true}}) {
    auto adapter = trained<double, TestType>(4);
    std::vector<double> e = to_host(adapter.singular.value());
    for (std::size_t i = 0; i < 4; ++i) e[i] = kept[i] ? e[i] : 0.0;
    adapter.singular = Parameter(testing::matrix_of<TestType>(4, 1, e));
    *adapter.kept = kept;
    auto cut = adapter;
    cut.trim();
    CHECK(cut.rank() == std::count(kept.begin(), kept.end(), true));
    CHECK(testing::largest_difference(cut(w, NoBias{}, x), adapter(w, NoBias{}, x)) < 1e-13);
    CHECK(*adapter.kept == kept);
    CHECK(adapter.rank() == 4);
    AdapterConfig config{.method = AdaLora{}};
    adapter.record("a.b", config);
    cut.record("c", config);  // nothing masked is left in it
    const RankMasks expected{{"a.b.lora_E", kept}};
    CHECK(std::get<AdaLora>(config.method).rank_pattern == expected);
  }
}

TEST_CASE("a schedule that can't be kept is refused when it is made") {
  const auto problem = [](BudgetSchedule schedule) {
    try {
      schedule.check();
    } catch (const ArgumentError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(problem({.target_r = 2, .init_r = 3, .tinit = 2, .tfinal = 3, .total_step = 6}).empty());
  CHECK_THAT(problem({}), Catch::Contains("total_step"));
  CHECK_THAT(problem({.target_r = 12, .total_step = 10}), Catch::Contains("target_r"));
  CHECK_THAT(problem({.target_r = -1, .total_step = 10}), Catch::Contains("target_r"));
  CHECK_THAT(problem({.init_r = 0, .total_step = 10}), Catch::Contains("init_r"));
  CHECK_THAT(problem({.tinit = 5, .tfinal = 5, .total_step = 10}), Catch::Contains("tinit"));
  CHECK_THAT(problem({.total_step = 10, .delta_t = 0}), Catch::Contains("deltaT"));
  CHECK_THAT(problem({.total_step = 10, .beta1 = 1.0}), Catch::Contains("beta1"));
  CHECK_THAT(problem({.total_step = 10, .orth_reg_weight = -0.5}), Catch::Contains("orth_reg_weight"));
}

}  // namespace adalora_test
