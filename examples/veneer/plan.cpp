// SPDX-License-Identifier: Apache-2.0
/// \file plan.cpp
/// veneer plan: what an adapter would change about a model, and the memory that training it takes. Reads config.json,
/// and the headers of weights where they are there; allocates no weight.
///
///   weights    of the base, in the types of their files
///   trained    4 bytes a parameter that trains (float32)
///   gradients  4 bytes a parameter that trains
///   optimizer  8 bytes a parameter that trains: AdamW's two moments
/// Activations come on top: they grow with the tokens of a batch.
#include <memory>
#include <optional>
#include <sstream>

#include "veneer/io/json.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/safetensors.hpp"

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct PlanFlags {
  std::string model, config;
  AdapterFlags adapter;
  bool json = false;
};

double bytes_of_dtype(const std::string& dtype) {
  if (dtype == "bfloat16" || dtype == "float16") return 2.0;
  return 4.0;  // float64 is rounded to float32
}

/// Bytes of the base: of the tensors where a folder has them, of the type that config.json names otherwise.
double weight_bytes(const PlanFlags& flags, const LlamaConfig& config) {
  const double named = static_cast<double>(parameter_count(config)) * bytes_of_dtype(config.dtype);
  std::error_code error;
  const std::filesystem::path folder = flags.model;
  const bool there = !flags.model.empty() && (std::filesystem::exists(folder / "model.safetensors", error) ||
                                              std::filesystem::exists(folder / "model.safetensors.index.json", error));
  if (!there) return named;
  const ShardedCheckpoint checkpoint(folder);
  double sum = 0.0;
  for (const std::string& name : checkpoint.names()) {
    const TensorEntry& entry = checkpoint.at(name);
    sum += static_cast<double>(entry.bytes) * (entry.dtype == Dtype::f64 ? 0.5 : 1.0);
  }
  return sum;
}

/// Every weight trains, in its own place.
AdapterPlan full_plan(const LlamaConfig& config) {
  AdapterPlan plan;
  plan.base_parameters = parameter_count(config);
  plan.trained.push_back({"every weight", plan.base_parameters, false});
  return plan;
}

int run_plan(const PlanFlags& flags) {
  expects(flags.model.empty() != flags.config.empty(), "plan: name a model with --model DIR, or with --config FILE");
  const std::filesystem::path path =
      flags.config.empty() ? std::filesystem::path(flags.model) / "config.json" : std::filesystem::path(flags.config);
  const LlamaConfigFile file = read_llama_config(path);
  for (const std::string& warning : file.warnings) note("warning: " + warning);
  const bool full = flags.adapter.method == "full";
  const LoraConfig adapter = flags.adapter.config();
  const AdapterPlan plan = full ? full_plan(file.config) : plan_of(file.config, adapter);
  const auto trained = static_cast<double>(plan.trainable());
  const double weights = full ? 0.0 : weight_bytes(flags, file.config);
  const Json memory = {{"weights", weights},
                       {"trained", 4.0 * trained},
                       {"gradients", 4.0 * trained},
                       {"optimizer", 8.0 * trained},
                       {"sum", weights + 16.0 * trained}};
  if (flags.json) {
    Json modules = Json::array();
    for (const AdaptedModule& m : plan.modules) {
      modules.push_back({{"name", m.name},
                         {"out", m.out},
                         {"in", m.in},
                         {"rank", m.rank},
                         {"alpha", m.alpha},
                         {"scaling", m.scaling},
                         {"parameters", m.parameters}});
    }
    const Json result = {{"trainable_parameters", plan.trainable()},
                         {"all_parameters", plan.all()},
                         {"modules", modules},
                         {"bytes", memory}};
    print(dump_python(result, {.indent = -1, .sort_keys = false}) + "\n");
    flush();
    return done;
  }
  std::ostringstream text;
  text << plan << '\n';
  const auto row = [&](const char* name, const char* key) {
    text << name << readable_bytes(memory[key].get<double>()) << '\n';
  };
  row("frozen weights   ", "weights");
  row("trained weights  ", "trained");
  row("gradients        ", "gradients");
  row("optimizer        ", "optimizer");
  row("together         ", "sum");
  text << "activations come on top and grow with the tokens of a batch\n";
  print(text.str());
  flush();
  return done;
}

}  // namespace

void add_plan(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "what an adapter would change, and the memory it takes");
  command->add_option("--model", flags->model, "folder of a Hugging Face model");
  command->add_option("--config", flags->config, "a config.json alone");
  flags->adapter.add_to(*command);
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &run] { run = [flags] { return run_plan(*flags); }; });
}

}  // namespace veneer::program
