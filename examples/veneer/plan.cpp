// SPDX-License-Identifier: Apache-2.0
/// \file plan.cpp
/// veneer plan: prints the modules that an adapter would change, and the memory of training it. Reads config.json, and
/// the headers of weights if they exist; allocates no weight.
#include <memory>
#include <sstream>

#include "veneer/io/json.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/quantization.hpp"

#include "command.hpp"
#include "memory.hpp"
#include "model_flags.hpp"
#include "session.hpp"
#include "suggestion.hpp"

namespace veneer::program {

namespace {

struct PlanFlags {
  std::string model, config;
  AdapterFlags adapter;
  MemoryRequest memory;
  QuantFlags quant;
  bool json = false;
  std::vector<std::string> given;  // flags of `train`, with their values
};

/// Returns the plan in which every weight is trained in place.
AdapterPlan full_plan(const LlamaConfig& config) {
  AdapterPlan plan;
  plan.base_parameters = parameter_count(config);
  plan.trained.push_back({"every weight", plan.base_parameters, false});
  return plan;
}

/// Returns the given flags, except those for the model and the output.
std::vector<std::string> given_of(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || name == "--model" || name == "--config" || name == "--json") continue;
    if (option->get_items_expected_max() == 0) {
      words.push_back(name);
    } else {
      for (const std::string& value : option->results()) words.insert(words.end(), {name, value});
    }
  }
  return words;
}

/// Suggests the command that trains with this plan.
void suggest_next(const PlanFlags& flags) {
  std::string model = flags.model;
  if (model.empty()) {
    const std::filesystem::path folder = std::filesystem::path(flags.config).parent_path();
    const bool in_folder = std::filesystem::path(flags.config).filename() == "config.json";
    model = in_folder ? (folder.empty() ? "." : folder.string()) : "MODEL";
  }
  std::vector<std::string> words{"train", "--model", model};
  words.insert(words.end(), flags.given.begin(), flags.given.end());
  words.insert(words.end(), {"--data", "DATA", "--out", new_run_folder(model)});
  suggest(words);
}

int run_plan(const PlanFlags& flags) {
  expects(flags.model.empty() != flags.config.empty(), "plan: name a model with --model DIR, or with --config FILE");
  const std::filesystem::path path =
      flags.config.empty() ? std::filesystem::path(flags.model) / "config.json" : std::filesystem::path(flags.config);
  const LlamaConfigFile file = read_llama_config(path);
  for (const std::string& warning : file.warnings) note("warning: " + warning);
  const bool full = flags.adapter.method == "full";
  const std::optional<QuantizeOptions> quantise = flags.quant.options();
  expects(!quantise || !full,
          "--quant " + flags.quant.quant + ": a quantised weight cannot be trained; choose another --method than full");
  AdapterFlags named = flags.adapter;
  if (!flags.model.empty() && !named.train_tokens.empty())
    resolve_tokens(named.train_tokens, find_tokenizer(flags.model));
  const AdapterConfig adapter = named.config();
  const LlamaConfig model = config_as_read(file.config, flags.model);
  const AdapterPlan plan = full ? full_plan(model) : plan_of(model, adapter);
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
  suggest_next(flags);
  return done;
}

}  // namespace

void add_plan(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<PlanFlags>();
  CLI::App* command =
      app.add_subcommand("plan", "the modules that an adapter would change, and the memory of training it");
  command->add_option("--model", flags->model, "folder of a Hugging Face model");
  command->add_option("--config", flags->config, "a config.json alone");
  flags->adapter.add_to(*command);
  MemoryRequest& memory = flags->memory;
  flags->quant.add_to(*command);
  add_dtype(*command, memory.dtype);
  command->add_flag("--checkpointing", memory.checkpointing, "recompute blocks in the backward pass: less memory");
  command->add_option("--batch", memory.batch, "sequences per micro-batch")->check(CLI::PositiveNumber);
  command->add_option("--seq", memory.seq, "tokens of each sequence")->check(CLI::Range(2, 1 << 24));
  command->add_option("--grad-accum", memory.grad_accum, "micro-batches per optimizer step")
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", memory.threads, "number of threads; one per core by default")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, command, &run] {
    if (flags->adapter.method == "ia3" && command->count("--targets") == 0)
      flags->adapter.targets = "k_proj,v_proj,down_proj";
    flags->given = given_of(*command);
    run = [flags] { return run_plan(*flags); };
  });
}

}  // namespace veneer::program
