// SPDX-License-Identifier: Apache-2.0
/// \file pretrain.cpp
/// pretrain MODEL_DIR [STEPS]: trains the weights of the shipped base model.
///
/// MODEL_DIR contains config.json and the files of the tokenizer; model.safetensors (bfloat16) is written next to them.
/// Documents come from the endless base mixture, are packed without attention across documents, and have a loss on
/// their completion only. AdamW (0.9, 0.95), decay 0.1 on matrices, rate 3e-3 with 100 steps of warm-up, then linear to
/// 2 %, clipped at 1.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/train/trainer.hpp"

#include "pretrain/bpe_trainer.hpp"
#include "pretrain/grammar.hpp"

namespace {

using namespace veneer;

struct Document {
  std::vector<std::int32_t> ids, labels;
};

/// Initialises embeddings with N(0, 0.02^2), linear layers with N(0, 1/in), those that add to the residual stream with
/// N(0, 1/(2 layers in)), and norms with 1.
void initialise(AnyLlama<>& model) {
  std::uint64_t stream = 0;
  detail::visit_base(model, [&](const std::string& name, auto& weight) {
    using W = std::remove_cvref_t<decltype(weight)>;
    if constexpr (W::shape_type::rank == 1) {
      weight = W(full<float>(weight.shape(), 1.0f, model.device));
    } else {
      const bool residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
      const double layers = residual ? 2.0 * static_cast<double>(model.config.num_hidden_layers) : 1.0;
      const double stddev = name.ends_with("embed_tokens.weight")
                                ? 0.02
                                : 1.0 / std::sqrt(static_cast<double>(weight.extent(1)) * layers);
      weight = W(normal<float>(weight.shape(), RandomStream{0, ++stream}, stddev, model.device));
    }
  });
}

Document next_document(pretrain::BaseStream& stream, pretrain::BytePairEncoder& encoder) {
  const auto encoded = encoder.encode(stream.next());
  Document document{{encoded.ids.begin(), encoded.ids.end()}, {encoded.ids.begin(), encoded.ids.end()}};
  for (std::size_t i = 0; i < static_cast<std::size_t>(encoded.first_target); ++i) document.labels[i] = ignored_label;
  return document;
}

int run(const std::filesystem::path& folder, index_t steps) {
  constexpr index_t documents_per_step = 120;
  AnyLlama<> model(read_llama_config(folder / "config.json").config);
  initialise(model);
  train_everything(model);
  pretrain::BytePairEncoder encoder(pretrain::train_shipped_merges());
  pretrain::BaseStream stream(pretrain::seeds::base_training);
  TrainerOptions options;
  options.optimizer = {.learning_rate = 3e-3, .beta1 = 0.9, .beta2 = 0.95, .weight_decay = 0.1};
  options.schedule = {.kind = Schedule::Kind::linear, .warmup = 100, .total = steps, .floor = 0.02};
  Trainer trainer(model, options, [](const std::string&, int rank) {
    return ParameterGroup{1.0, rank == 1 ? 0.0 : 1.0};
  });

  const auto start = std::chrono::steady_clock::now();
  double tokens = 0.0, running = 0.0;
  for (index_t step = 1; step <= steps; ++step) {
    Batch batch;
    for (index_t i = 0; i < documents_per_step; ++i) batch.add(next_document(stream, encoder));
    const StepReport report = trainer.step({batch});
    tokens += static_cast<double>(report.tokens);
    running = step == 1 ? report.loss : 0.98 * running + 0.02 * report.loss;
    if (step % 50 != 0 && step != steps) continue;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "step %5lld  loss %.4f  norm %.3f  %.2f M tokens  %.0f tokens/s  %.0f s\n",
                 static_cast<long long>(step), running, report.gradient_norm, tokens * 1e-6, tokens / seconds, seconds);
    if (step % 500 == 0 || step == steps) write_llama_weights(model, folder, Dtype::bf16);
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 2 || argc > 3) {
      std::fprintf(stderr, "usage: pretrain MODEL_DIR [STEPS]\n");
      return 2;
    }
    return run(argv[1], argc == 3 ? std::atoll(argv[2]) : 2600);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pretrain: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
