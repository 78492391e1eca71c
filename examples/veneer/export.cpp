// SPDX-License-Identifier: Apache-2.0
/// \file export.cpp
/// veneer export: an adapter in the form that another tool reads.
///
///   --to lora     plain LoRA with one rank and one alpha: rsLoRA, patterns, AdaLoRA and VeRA folded into A and B
///   --to peft     the adapter as it is, as PEFT writes it
///   --to merged   the model with the adapter folded into its weights
#include <algorithm>
#include <filesystem>
#include <memory>

#include "veneer/peft/merge.hpp"

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct ExportFlags {
  ModelFlags model;
  std::string to, out;
};

/// \throws ArgumentError when the adapter would be written over itself
void check_out(const ExportFlags& flags) {
  std::error_code error;
  for (const std::string& adapter : flags.model.adapters) {
    expects(!std::filesystem::equivalent(adapter, flags.out, error),
            "--out " + flags.out + ": is the folder of the adapter: name another");
  }
}

/// What tools other than PEFT may not read.
void warn_of_more(const AdapterChange& change) {
  std::vector<std::string> more;
  if (!change.plan.trained.empty()) more.push_back("weights that trained in full (modules_to_save, biases)");
  if (change.config.lora_bias) more.push_back("biases of B (lora_bias)");
  for (const AdaptedModule& module : change.plan.modules) {
    const bool table = module.name.ends_with("embed_tokens");
    if (table) more.push_back("LoRA on the embedding");
  }
  for (const std::string& part : more)
    note("warning: the folder holds " + part + ", which some tools leave out in silence: --to merged has them");
}

int export_merged(const ExportFlags& flags) {
  Session session(flags.model);
  const std::size_t count = session.merge({}).size();
  session.save(flags.out);
  note(flags.out + ": " + counted(count, "weight") + " changed; a model folder");
  return done;
}

int run_export(const ExportFlags& flags) {
  for (const char* later : {"gguf", "gguf-adapter", "ollama"}) {
    expects(flags.to != later, "--to " + flags.to +
                                   ": not there yet; lora, peft and merged are. llama.cpp converts the "
                                   "folder of --to lora by convert_lora_to_gguf.py, that of --to merged by "
                                   "convert_hf_to_gguf.py");
  }
  check_out(flags);
  if (flags.to == "merged") return export_merged(flags);
  flags.model.only_adapter();
  const AdapterChange change = export_adapter(flags.model, flags.to == "lora", flags.out);
  if (flags.to == "lora") warn_of_more(change);
  const std::string rank = flags.to == "lora" ? ", rank " + std::to_string(change.config.r) : "";
  note(flags.out + ": " + counted(change.plan.modules.size(), "module") + rank +
       (change.rewritten ? ", factors folded so that the scale is 1" : ", factors as they were"));
  return done;
}

}  // namespace

void add_export(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = app.add_subcommand("export", "write an adapter in the form that another tool reads");
  flags->model.add_to(*command, true);
  command->add_option("--to", flags->to, "lora, peft or merged")
      ->required()
      ->check(CLI::IsMember({"lora", "peft", "merged", "gguf", "gguf-adapter", "ollama"}));
  command->add_option("--out", flags->out, "folder to write")->required();
  command->callback([flags, &run] { run = [flags] { return run_export(*flags); }; });
}

}  // namespace veneer::program
