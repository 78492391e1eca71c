// SPDX-License-Identifier: Apache-2.0
/// \file memory_plan.hpp
/// plan_memory: what training a Llama takes, by part, before anything is allocated.
///
///   weights      of the base, as they are stored: float32, 16 bits, or NF4
///   adapters     what trains beside the base, 4 bytes a parameter
///   gradients    4 bytes a parameter that trains
///   optimizer    8 bytes a parameter that trains: AdamW's two moments
///   activations  what the forward pass keeps for the backward pass
///   scratch      the rest of the peak
/// There is no formula behind it: two steps of training run on the backend Meter, which computes nothing and counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "veneer/backend/meter.hpp"
#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/peft/attach.hpp"
#include "veneer/train/trainer.hpp"

namespace veneer {

struct MemoryPlanOptions {
  std::optional<LoraConfig> adapter{};   // none: every weight trains
  std::optional<NF4Options> quantise{};  // of the linear layers
  bool half_weights = true;              // 16 bits a weight, else 32
  bool checkpointing = false;
  index_t batch = 1, length = 512;  // sequences, and tokens of each
  index_t micro_batches = 1;
};

/// Bytes. The parts add up to the peak.
struct MemoryPlan {
  double weights = 0, adapters = 0, gradients = 0, optimizer = 0, activations = 0, scratch = 0;
  double peak() const { return weights + adapters + gradients + optimizer + activations + scratch; }
};

namespace detail {

/// Gives every weight of an outline the storage that a reader would give it.
inline void fill_for_plan(AnyLlama<Meter>& model, const MemoryPlanOptions& options) {
  const std::set<std::string> linear = linear_weights(model);
  visit_base(model, [&](const std::string& name, auto& weight) {
    using W = std::remove_cvref_t<decltype(weight)>;
    const auto fill = [&]<class U>(U) {
      const Tensor<U, typename W::shape_type, Meter> stored(weight.shape(), model.device);
      if constexpr (HoldsPacked<W>) {
        if (options.quantise && linear.contains(name)) {
          weight = W(quantise_weight<float>(name, stored, *options.quantise));
          return;
        }
      }
      weight = W(stored);
    };
    if (options.half_weights) {
      fill(bfloat16{});
    } else {
      fill(0.0f);
    }
  });
}

}  // namespace detail

/// \throws ArgumentError as attach
inline MemoryPlan plan_memory(const LlamaConfig& config, const MemoryPlanOptions& options) {
  MemoryMeter& meter = MemoryMeter::instance();
  meter.reset();
  MemoryPlan plan;
  AnyLlama<Meter> model(config);
  model.checkpointing = options.checkpointing;
  detail::fill_for_plan(model, options);
  const auto used = [&] { return static_cast<double>(meter.used()); };
  plan.weights = used();
  const auto drawn = [](LoraConfig adapter) {  // the base has no values to start from, and the sizes are the same
    adapter.init_lora_weights = "true";
    return adapter;
  };
  const AdapterPlan trained = options.adapter ? attach(model, drawn(*options.adapter)) : train_everything(model);
  plan.adapters = used() - plan.weights;
  plan.gradients = 4.0 * static_cast<double>(trained.trainable());
  const double before = used();
  Trainer trainer(model);
  Batch batch;
  struct Example {
    std::vector<std::int32_t> ids, labels;
  };
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(options.length), 0);
  for (index_t i = 0; i < options.batch; ++i) batch.add(Example{tokens, tokens});
  const std::vector<Batch> batches(static_cast<std::size_t>(options.micro_batches), batch);
  trainer.step(batches);
  plan.optimizer = 8.0 * static_cast<double>(trained.trainable());
  {
    const double idle = used();
    Tape tape;
    const auto ids = from_host(Shape<dyn>(batch.tokens()), batch.ids, model.device);
    const auto loss = model.loss(tape.input(ids), batch.layout(), batch.targets, 1.0);
    plan.activations = used() - idle;
  }
  trainer.step(batches);
  const double parts = before + plan.gradients + plan.optimizer + plan.activations;
  plan.scratch = std::max(0.0, static_cast<double>(meter.resident()) - parts);
  return plan;
}

}  // namespace veneer
