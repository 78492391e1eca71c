// SPDX-License-Identifier: Apache-2.0
/// \file parameters.cpp
/// compare parameters: trainable parameters of LoRA on three published models, counted on shape-only models: no weights
/// are read or allocated.
///
///   a linear module of (out, in) has rank * (out + in) parameters
#include "command.hpp"

namespace veneer::compare {

namespace {

struct Published {
  const char* name;
  LlamaConfig config;
};

LlamaConfig sizes(index_t vocabulary, index_t intermediate, index_t key_value_heads) {
  LlamaConfig config;
  config.vocab_size = vocabulary;
  config.hidden_size = 4096;
  config.intermediate_size = intermediate;
  config.num_hidden_layers = 32;
  config.num_attention_heads = 32;
  config.num_key_value_heads = key_value_heads;
  config.head_dim = 128;
  config.window.assign(32, 0);
  return config;
}

/// Returns the models, with the values of their config.json.
const std::vector<Published>& published() {
  static const std::vector<Published> models{{"Llama-2-7B", sizes(32000, 11008, 32)},
                                             {"Mistral-7B", sizes(32000, 14336, 8)},
                                             {"Llama-3-8B", sizes(128256, 14336, 8)}};
  return models;
}

struct Targets {
  const char* name;
  ModuleChoice modules;
};

const std::vector<Targets>& targets() {
  static const std::vector<Targets> all{{"q, v", {"q_proj", "v_proj"}},
                                        {"q, k, v, o", {"q_proj", "k_proj", "v_proj", "o_proj"}},
                                        {"all linear", ModuleChoice::all_linear()}};
  return all;
}

AdapterPlan planned(const LlamaConfig& model, const ModuleChoice& modules, index_t rank) {
  AdapterConfig config{.r = rank, .lora_alpha = 2.0 * static_cast<double>(rank)};
  config.target_modules = modules;
  return plan_of(model, config);
}

std::string percent(const AdapterPlan& plan) {
  return fixed(100.0 * static_cast<double>(plan.trainable()) / static_cast<double>(plan.all()), 4) + " %";
}

}  // namespace

void report_parameters(const Flags& flags) {
  Table table({"model", "parameters", "adapted", "r 1", "r 8", "r 16", "r 64", "r 8 of all", "r 16 of all",
               "file at r 16, F32"});
  Chart bars{"Trainable parameters, rank 16", "adapted modules", "parameters"};
  Chart lines{"Llama-3-8B: parameters over rank", "rank", "parameters"};
  lines.log2_x = lines.log10_y = true;
  for (const Targets& target : targets()) {
    bars.categories.push_back(target.name);
    lines.series.push_back({target.name, {}});
  }
  for (const Published& model : published()) {
    bars.series.push_back({model.name, {}});
    for (std::size_t i = 0; i < targets().size(); ++i) {
      const auto of_rank = [&](index_t rank) { return planned(model.config, targets()[i].modules, rank); };
      const AdapterPlan eight = of_rank(8), sixteen = of_rank(16);
      const auto count = static_cast<double>(sixteen.trainable());
      table.add({model.name, with_commas(sixteen.base_parameters), targets()[i].name,
                 with_commas(of_rank(1).trainable()), with_commas(eight.trainable()), with_commas(sixteen.trainable()),
                 with_commas(of_rank(64).trainable()), percent(eight), percent(sixteen),
                 fixed(4.0 * count / (1 << 20), 1) + " MiB"});
      bars.series.back().points.push_back({static_cast<double>(i), count});
      if (&model != &published().back()) continue;
      for (index_t rank = 1; rank <= 64; rank *= 2)
        lines.series[i].points.push_back({static_cast<double>(rank), static_cast<double>(of_rank(rank).trainable())});
    }
  }
  publish(table, {bars, lines}, flags.out / "compare_parameters.svg");
}

}  // namespace veneer::compare
