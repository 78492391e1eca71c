// SPDX-License-Identifier: Apache-2.0
#include "veneer/optim/lora_plus.hpp"

#include <cmath>
#include <string>

#include "veneer/backend/cpu.hpp"

#include "support/catch.hpp"

namespace lora_plus_test {

using namespace veneer;

TEST_CASE("LoRA+: every parameter is in the group that PEFT puts it in") {
  const LoraPlus plus{.ratio = 16.0, .learning_rate = 1e-4, .embedding_rate = 1e-6};
  const auto check = [&](const std::string& name, int rank, double rate, double decay) {
    CAPTURE(name);
    const ParameterGroup group = plus(name, rank);
    CHECK(group.learning_rate_factor == Approx(rate).epsilon(1e-14));
    CHECK(group.weight_decay_factor == decay);
  };
  const std::string layer = "model.layers.0.self_attn.q_proj.";
  check(layer + "lora_A.weight", 2, 1, 1);
  check(layer + "lora_B.weight", 2, 16, 1);
  check(layer + "lora_B.bias", 1, 16, 0);
  check(layer + "lora_magnitude_vector", 1, 16, 1);
  check(layer + "bias", 1, 16, 0);
  check(layer + "lora_A", 2, 1, 1);  // AdaLoRA's
  check(layer + "lora_E", 2, 1, 1);
  check(layer + "lora_B", 2, 16, 1);
  check("model.embed_tokens.lora_embedding_A", 2, 0.01, 1);
  check("model.embed_tokens.lora_embedding_B", 2, 0.01, 1);
  check("model.embed_tokens.lora_magnitude_vector", 1, 16, 1);
  check("model.norm.weight", 1, 16, 0);
  check("model.layers.1.input_layernorm.weight", 1, 16, 0);
  check("lm_head.weight", 2, 1, 1);
  CHECK(LoraPlus{.ratio = 4}("model.embed_tokens.lora_embedding_A", 2).learning_rate_factor == 0.0);
}

namespace {

using Leaf = Parameter<double, Shape<dyn, dyn>, Cpu>;
struct Model {
  Leaf a, b, table;
  Parameter<double, Shape<dyn>, Cpu> bias;
  static constexpr auto fields =
      std::tuple{field("q_proj.lora_A.weight", &Model::a), field("q_proj.lora_B.weight", &Model::b),
                 field("embed_tokens.lora_embedding_A", &Model::table), field("q_proj.bias", &Model::bias)};
};

}  // namespace

TEST_CASE("LoRA+: a step moves each group at its rate, and decays what decays") {
  Model model;
  const auto two = full<double>(Shape<dyn, dyn>(1, 1), 2.0, Cpu{});
  model.a = Leaf(copy(two)), model.b = Leaf(copy(two)), model.table = Leaf(copy(two));
  model.bias = Parameter<double, Shape<dyn>, Cpu>(full<double>(Shape<dyn>(1), 2.0, Cpu{}));
  AdamW optimizer(model, {.learning_rate = 1e-2, .weight_decay = 0.1},
                  LoraPlus{.ratio = 8, .learning_rate = 1e-2, .embedding_rate = 1e-3});
  Tape tape;
  const auto sum = add(add(on_tape(model.a, tape), on_tape(model.b, tape)), on_tape(model.table, tape));
  backward(add(sum, scale(add_row(sum, on_tape(model.bias, tape)), 1.0)));
  optimizer.step(5e-3);  // the schedule is at one half
  const auto moved = [](const auto& parameter) { return 2.0 - item(parameter.value()); };
  // The first step of Adam is the rate; decay takes rate * decay of 2.
  CHECK(moved(model.a) == Approx(5e-3 * (1 + 0.2)).epsilon(1e-6));
  CHECK(moved(model.b) == Approx(8 * 5e-3 * (1 + 0.2)).epsilon(1e-6));
  CHECK(moved(model.table) == Approx(5e-4 * (1 + 0.2)).epsilon(1e-6));
  CHECK(moved(model.bias) == Approx(8 * 5e-3).epsilon(1e-6));
}

}  // namespace lora_plus_test
