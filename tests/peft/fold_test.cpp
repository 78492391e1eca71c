// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/fold.hpp"

#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace fold_test {

using namespace veneer;

namespace {

using Layer = Linear<Matrix<float, Cpu>, AnyAdapter<Cpu>>;
struct Own {
  Layer first, second;
  auto operator()(const auto& x) const { return second(silu(first(x))); }
  static constexpr auto fields = std::tuple{field("first", &Own::first), field("second", &Own::second)};
};

Own own() {
  Own model;
  model.first.weight = testing::random_matrix<float, Cpu>(12, 6, 1, 0.3);
  model.second.weight = testing::random_matrix<float, Cpu>(3, 12, 2, 0.3);
  return model;
}

AdapterConfig config() {
  AdapterConfig config{.r = 2, .lora_alpha = 3};
  config.target_modules = {"first", "second"};
  config.init_lora_weights = "false";
  return config;
}

/// Folds, and checks what is true of all that can be folded.
FoldedAdapter<Own> folded(const AdapterConfig& settings, index_t rank) {
  Own model = own();
  const AdapterPlan plan = attach(model, settings, {.seed = 5});
  const auto x = testing::random_matrix<float, Cpu>(4, 6, 9);
  FoldedAdapter<Own> done = fold_to_lora(model, settings, plan);
  CHECK(testing::largest_difference(done.model(x), model(x)) < 1e-5);
  CHECK_FALSE(testing::same_bits(done.model(x), own()(x)));
  CHECK(done.config.r == rank);
  CHECK_FALSE(done.config.use_rslora);
  CHECK((done.config.rank_pattern.empty() && done.config.alpha_pattern.empty()));
  REQUIRE(done.plan.modules.size() == plan.modules.size());
  for (const AdaptedModule& module : done.plan.modules) {
    CHECK(module.rank == rank);
    CHECK(module.scaling == done.config.lora_alpha / static_cast<double>(rank));
  }
  CHECK(done.plan.trainable() == trainable_count(done.model));
  return done;
}

}  // namespace

TEST_CASE("plain LoRA stays what it is, to the handle") {
  Own model = own();
  const AdapterPlan plan = attach(model, config());
  const FoldedAdapter<Own> done = fold_to_lora(model, config(), plan);
  CHECK_FALSE(done.rewritten);
  CHECK(done.config.lora_alpha == 3);
  const auto *before = model.first.adapter.get<LowRankAdapter<Cpu>>(),
             *after = done.model.first.adapter.get<LowRankAdapter<Cpu>>();
  REQUIRE((before != nullptr && after != nullptr));
  CHECK(before->down.value().data() == after->down.value().data());
  CHECK_FALSE(folded(config(), 2).rewritten);
  AdapterConfig same = config();
  same.rank_pattern = {{"first", 4}, {"second", 4}};
  CHECK_FALSE(folded(same, 4).rewritten);
}

TEST_CASE("rsLoRA, patterns, VeRA and AdaLoRA become LoRA of one rank with a scale of 1") {
  AdapterConfig stabilised = config(), patterns = config(), vera = config(), adalora = config();
  stabilised.use_rslora = true;
  patterns.rank_pattern = {{"first", 3}};
  patterns.alpha_pattern = {{"second", 7}};
  vera.method = Vera{.r = 5, .vera_dropout = 0.25, .init_weights = false};
  AdaLora schedule;
  schedule.init_r = 4, schedule.target_r = 2, schedule.total_step = 10;
  schedule.rank_pattern =
      RankMasks{{"first.lora_E", {true, false, true, true}}, {"second.lora_E", {false, false, false, false}}};
  adalora.method = schedule;
  for (const auto& [settings, rank] :
       {std::pair<AdapterConfig, index_t>{stabilised, 2}, {patterns, 3}, {vera, 5}, {adalora, 3}}) {
    const FoldedAdapter<Own> done = folded(settings, rank);
    CHECK(done.rewritten);
    CHECK(done.config.lora_alpha == static_cast<double>(rank));
    CHECK(std::holds_alternative<Lora>(done.config.method));
  }
  CHECK(folded(vera, 5).config.lora_dropout == 0.25);
}

TEST_CASE("a bias of B is scaled with B") {
  AdapterConfig settings = config();
  settings.lora_bias = true, settings.use_rslora = true;
  Own model = own();
  const AdapterPlan plan = attach(model, settings);
  model.first.adapter.get<LowRankAdapter<Cpu>>()->bias = Parameter(testing::random_vector<float, Cpu>(12, 3));
  const FoldedAdapter<Own> done = fold_to_lora(model, settings, plan);
  const auto x = testing::random_matrix<float, Cpu>(4, 6, 9);
  CHECK(testing::largest_difference(done.model(x), model(x)) < 1e-5);
  CHECK(done.config.lora_bias);
}

TEST_CASE("what scales the weight itself is refused, with the way out") {
  AdapterConfig dora = config(), ia3 = config();
  dora.use_dora = true;
  ia3.method = Ia3{};
  for (const AdapterConfig& settings : {dora, ia3}) {
    Own model = own();
    const AdapterPlan plan = attach(model, settings);
    CHECK_THROWS_WITH(fold_to_lora(model, settings, plan), Catch::Contains("first") && Catch::Contains("merge it"));
  }
  CHECK_THROWS_AS(fold_to_lora(own(), config(), {}), ArgumentError);
}

}  // namespace fold_test
