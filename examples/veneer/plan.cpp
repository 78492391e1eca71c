// SPDX-License-Identifier: Apache-2.0
/// \file plan.cpp
/// veneer plan: what an adapter would change about a model, and the memory that training it takes. Reads config.json,
/// and the headers of weights where they are there; allocates no weight.
#include <memory>
#include <sstream>

#include "veneer/io/json.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/quantization.hpp"

#include "command.hpp"
#include "memory.hpp"
#include "model_flags.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct PlanFlags {
  std::string model, config;
  AdapterFlags adapter;
  MemoryRequest memory;
  QuantFlags quant;
  std::string dtype = "float32";
  bool json = false;
};

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
  const std::optional<NF4Options> quantise = flags.quant.options();
  expects(!quantise || !full, "--quant nf4: a weight in 4 bits does not train; choose another --method than full");
  expects(flags.dtype == "float32", "plan: --dtype " + flags.dtype + " is not supported yet; float32 is");
  AdapterFlags named = flags.adapter;
  if (!flags.model.empty() && !named.train_tokens.empty())
    resolve_tokens(named.train_tokens, find_tokenizer(flags.model));
  const LoraConfig adapter = named.config();
  const AdapterPlan plan = full ? full_plan(file.config) : plan_of(file.config, adapter);
  MemoryRequest request = flags.memory;
  request.model = flags.model;
  if (!full) request.adapter = adapter;
  request.quantise = quantise;
  if (const auto stored = read_quantization(file.raw, path.string()); stored && flags.model.empty())
    request.quantise = NF4Options{.double_quant = stored->double_quant};
  const Json memory = plan_bytes(file.config, request);
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
    Json result = {{"trainable_parameters", plan.trainable()}, {"all_parameters", plan.all()}, {"modules", modules}};
    result.update(memory);
    print(dump_python(result, {.indent = -1, .sort_keys = false}) + "\n");
    flush();
    return done;
  }
  std::ostringstream text;
  text << plan << '\n' << memory_text(memory);
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
  MemoryRequest& memory = flags->memory;
  flags->quant.add_to(*command);
  command->add_option("--dtype", flags->dtype, "compute type: float32");
  command->add_flag("--checkpointing", memory.checkpointing, "recompute blocks in the backward pass: less memory");
  command->add_option("--batch", memory.batch, "sequences a micro-batch")->check(CLI::PositiveNumber);
  command->add_option("--seq", memory.seq, "tokens of each sequence")->check(CLI::Range(2, 1 << 24));
  command->add_option("--grad-accum", memory.grad_accum, "micro-batches an optimizer step")->check(CLI::PositiveNumber);
  command->add_option("--threads", memory.threads, "threads to compute with; one a core by default")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, command, &run] {
    if (flags->adapter.method == "ia3" && command->count("--targets") == 0)
      flags->adapter.targets = "k_proj,v_proj,down_proj";
    run = [flags] { return run_plan(*flags); };
  });
}

}  // namespace veneer::program
