// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/memory_plan.hpp"

#include <cstdint>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/tensor/factory.hpp"

#include "support/catch.hpp"

using namespace veneer;

namespace {

LlamaConfig config_of(index_t hidden, index_t layers) {
  LlamaConfig config;
  config.vocab_size = 256;
  config.hidden_size = hidden;
  config.intermediate_size = 3 * hidden;
  config.num_hidden_layers = layers;
  config.num_attention_heads = config.num_key_value_heads = 4;
  config.head_dim = hidden / 4;
  config.window.assign(static_cast<std::size_t>(layers), 0);
  return config;
}

LoraConfig lora(bool dora = false) {
  LoraConfig config{.r = 8, .lora_alpha = 16};
  config.target_modules = ModuleChoice::all_linear();
  config.use_dora = dora;
  return config;
}

/// What two steps of the same training take from the arena.
double measured(const LlamaConfig& config, const MemoryPlanOptions& options) {
  cpu::Memory& memory = cpu::Memory::instance();
  memory.trim();
  const std::size_t before = memory.use().reserved;
  AnyLlama<Cpu> model(config);
  model.checkpointing = options.checkpointing;
  visit(model, [](const std::string&, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (WeightSlotLike<Part>) {
      if (present(part)) part = Part(zeros<bfloat16>(part.shape(), Cpu{}));
    }
  });
  options.adapter ? attach(model, *options.adapter) : train_everything(model);
  Trainer trainer(model);
  struct Example {
    std::vector<std::int32_t> ids, labels;
  };
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(options.length), 1);
  Batch batch;
  for (index_t i = 0; i < options.batch; ++i) batch.add(Example{tokens, tokens});
  for (int step = 0; step < 2; ++step) trainer.step({batch});
  return static_cast<double>(memory.use().reserved - before);
}

}  // namespace

TEST_CASE("a plan is what training takes") {
  const LlamaConfig config = config_of(128, 4);
  for (const bool checkpointing : {false, true}) {
    for (const int method : {0, 1, 2}) {
      MemoryPlanOptions options{.checkpointing = checkpointing, .batch = 2, .length = 128};
      if (method < 2) options.adapter = lora(method == 1);
      CAPTURE(checkpointing, method);
      // size classes are up to a quarter larger than what is asked, which is not resident; products pack on top
      const double plan = plan_memory(config, options).peak(), found = measured(config, options);
      CHECK(plan > 0.75 * found);
      CHECK(plan < 1.05 * found);
    }
  }
}

TEST_CASE("the parts of a plan follow from the model") {
  const LlamaConfig config = config_of(64, 2);
  const auto count = static_cast<double>(parameter_count(config));
  MemoryPlanOptions options{.adapter = lora(), .batch = 1, .length = 64};
  const MemoryPlan base = plan_memory(config, options);
  CHECK(base.weights == 2.0 * count);
  options.half_weights = false;
  CHECK(plan_memory(config, options).weights == 4.0 * count);
  options.half_weights = true;

  AnyLlama<Meter> outline(config);
  const auto trained = static_cast<double>(plan_adapter(outline, lora()).trainable());
  CHECK(base.adapters == 4.0 * trained);
  CHECK(base.gradients == 4.0 * trained);
  CHECK(base.optimizer == 8.0 * trained);

  options.batch = 3;
  CHECK(plan_memory(config, options).activations == Approx(3.0 * base.activations).epsilon(0.01));
  options.checkpointing = true;
  CHECK(plan_memory(config, options).activations < 1.5 * base.activations);

  options.adapter.reset();
  CHECK(plan_memory(config, options).optimizer == 8.0 * count);
}

TEST_CASE("a quantised model takes about 4 bits a weight, and a plan leaves nothing behind") {
  const LlamaConfig config = config_of(1024, 2);
  MemoryPlanOptions options{.adapter = lora(), .batch = 1, .length = 8};
  const double dense = plan_memory(config, options).weights;
  options.quantise = NF4Options{.double_quant = true};
  const double packed = plan_memory(config, options).weights;
  const double outside = 2.0 * (2.0 * 256.0 * 1024.0 + 5.0 * 1024.0);  // embedding, head and norms
  // codes, a byte for each 64 of them, a float for each 256 of those, and tables of a tensor
  const double linear = (dense - outside) / 2.0, bits = 4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0);
  CHECK(packed - outside >= linear * bits / 8.0);
  CHECK(packed - outside <= linear * bits / 8.0 + 14.0 * 4096.0);
  CHECK(MemoryMeter::instance().used() == 0);
}
