// SPDX-License-Identifier: Apache-2.0
/// \file quantize.cpp
/// veneer quantize: writes a model with 4-bit linear layers as a Hugging Face folder that transformers
/// reads with bitsandbytes.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct QuantizeFlags {
  std::string model, out;
  NF4Options options;
  int threads = 0;
};

int run_quantize(const QuantizeFlags& flags) {
  ModelFlags model;
  model.model = flags.model, model.threads = flags.threads;
  Session session(model, flags.options);
  const std::vector<QuantisedWeight> weights = session.quantise_errors();
  expects<FormatError>(!weights.empty(), flags.model + ": no linear layer is in 16 or 32 bits: nothing to quantise");
  session.save(flags.out);
  std::size_t width = 0;
  for (const QuantisedWeight& weight : weights) width = std::max(width, weight.name.size());
  for (const QuantisedWeight& weight : weights) {
    char number[32];
    std::snprintf(number, sizeof number, "  %.4f\n", weight.relative_error);
    print(weight.name + std::string(width - weight.name.size(), ' ') + number);
  }
  flush();
  note(flags.out + ": " + counted(weights.size(), "weight") +
       " in 4 bits, each with the printed relative error (root mean square); transformers and veneer load it");
  return done;
}

}  // namespace

void add_quantize(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = app.add_subcommand("quantize", "quantise the linear layers of a model to 4 bits");
  command->add_option("--model", flags->model, "folder of a Hugging Face model")->required();
  command->add_option("--out", flags->out, "folder to write")->required();
  command->add_flag("--double-quant", flags->options.double_quant, "8-bit scales");
  command->add_option("--blocksize", flags->options.blocksize, "values per scale")
      ->check(CLI::IsMember({32, 64, 128, 256, 512, 1024, 2048, 4096}))
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "number of threads; one per core by default")
      ->check(CLI::Range(1, 1024));
  command->callback([flags, &run] { run = [flags] { return run_quantize(*flags); }; });
}

}  // namespace veneer::program
