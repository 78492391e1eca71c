// SPDX-License-Identifier: Apache-2.0
/// \file train_step.cpp
/// train_step MODEL_DIR DATA THREADS [LINES [float32|bfloat16 [RANK [lora|dora|qlora]]]]: runs a training step for each
/// on stdin, for train_step.py. qlora is LoRA over NF4 with double quantisation.
///
/// An adapter of RANK (8) and twice that as alpha on every linear layer, AdamW, clipping at 1; step i takes LINES lines
/// of DATA (32) from line i * LINES on, and starts again at the first line if too few are left. The output for each
/// input line is:
///   milliseconds  loss  tokens
/// The time is that of Trainer::step alone: the data is read and tokenized before.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/peft/attach.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/train/trainer.hpp"

namespace {

using namespace veneer;

struct Setting {
  std::size_t lines = 32;
  std::string dtype = "float32";
  index_t rank = 8;
  std::string method = "lora";
};

int run(const std::filesystem::path& folder, const std::filesystem::path& data, int threads, const Setting& setting) {
  const std::size_t lines = setting.lines;
  Cpu::set_threads(threads);
  AnyLlama<> model(read_llama_config(folder / "config.json").config);
  model.activations = activation_storage(setting.dtype, model.config);
  LoadLlamaOptions options;
  if (setting.method == "qlora") options.quantise = NF4Options{.double_quant = true};
  read_llama_weights(model, ShardedCheckpoint(folder), options);
  AdapterConfig config;
  config.r = setting.rank;
  config.lora_alpha = 2 * static_cast<double>(setting.rank);
  config.use_dora = setting.method == "dora";
  config.target_modules = ModuleChoice::all_linear();
  attach(model, config);

  const Tokenizer tokenizer = Tokenizer::from_folder(folder);
  const std::vector<Example> examples = load_examples(data, &tokenizer).examples;
  expects(lines >= 1 && examples.size() >= lines, "train_step: LINES must be from 1 to the number of lines of DATA");

  Trainer trainer(model);
  const std::size_t batches = examples.size() / lines;
  std::string line;
  for (std::size_t step = 0; std::getline(std::cin, line); ++step) {
    Batch batch;
    for (std::size_t i = 0; i < lines; ++i) batch.add(examples[step % batches * lines + i]);
    const std::vector<Batch> micro_batches{batch};
    const auto start = std::chrono::steady_clock::now();
    const StepReport report = trainer.step(micro_batches);
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
    std::cout << taken.count() << ' ' << report.loss << ' ' << report.tokens << std::endl;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 8) {
    std::cerr << "usage: train_step MODEL_DIR DATA THREADS [LINES [float32|bfloat16 [RANK [lora|dora|qlora]]]]\n";
    return 2;
  }
  try {
    Setting setting;
    if (argc > 4) setting.lines = std::strtoul(argv[4], nullptr, 10);
    if (argc > 5) setting.dtype = argv[5];
    if (argc > 6) setting.rank = std::atol(argv[6]);
    if (argc > 7) setting.method = argv[7];
    expects(setting.method == "lora" || setting.method == "dora" || setting.method == "qlora",
            "train_step: the method is lora, dora or qlora");
    return run(argv[1], argv[2], std::atoi(argv[3]), setting);
  } catch (const std::exception& error) {
    std::cerr << "train_step: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}
