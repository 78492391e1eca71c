// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/trainer.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/ops/cross_entropy.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/tensor/factory.hpp"

#include "support/catch.hpp"

namespace trainer_test {

using namespace veneer;

namespace {

/// The smallest language model: a row of logits for each token.    (vocabulary, vocabulary)
struct Bigrams {
  Parameter<float, Shape<dyn, dyn>, Cpu> table{normal<float>(Shape<dyn, dyn>(7, 7), {3, 1}, 1.0, Cpu{})};
  Cpu device{};

  auto loss(const auto& ids, const std::shared_ptr<const AttentionLayout>&, const std::vector<std::int32_t>& targets,
            double scale) const {
    const auto& tokens = value_of(ids);
    const auto labels = from_host(Shape<dyn>(static_cast<index_t>(targets.size())), targets, device);
    if constexpr (VariableLike<decltype(ids)>) {
      return cross_entropy_sum(gather_rows(on_tape(table, ids.tape()), tokens), labels, scale);
    } else {
      return cross_entropy_sum(gather_rows(table.value(), tokens), labels, scale);
    }
  }
  static constexpr auto fields = std::tuple{field("table", &Bigrams::table)};
};

struct Labelled {
  std::vector<std::int32_t> ids, labels;
};
const std::vector<Labelled> examples{
    {{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}}, {{6, 0}, {-100, 0}}, {{2, 2, 1}, {2, -100, 1}}};

/// Returns the examples, with `cut` of them per micro-batch.
std::vector<Batch> cut_into(std::size_t cut) {
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    if (i % cut == 0) batches.emplace_back();
    batches.back().add(examples[i]);
  }
  return batches;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, static_cast<double>(std::abs(a[i] - b[i])));
  return most;
}

}  // namespace

TEST_CASE("how a step is cut into micro-batches does not change what is learnt") {
  std::vector<StepReport> reports;
  std::vector<std::vector<float>> tables;
  for (const std::size_t cut : {3u, 2u, 1u}) {
    Bigrams model;
    Trainer trainer(model, {.optimizer = {.learning_rate = 0.1}});
    reports.push_back(trainer.step(cut_into(cut)));
    reports.back() = trainer.step(cut_into(cut));
    tables.push_back(to_host(model.table.value()));
    CHECK(reports.back().targets == 6);  // 4, 1 and 1: a mean of means would weigh them otherwise
    CHECK(reports.back().loss == Approx(reports[0].loss).epsilon(1e-6));
    CHECK(reports.back().gradient_norm == Approx(reports[0].gradient_norm).epsilon(1e-6));
    CHECK(distance(tables.back(), tables[0]) < 1e-5);
  }
  CHECK(distance(tables[0], to_host(Bigrams().table.value())) > 0.05);
}

TEST_CASE("the loss of a step is the mean over its targets") {
  Bigrams model;
  double sum = 0.0;
  for (const Batch& batch : cut_into(1)) sum += evaluate_loss(model, batch);
  CHECK(Trainer(model).step(cut_into(2)).loss == Approx(sum / 6.0).epsilon(1e-6));
}

TEST_CASE("a step without a target changes no moment's direction and gives no number that is none") {
  Bigrams model;
  Batch silent;
  silent.add(Labelled{{1, 2}, {-100, -100}});
  const auto before = to_host(model.table.value());
  const StepReport report = Trainer(model).step({silent});
  CHECK(report.loss == 0.0);
  CHECK(report.gradient_norm == 0.0);
  CHECK(to_host(model.table.value()) == before);
}

TEST_CASE("a step that leaves the finite numbers is an error, and leaves parameters and moments alone") {
  Bigrams model;
  Trainer trainer(model, {.optimizer = {.learning_rate = 0.1}});
  trainer.step(cut_into(3));
  auto values = to_host(model.table.value());
  values[2 * 7] = std::numeric_limits<float>::infinity();
  model.table = Parameter(from_host(model.table.shape(), values, Cpu{}));
  Trainer fresh(model, {.optimizer = {.learning_rate = 0.1}});
  CHECK_THROWS_AS(fresh.step(cut_into(3)), DivergedError);
  CHECK(to_host(model.table.value()) == values);
  CHECK(fresh.optimizer().steps() == 0);
}

TEST_CASE("the mean loss counts targets, not lines, however many lines are taken at a time") {
  const Bigrams model;
  double sum = 0.0;
  index_t counted = 0;
  for (const Batch& batch : cut_into(1)) sum += evaluate_loss(model, batch), counted += batch.counted;
  REQUIRE(counted == 6);
  for (const std::size_t at_once : {1u, 2u, 3u, 32u})
    CHECK(std::abs(mean_loss(model, examples, at_once) - sum / 6.0) < 1e-6);  // floats are summed in another order
  CHECK(mean_loss(model, std::vector<Labelled>{{{1, 2}, {-100, -100}}}) == 0.0);
}

}  // namespace trainer_test
