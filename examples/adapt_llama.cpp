// SPDX-License-Identifier: Apache-2.0
/// \file adapt_llama.cpp
/// adapt_llama MODEL_DIR OUT_DIR: attaches LoRA by pattern to a Hugging Face Llama, takes a few steps, writes
/// a PEFT folder.
#include <cstdio>
#include <exception>
#include <iostream>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/train/trainer.hpp"

using namespace veneer;

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: adapt_llama MODEL_DIR OUT_DIR\n"), 2;
  try {
    auto model = load_llama(argv[1]);
    AdapterConfig config{.r = 4, .lora_alpha = 8};
    config.target_modules = {"q_proj", "v_proj", "down_proj"};
    config.rank_pattern = {{"down_proj", 2}};
    const AdapterPlan plan = attach(model, config, {.seed = 1});
    std::cout << plan;  // every adapted module, rank, alpha, parameters; a pattern that matches nothing is an error

    struct Sequence {
      std::vector<std::int32_t> ids, labels;
    };
    const Sequence line{{1, 5, 9, 13, 17, 21}, {-100, 5, 9, 13, 17, 21}};
    Trainer trainer(model, {.optimizer = {.learning_rate = 1e-2}});
    for (int step = 0; step < 5; ++step) {
      Batch batch;
      batch.add(line);
      std::printf("loss %.4f\n", trainer.step({batch}).loss);
    }
    save_adapter(model, argv[2], config, plan);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "adapt_llama: %s\n", error.what()), 1;
  }
}
