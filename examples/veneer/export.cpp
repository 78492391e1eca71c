// SPDX-License-Identifier: Apache-2.0
/// \file export.cpp
/// veneer export: writes an adapter in the format of another tool.
///
///   --to lora     plain LoRA with one rank and one alpha: rsLoRA, patterns, AdaLoRA and VeRA become A and B
///   --to peft     the unchanged adapter, in PEFT's format
///   --to merged   the model with the adapter merged into its weights
///   --to gguf     the merged model as one file for llama.cpp; without an adapter, the model alone
///   --to gguf-adapter   the adapter as a file for llama.cpp's --lora
///   --to ollama   a folder with a merged GGUF file and a Modelfile
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "veneer/io/file.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/text/gguf/tokenizer.hpp"

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct ExportFlags {
  ModelFlags model;
  std::string to, out, outtype;
};

/// \throws ArgumentError when the adapter would overwrite itself
void check_out(const ExportFlags& flags) {
  std::error_code error;
  for (const std::string& adapter : flags.model.adapters) {
    expects(!std::filesystem::equivalent(adapter, flags.out, error),
            "--out " + flags.out + ": is the folder of the adapter: name another");
  }
}

/// Warns about parts that tools other than PEFT may not read.
void warn_of_more(const AdapterChange& change) {
  std::vector<std::string> more;
  if (!change.plan.trained.empty()) more.push_back("weights trained in full (modules_to_save, biases)");
  if (change.config.lora_bias) more.push_back("biases of B (lora_bias)");
  for (const AdaptedModule& module : change.plan.modules) {
    const bool table = module.name.ends_with("embed_tokens");
    if (table) more.push_back("LoRA on the embedding");
  }
  for (const std::string& part : more)
    note("warning: the folder holds " + part + ", which some tools silently ignore: --to merged includes them");
}

int export_merged(const ExportFlags& flags) {
  Session session(flags.model);
  const std::size_t count = session.merge({}).size();
  session.save(flags.out);
  note(flags.out + ": " + counted(count, "weight") + " changed; a model folder");
  return done;
}

namespace fs = std::filesystem;

const std::map<std::string, GgmlType> element_types{
    {"f32", GgmlType::f32},   {"float32", GgmlType::f32},   {"f16", GgmlType::f16},  {"float16", GgmlType::f16},
    {"bf16", GgmlType::bf16}, {"bfloat16", GgmlType::bf16}, {"q8_0", GgmlType::q8_0}};

/// Returns the requested type; by default float16, or float32 for an adapter.
GgmlType element_type(const ExportFlags& flags) {
  if (!flags.outtype.empty()) return element_types.at(flags.outtype);
  return flags.to == "gguf-adapter" ? GgmlType::f32 : GgmlType::f16;
}

/// Returns the file to write: --out, or a file with the default name in it if it is a folder.
fs::path gguf_path(const ExportFlags& flags) {
  const fs::path out = flags.out;
  std::error_code error;
  const bool folder = fs::is_directory(out, error);
  if (!folder) {
    if (out.has_parent_path()) fs::create_directories(out.parent_path());
    return out;
  }
  const std::string type(ggml_layout(element_type(flags)).name);
  const fs::path named = flags.to == "gguf-adapter" ? flags.model.only_adapter() : fs::path(flags.model.model);
  const std::string name = fs::weakly_canonical(named / "x").parent_path().filename().string();
  return out / (name + "-" + type + (flags.to == "gguf-adapter" ? "-LoRA.gguf" : ".gguf"));
}

/// Returns the keys of the adapter's tokenizer if it has one, as in `generate`, else of the model's.
GgufTokenizer tokenizer_keys(const ExportFlags& flags, const Session& session) {
  const fs::path folder = text_folder(flags.model);
  GgufTokenizer keys = gguf_tokenizer(folder, static_cast<std::size_t>(session.config().vocab_size),
                                      stop_ids(session.folder(), session.config(), find_tokenizer(folder)));
  for (const std::string& warning : keys.warnings) note("warning: " + warning);
  return keys;
}

int export_gguf(const ExportFlags& flags) {
  const Session session(flags.model);
  const GgufTokenizer tokenizer = tokenizer_keys(flags, session);
  const fs::path path = gguf_path(flags);
  session.save_gguf(path, tokenizer.keys, element_type(flags));
  note(path.string() + ": " + std::string(ggml_layout(element_type(flags)).name) + "; llama-cli -m " + path.string());
  return done;
}

int export_gguf_lora(const ExportFlags& flags) {
  const fs::path path = gguf_path(flags);
  const auto [modules, folded] = export_gguf_adapter(flags.model, path, element_type(flags));
  note(path.string() + ": " + counted(modules, "module") + (folded ? ", lora_b multiplied by the scales" : "") +
       "; llama-cli -m BASE.gguf --lora " + path.string());
  return done;
}

/// Returns a quoted text of a Modelfile, which has no escapes: triple quotes may contain a quote.
std::string modelfile_text(const std::string& text) {
  const std::string quotes = text.find('"') == std::string::npos ? "\"" : "\"\"\"";
  return quotes + text + quotes;
}

/// Returns FROM, a template if the file has none, and the stop parameters.
std::string modelfile(const ExportFlags& flags, const Session& session, const GgufTokenizer& keys) {
  std::string text = "FROM ./model.gguf\n";
  if (!keys.chat_template) text += "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n";
  const auto tokenizer = find_tokenizer(text_folder(flags.model));
  for (const std::int32_t id : stop_ids(session.folder(), session.config(), tokenizer)) {
    const auto stop = tokenizer->token(id);
    if (stop) text += "PARAMETER stop " + modelfile_text(std::string(*stop)) + "\n";
  }
  return text;
}

int export_ollama(const ExportFlags& flags) {
  const Session session(flags.model);
  const GgufTokenizer tokenizer = tokenizer_keys(flags, session);
  AtomicFolder out(flags.out);
  session.save_gguf(out.path() / "model.gguf", tokenizer.keys, element_type(flags));
  write_atomically(out.path() / "Modelfile", modelfile(flags, session, tokenizer));
  out.commit();
  note(flags.out + ": model.gguf and Modelfile; ollama create NAME -f " + (fs::path(flags.out) / "Modelfile").string());
  return done;
}

int run_export(const ExportFlags& flags) {
  const bool gguf = flags.to == "gguf" || flags.to == "gguf-adapter" || flags.to == "ollama";
  expects(gguf || flags.outtype.empty(), "--outtype: only with --to gguf, gguf-adapter and ollama");
  expects(flags.to == "gguf" || flags.to == "ollama" || !flags.model.adapters.empty(),
          "--adapter: is required with --to " + flags.to);
  check_out(flags);
  if (flags.to == "merged") return export_merged(flags);
  if (flags.to == "gguf") return export_gguf(flags);
  if (flags.to == "ollama") return export_ollama(flags);
  if (flags.to == "gguf-adapter") return export_gguf_lora(flags);
  flags.model.only_adapter();
  const AdapterChange change = export_adapter(flags.model, flags.to == "lora", flags.out);
  if (flags.to == "lora") warn_of_more(change);
  const std::string rank = flags.to == "lora" ? ", rank " + std::to_string(change.config.r) : "";
  note(flags.out + ": " + counted(change.plan.modules.size(), "module") + rank +
       (change.rewritten ? ", factors multiplied so that the scale is 1" : ", factors unchanged"));
  return done;
}

}  // namespace

void add_export(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = app.add_subcommand("export", "write an adapter in the format of another tool");
  flags->model.add_to(*command);
  command->add_option("--to", flags->to, "lora, peft, merged, gguf, gguf-adapter or ollama")
      ->required()
      ->check(CLI::IsMember({"lora", "peft", "merged", "gguf", "gguf-adapter", "ollama"}));
  command->add_option("--out", flags->out, "folder to write; with gguf and gguf-adapter a file")->required();
  command->add_option("--outtype", flags->outtype, "element type of GGUF: f32, f16 (the default), bf16 or q8_0")
      ->check(CLI::IsMember(element_types));
  command->callback([flags, &run] { run = [flags] { return run_export(*flags); }; });
}

}  // namespace veneer::program
