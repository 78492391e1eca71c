// SPDX-License-Identifier: Apache-2.0
/// \file memory_plan.hpp
/// plan_memory: the memory that training a Llama takes, by part, computed before anything is allocated.
///
///   weights      of the base: float32, 16 bits, or 4 bits; float32 if all of them are trained
///   adapters     in addition to the base: adapters, and copies of modules trained in full
///   gradients    4 bytes per trained parameter
///   optimizer    8 bytes per trained parameter, AdamW's two moments; another 8 for AdaLoRA's two averages
///   activations  values kept by the forward pass for the backward pass
///   scratch      the rest: temporary results, packed operands, unused ends of pages
///   training = weights + adapters + gradients + optimizer + activations + scratch - reused
///   peak = max(training, loading)
/// `reused` is above 0 if gradients are allocated in the freed memory of activations. The estimate is not a
/// formula: two training steps run on the backend DryRun, which computes nothing and counts. Every token is assumed
/// to have a target.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "veneer/backend/dry_run.hpp"
#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/peft/attach.hpp"
#include "veneer/train/trainer.hpp"

namespace veneer {

struct MemoryPlanOptions {
  std::optional<AdapterConfig> adapter{};     // none: every weight is trained
  std::optional<QuantizeOptions> quantise{};  // of the linear layers, as they are read
  bool checkpointing = false;
  Storage activations = Storage::float32;
  index_t batch = 1, length = 512;  // sequences of a micro-batch, and tokens of each
  index_t micro_batches = 1;
  int threads = 0;                           // 0: one per core
  const ShardedCheckpoint* files = nullptr;  // the storage types of weights; if null, config.dtype
};

/// Memory in bytes, by part.
struct MemoryPlan {
  index_t weights = 0, adapters = 0, gradients = 0, optimizer = 0, activations = 0, scratch = 0, reused = 0;
  index_t loading = 0;  // while weights are read: the weights in memory, and the largest tensor of a file
  index_t training = 0;
  index_t reserved = 0;  // as reported by Cpu's arena: whole size classes, touched or not
  index_t peak() const { return std::max(loading, training); }
};

namespace detail {

/// The storage of one weight after it is read.
struct PlannedStorage {
  Dtype dtype = Dtype::f32;  // of the file
  std::optional<QuantizeOptions> packed{};
};

inline PlannedStorage planned_storage(const std::string& name, bool linear, const std::string& dtype,
                                      const MemoryPlanOptions& options) {
  PlannedStorage storage;
  if (options.files == nullptr) {
    storage.dtype = dtype == "bfloat16" ? Dtype::bf16 : dtype == "float16" ? Dtype::f16 : Dtype::f32;
  } else {
    storage.dtype = options.files->at(name).dtype;
    if (const auto state = find_quant_state(*options.files, name))
      storage.packed = NF4Options{.blocksize = state->blocksize, .double_quant = state->nested};
  }
  if (!storage.packed && linear) storage.packed = options.quantise;
  return storage;
}

/// Gives every weight of a shape-only model the storage that a reader would give it.
/// \returns the size in bytes of the largest tensor of the files
template <class Model>
index_t fill_for_plan(Model& model, const MemoryPlanOptions& options) {
  const std::set<std::string> linear = linear_weights(model);
  index_t largest = 0;
  visit_base(model, [&](const std::string& name, auto& weight) {
    using W = std::remove_cvref_t<decltype(weight)>;
    const PlannedStorage storage = planned_storage(name, linear.contains(name), model.config.dtype, options);
    const auto fill = [&]<class U>(U) {
      using Dense = Tensor<U, typename W::shape_type, typename W::backend>;
      if constexpr (HoldsPacked<W>) {
        if (storage.packed) {
          weight = std::visit(
              [&]<class Options>(const Options& of_format) {
                using S = typename W::shape_type;
                using Format = typename Options::template tensor<S, typename W::backend, typename W::scalar>;
                return W(Format::uninitialized(weight.shape(), of_format, model.device));
              },
              *storage.packed);
          return;
        }
      }
      weight = W(Dense(weight.shape(), model.device));
    };
    const bool narrow = storage.dtype == Dtype::bf16 || storage.dtype == Dtype::f16;
    const index_t values = weight.shape().count(), width = narrow ? 2 : storage.dtype == Dtype::f64 ? 8 : 4;
    largest = std::max(largest,
                       options.files != nullptr ? static_cast<index_t>(options.files->at(name).bytes) : values * width);
    if (narrow) {
      fill(bfloat16{});
    } else {
      fill(0.0f);
    }
  });
  return largest;
}

/// Returns a micro-batch of the planned size.
inline Batch planned_batch(const MemoryPlanOptions& options) {
  struct Sequence {
    std::vector<std::int32_t> ids, labels;
  };
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(options.length), 0);
  Batch batch;
  for (index_t i = 0; i < options.batch; ++i) batch.add(Sequence{tokens, tokens});
  return batch;
}

/// Returns the config of the adapter in the middle of a run, when AdaLoRA keeps its averages. The initialisation is
/// random whatever the config: a base without values cannot be decomposed, and the sizes are the same.
inline AdapterConfig planned_adapter(AdapterConfig config) {
  config.init_lora_weights = "true";
  if (auto* budget = std::get_if<AdaLora>(&config.method))
    budget->total_step = std::max(budget->total_step, budget->tinit + budget->tfinal + 4);
  return config;
}

}  // namespace detail

/// Returns the memory plan of a model. A template, so that it is compiled only where it is called.
/// \throws ArgumentError as attach, or for an empty batch; FormatError when a weight is missing in the files
template <class Model = AnyLlama<DryRun>>
MemoryPlan plan_memory(const LlamaConfig& config, const MemoryPlanOptions& options) {
  static_assert(std::same_as<typename Model::backend, DryRun>,
                "veneer::plan_memory<Model>: the model must be on the backend DryRun");
  expects(options.batch >= 1 && options.length >= 2 && options.micro_batches >= 1,
          "veneer::plan_memory: a batch has at least one sequence of at least 2 tokens, a step one micro-batch");
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const FreshMeter fresh(options.threads > 0 ? options.threads : cores);
  const MemoryMeter& meter = MemoryMeter::instance();
  const auto used = [&] { return static_cast<index_t>(meter.used()); };
  MemoryPlan plan;
  Model model(config);
  if (options.files != nullptr && config.tie_word_embeddings && detail::head_differs(*options.files))
    model.separate_head();
  model.checkpointing = options.checkpointing;
  model.activations = options.activations;
  const index_t largest = detail::fill_for_plan(model, options);
  plan.loading = static_cast<index_t>(meter.resident()) + largest;
  plan.weights = used();
  AdapterPlan trained;
  if (options.adapter) {
    trained = attach(model, detail::planned_adapter(*options.adapter));
  } else {
    trained = train_everything(model);
    plan.weights = used();
  }
  plan.loading = std::max(plan.loading, static_cast<index_t>(meter.peak()));
  plan.gradients = 4 * trained.trainable();

  const std::vector<Batch> batches(static_cast<std::size_t>(options.micro_batches), detail::planned_batch(options));
  {
    Tape tape;
    const auto loss = detail::loss_of(model, tape, batches[0], 1.0);
    plan.activations = used();
  }
  const index_t idle = used();  // adapters may cache values of a pass, such as DoRA's norms
  plan.adapters = idle - plan.weights;
  plan.activations -= idle;
  Trainer trainer(model);
  trainer.step(batches);
  plan.optimizer = used() - idle;
  trainer.step(batches);
  plan.training = static_cast<index_t>(meter.resident());
  plan.reserved = static_cast<index_t>(meter.reserved());
  const index_t parts = idle + plan.gradients + plan.optimizer + plan.activations;
  plan.scratch = std::max<index_t>(0, plan.training - parts);
  plan.reused = std::max<index_t>(0, parts - plan.training);
  return plan;
}

}  // namespace veneer
