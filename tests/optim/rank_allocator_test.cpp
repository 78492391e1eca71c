// SPDX-License-Identifier: Apache-2.0
#include "veneer/optim/rank_allocator.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "veneer/ops/reduce.hpp"
#include "veneer/optim/adamw.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace rank_allocator_test {

using namespace veneer;

namespace {

template <class A>
struct Pair {
  A first, second;
  static constexpr auto fields = std::tuple{field("first", &Pair::first), field("second", &Pair::second)};
};

constexpr index_t rank = 6;
constexpr BudgetSchedule schedule{
    .target_r = 2, .init_r = rank, .tinit = 3, .tfinal = 4, .total_step = 16, .delta_t = 2};

template <Backend B, Real T = float>
AdaLoraAdapter<B, T> fresh(std::uint64_t seed, const BudgetSchedule& budget = schedule) {
  AdaLoraAdapter<B, T> adapter;
  adapter.down = Parameter(testing::random_matrix<T, B>(rank, 10, seed, 0.3));
  adapter.singular = Parameter(testing::random_matrix<T, B>(rank, 1, seed + 1));
  adapter.up = Parameter(testing::random_matrix<T, B>(8, rank, seed + 2, 0.3));
  adapter.scaling = adapter.rank_number = static_cast<double>(rank);
  adapter.schedule = budget;
  return adapter;
}

template <class A, class B>
void one_step(Pair<A>& model, AdamW& optimizer, std::uint64_t step, const B&) {
  Tape tape;
  const auto x = tape.input(testing::random_matrix<float, B>(5, 10, 100 + step));
  const auto w = testing::random_matrix<float, B>(8, 10, 50),
             target = testing::random_matrix<float, B>(5, 8, 200 + step);
  backward(mean_squared_error(add(model.first(w, NoBias{}, x), model.second(w, NoBias{}, x)), target));
  add_orthogonality(model);
  optimizer.step();
}

index_t kept_in_all(const AdamW& optimizer) {
  index_t sum = 0;
  for (const TripletState& state : optimizer.allocator().states())
    sum += std::count(state.kept.begin(), state.kept.end(), true);
  return sum;
}

}  // namespace

TEST_CASE("the budget falls by a cube from the first rank to the last") {
  // 64 modules; the numbers are those of PEFT's scheduler
  const BudgetSchedule s{.target_r = 8, .init_r = 12, .tinit = 10, .tfinal = 20, .total_step = 100};
  const std::vector<std::pair<index_t, index_t>> recorded{{1, 768},  {10, 768}, {11, 757}, {20, 673},
                                                          {45, 544}, {79, 512}, {80, 512}, {81, 512}};
  for (const auto& [step, ranks] : recorded) {
    CAPTURE(step);
    CHECK(budget_at(s, step, 64).ranks == ranks);
    CHECK(budget_at(s, step, 64).masks == (step > 10));
  }
  CHECK_FALSE(budget_at(schedule, 5, 2).masks);
  CHECK(budget_at(schedule, 6, 2).masks);
}

TEMPLATE_LIST_TEST_CASE("the optimizer's step reaches the budget, and there is nothing to call", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Pair<AdaLoraAdapter<TestType>> model{fresh<TestType>(1), fresh<TestType>(11)};
  AdamW optimizer(model, {.learning_rate = 0.05});
  for (index_t step = 1; step <= schedule.total_step; ++step) {
    CAPTURE(step);
    one_step(model, optimizer, static_cast<std::uint64_t>(step), TestType{});
    const auto now = optimizer.allocator().budget(step);
    if (step < 4) CHECK(model.first.kept->empty());
    if (now.masks) CHECK(kept_in_all(optimizer) == now.ranks);
    if (!now.masks) continue;
    for (const auto* adapter : {&model.first, &model.second}) {
      const auto e = to_host(adapter->singular.value());
      for (std::size_t i = 0; i < e.size(); ++i)
        if (!(*adapter->kept)[i]) CHECK(e[i] == 0.0f);
    }
  }
  CHECK(kept_in_all(optimizer) == 2 * schedule.target_r);
}

TEMPLATE_LIST_TEST_CASE("scores are those of the paper, value by value", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  // Two steps are observed; the third masks by the averages of both.
  const BudgetSchedule short_one{.target_r = 2, .init_r = rank, .tinit = 2, .tfinal = 0, .total_step = 3};
  Pair<AdaLoraAdapter<TestType>> model{fresh<TestType>(1, short_one), fresh<TestType>(11, short_one)};
  RankAllocator allocator(model);
  struct Average {
    double s = 0.0, u = 0.0;
  };
  std::vector<std::vector<Average>> averages(6);
  std::vector<double> scores(2 * rank, 0.0);
  for (index_t step = 1; step <= 2; ++step) {
    std::size_t number = 0;
    for (auto* adapter : {&model.first, &model.second}) {
      for (auto* p : {&adapter->down, &adapter->singular, &adapter->up}) {
        const auto gradient =
            testing::random<float, TestType>(p->shape(), 300 + 10 * static_cast<std::uint64_t>(step) + number);
        p->clear_gradient();
        p->slot()->add(gradient);
        const auto values = to_host(std::as_const(*p).value()), slopes = to_host(gradient);
        averages[number].resize(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
          Average& a = averages[number][i];
          const double now = std::abs(static_cast<double>(values[i]) * static_cast<double>(slopes[i]));
          a.s = 0.85 * a.s + 0.15 * now;
          a.u = 0.85 * a.u + 0.15 * std::abs(now - a.s);
        }
        ++number;
      }
    }
    allocator.step(step);
  }
  for (std::size_t m = 0; m < 2; ++m) {
    for (std::size_t t = 0; t < rank; ++t) {
      const auto score = [](const Average& a) { return a.s * a.u; };
      double row = 0.0, column = 0.0;
      for (std::size_t i = 0; i < 10; ++i) row += score(averages[3 * m][t * 10 + i]) / 10;
      for (std::size_t i = 0; i < 8; ++i) column += score(averages[3 * m + 2][i * rank + t]) / 8;
      scores[m * rank + t] = score(averages[3 * m + 1][t]) + row + column;
    }
  }
  allocator.step(3);  // the last step masks by the averages before it
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  const double threshold = sorted[2 * rank - 4 - 1];
  for (std::size_t m = 0; m < 2; ++m) {
    const auto& kept = m == 0 ? *model.first.kept : *model.second.kept;
    for (std::size_t t = 0; t < rank; ++t) CHECK(kept[t] == (scores[m * rank + t] > threshold));
  }
}

TEMPLATE_LIST_TEST_CASE("a run that is restored at any step ends with the same bits", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Model = Pair<AdaLoraAdapter<TestType>>;
  const auto run = [](Model& model, AdamW& optimizer, index_t from, index_t to) {
    for (index_t step = from; step <= to; ++step)
      one_step(model, optimizer, static_cast<std::uint64_t>(step), TestType{});
  };
  Model whole{fresh<TestType>(1), fresh<TestType>(11)};
  AdamW whole_optimizer(whole, {.learning_rate = 0.05});
  run(whole, whole_optimizer, 1, schedule.total_step);
  for (const index_t stop : {1, 4, 7, 12, 14}) {
    CAPTURE(stop);
    Model model{fresh<TestType>(1), fresh<TestType>(11)};
    AdamW optimizer(model, {.learning_rate = 0.05});
    run(model, optimizer, 1, stop);
    Model other{fresh<TestType>(21), fresh<TestType>(31)};
    AdamW again(other, {.learning_rate = 0.05});
    again.restore(stop, optimizer.moments(), optimizer.allocator().states());
    run(other, again, stop + 1, schedule.total_step);
    CHECK(testing::same_bits(other.first.singular.value(), whole.first.singular.value()));
    CHECK(testing::same_bits(other.second.down.value(), whole.second.down.value()));
    CHECK(*other.first.kept == *whole.first.kept);
  }
}

TEMPLATE_LIST_TEST_CASE("the gradient of orthogonality is that of differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Model = Pair<AdaLoraAdapter<TestType, double>>;
  Model model{fresh<TestType, double>(1), fresh<TestType, double>(11)};
  add_orthogonality(model);
  const auto value = [&] {
    double sum = 0.0;
    for (auto* adapter : {&model.first, &model.second}) {
      sum += item(row_orthogonality(std::as_const(adapter->down).value()));
      sum += item(column_orthogonality(std::as_const(adapter->up).value()));
    }
    return sum * 0.5 / 4.0;
  };
  CHECK(testing::slope_error(model.first.down, value) < 1e-6);
  CHECK(testing::slope_error(model.second.up, value) < 1e-6);
}

TEMPLATE_LIST_TEST_CASE("schedules that differ, and adapters that were masked before, are refused", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  BudgetSchedule other = schedule;
  other.tinit = 1;
  Pair<AdaLoraAdapter<TestType>> mixed{fresh<TestType>(1), fresh<TestType>(11, other)};
  CHECK_THROWS_WITH(AdamW(mixed), Catch::Contains("one schedule"));
  other = schedule;
  other.init_r = rank + 1;
  Pair<AdaLoraAdapter<TestType>> cut{fresh<TestType>(1, other), fresh<TestType>(11, other)};
  CHECK_THROWS_WITH(AdamW(cut), Catch::Contains("was masked"));
  other = schedule;
  other.total_step = 7;
  Pair<AdaLoraAdapter<TestType>> late{fresh<TestType>(1, other), fresh<TestType>(11, other)};
  CHECK_THROWS_WITH(AdamW(late), Catch::Contains("tinit, tfinal"));
}

}  // namespace rank_allocator_test
