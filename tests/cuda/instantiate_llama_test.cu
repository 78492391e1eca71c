// SPDX-License-Identifier: Apache-2.0
/// \file
/// A Llama sized at run time, with adapters in run-time slots, compiled for Cuda: loss, backward pass, optimiser,
/// generation. Where there is a device, its numbers are compared with those of Cpu.
#include <cmath>
#include <string>
#include <vector>

#include "veneer/nn/generate.hpp"
#include "veneer/nn/llama.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/optim/clip.hpp"
#include "veneer/peft/lora.hpp"

#include "support/backends.hpp"

using namespace veneer;

namespace {

template <Backend B>
using Model = Llama<LlamaExtents{}, B, stored<float>, AdapterSlot<LowRankAdapter<B>>,
                    EmbeddingAdapterSlot<LowRankEmbeddingAdapter<B>>>;

LlamaConfig small_config() {
  LlamaConfig config;
  config.vocab_size = 48;
  config.hidden_size = 32;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.qkv_bias = true;
  config.window = {0, 5};
  return config;
}

/// The same values on every backend.
template <class T, Backend B, class S>
Tensor<T, S, B> drawn(S shape, std::uint64_t seed, double stddev) {
  const auto values = normal<float>(shape, {seed, 1}, stddev, Cpu{});
  return convert<T>(from_host(shape, to_host(values), B{}));
}

template <Backend B>
Model<B> made() {
  Model<B> model(small_config());
  std::uint64_t seed = 0;
  visit(model, [&](const std::string&, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (WeightSlotLike<Part>) {
      if (!part) return;
      // float and half take turns: stored weights widen on the device
      if (++seed % 2 == 0) {
        part = Part(drawn<float, B>(part.shape(), seed, 0.2));
      } else {
        part = Part(drawn<veneer::half, B>(part.shape(), seed, 0.2));
      }
    }
  });
  const auto fill = [&](auto& layer, index_t rank) {
    const auto down = drawn<float, B>(Shape<dyn, dyn>(rank, layer.weight.extent(1)), ++seed, 0.2);
    const auto up = drawn<float, B>(Shape<dyn, dyn>(layer.weight.extent(0), rank), ++seed, 0.2);
    layer.adapter = LowRankAdapter<B>(down, up, 0.5);
  };
  for (auto& layer : model.model.layers) fill(layer.self_attn.q_proj, 4), fill(layer.mlp.down_proj, 1);
  LowRankEmbeddingAdapter<B> table(model.model.embed_tokens.weight.shape(), {}, {}, 2);
  table.down = Parameter(drawn<float, B>(Shape<dyn, dyn>(2, 48), ++seed, 0.2));
  table.up = Parameter(drawn<float, B>(Shape<dyn, dyn>(32, 2), ++seed, 0.2));
  model.model.embed_tokens.adapter = table;
  model.model.layers[1].input_layernorm.weight.train();
  return model;
}

/// All that is to be compared: losses of three steps of training, then every parameter and some logits.
template <Backend B>
std::vector<float> trained(bool checkpointing) {
  Model<B> model = made<B>();
  model.checkpointing = checkpointing;
  AdamW optimizer(model, {.learning_rate = 1e-3});
  const auto ids = from_host(Shape<dyn>(9), std::vector<std::int32_t>{1, 5, 40, 2, 2, 17, 30, 8, 47}, B{});
  const auto layout = AttentionLayout::packed({6, 3});
  const std::vector<std::int32_t> targets{5, ignored_label, 2, 2, 17, ignored_label, 8, 47, 0};
  std::vector<float> all;
  for (int step = 0; step < 3; ++step) {
    Tape tape;
    const auto loss = model.loss(tape.input(ids), layout, targets, 1.0 / 7.0);
    backward(loss);
    all.push_back(item(loss.value()));
    all.push_back(static_cast<float>(clip_gradients(optimizer, 0.5)));
    optimizer.step();
  }
  visit_parameters(model, [&](const std::string&, auto& parameter) {
    const std::vector<float> values = to_host(parameter.value());
    all.insert(all.end(), values.begin(), values.end());
  });
  const std::vector<float> logits = to_host(model(ids, layout));
  all.insert(all.end(), logits.begin(), logits.end());
  return all;
}

}  // namespace

TEST_CASE("a Llama without values is made without a device") {
  const Model<Cuda> model(small_config());
  CHECK(model.model.layers.size() == 2);
  CHECK(model.model.embed_tokens.weight.shape() == Shape<48, 32>{});
}

TEST_CASE("training a Llama with adapters agrees") {
  for (const bool checkpointing : {false, true}) {
    const std::vector<float> expected = trained<Cpu>(checkpointing);
    for (const float value : expected) REQUIRE(std::isfinite(value));
    REQUIRE(expected[4] < expected[0]);  // it learns
    if (!Cuda::available()) {
      REQUIRE_THROWS_AS(trained<Cuda>(checkpointing), BackendError);
      continue;
    }
    const std::vector<float> found = trained<Cuda>(checkpointing);
    REQUIRE(found.size() == expected.size());
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      error += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
      size += std::pow(static_cast<double>(expected[i]), 2);
    }
    CHECK(error <= 1e-7 * size);  // three steps of AdamW amplify what rounding leaves of small gradients
    CHECK(trained<Cuda>(checkpointing) == found);
  }
  testing::usable<Cuda>();
}

TEST_CASE("generating from a Llama with adapters agrees") {
  const std::vector<std::vector<std::int32_t>> prompts{{1, 5, 40, 2}, {17, 30}};
  GenerateOptions options;
  options.max_new_tokens = 8;
  const auto expected = generate(made<Cpu>(), prompts, options);
  REQUIRE(expected.size() == 2);
  REQUIRE(expected[0].size() == 8);
  if (Cuda::available()) CHECK(generate(made<Cuda>(), prompts, options) == expected);
  if (!Cuda::available()) REQUIRE_THROWS_AS(generate(made<Cuda>(), prompts, options), BackendError);
  testing::usable<Cuda>();
}
