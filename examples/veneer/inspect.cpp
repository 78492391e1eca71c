// SPDX-License-Identifier: Apache-2.0
/// \file inspect.cpp
/// veneer inspect: describes a folder or a file (a model, an adapter, a tokenizer, a checkpoint, tensors), and the
/// programs that can open it. Only headers and settings are read; pickles are never opened.
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/gguf/reader.hpp"
#include "veneer/io/gguf/writer.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/peft_config.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/train/state.hpp"

#include "command.hpp"
#include "model_flags.hpp"
#include "suggestion.hpp"

namespace veneer::program {

namespace {

namespace fs = std::filesystem;

/// Prints a line "name   value".
void row(const std::string& name, const std::string& value) {
  print(name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + value + "\n");
}

/// Counts of tensors, values and bytes.
struct Totals {
  std::size_t tensors = 0, bytes = 0;
  std::int64_t values = 0;
  std::set<std::string> dtypes;

  void add(const TensorEntry& entry) {
    ++tensors;
    bytes += entry.bytes;
    values += element_count(entry);
    dtypes.insert(std::string(dtype_name(entry.dtype)));
  }
  std::string text() const {
    return counted(tensors, "tensor") + ", " + std::to_string(values) + " values, " +
           joined({dtypes.begin(), dtypes.end()}, ", ") + ", " + readable_bytes(static_cast<double>(bytes));
  }
};

void list_tensors(const SafetensorsFile& file) {
  Totals totals;
  std::size_t width = 0;
  for (const std::string& name : file.names()) width = std::max(width, name.size());
  for (const std::string& name : file.names()) {
    const TensorEntry& entry = file.at(name);
    totals.add(entry);
    const std::string dtype(dtype_name(entry.dtype));
    print(printable(name, 1024) + std::string(width - name.size() + 2, ' ') + dtype +
          std::string(dtype.size() < 6 ? 6 - dtype.size() : 1, ' ') + shape_text(entry.shape) + "\n");
  }
  for (const auto& [key, value] : file.metadata()) row("metadata", printable(key, 200) + " = " + printable(value, 200));
  for (const std::string& warning : file.warnings()) note("warning: " + warning);
  row("total", totals.text());
}

int inspect_tensors(const fs::path& path) {
  row("kind", "safetensors file");
  list_tensors(SafetensorsFile(path));
  row("opens in", "safetensors readers of any language; veneer reads those in folders of models and adapters");
  std::error_code error;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const auto beside = [&](const char* name) { return fs::exists(folder / name, error); };
  if (beside("config.json") || beside("adapter_config.json")) suggest({"inspect", folder.string()});
  return done;
}

void describe(const Tokenizer& tokenizer) {
  row("tokens", std::to_string(tokenizer.vocab_size()) + ", largest id " + std::to_string(tokenizer.largest_id()));
  const auto token = [&](const char* name, const std::optional<std::int32_t>& id) {
    if (id) row(name, std::to_string(*id) + " " + printable(std::string(tokenizer.token(*id).value_or("")), 60));
  };
  token("begin of text", tokenizer.bos_id());
  token("end of text", tokenizer.eos_id());
  token("padding", tokenizer.pad_id());
}

int inspect_tokenizer(const Tokenizer& tokenizer) {
  row("kind", "tokenizer: " + std::string(tokenizer.kind()));
  describe(tokenizer);
  row("opens in",
      tokenizer.is_sentencepiece_model() ? "sentencepiece, transformers, veneer" : "tokenizers, transformers, veneer");
  return done;
}

/// Prints the error of `look`, if any, and returns normally.
template <class F>
bool readable(const F& look, std::string& reason) {
  try {
    look();
    return true;
  } catch (const Error& error) {
    reason = error.what();
    return false;
  }
}

void describe(const LlamaConfig& config) {
  row("architecture", config.architecture);
  row("layers", std::to_string(config.num_hidden_layers));
  row("hidden", std::to_string(config.hidden_size) + ", MLP " + std::to_string(config.intermediate_size));
  row("heads", std::to_string(config.num_attention_heads) + " of " + std::to_string(config.head_dim) +
                   ", keys and values " + std::to_string(config.num_key_value_heads));
  row("vocabulary",
      std::to_string(config.vocab_size) + (config.tie_word_embeddings ? ", head tied to the embedding" : ""));
  row("positions", std::to_string(config.max_position_embeddings) + ", rope " + config.rope.type);
  row("parameters", std::to_string(parameter_count(config)));
}

int inspect_model(const fs::path& folder) {
  row("kind", "model folder");
  std::string reason;
  bool opens = readable([&] { describe(read_llama_config(folder / "config.json").config); }, reason);
  const bool weights = readable(
      [&] {
        const ShardedCheckpoint checkpoint(folder);
        Totals totals;
        for (const std::string& name : checkpoint.names()) totals.add(checkpoint.at(name));
        row("weights", totals.text());
        for (const std::string& warning : checkpoint.warnings()) note("warning: " + warning);
      },
      reason);
  opens = opens && weights;
  std::string text_reason;
  bool text = false;
  const bool known = readable(
      [&] {
        const std::optional<Tokenizer> tokenizer = find_tokenizer(folder);
        text = tokenizer.has_value();
        if (tokenizer) describe(*tokenizer);
      },
      text_reason);
  if (!text) row("tokenizer", known ? "none: token ids only" : "can't be used: " + text_reason);
  row("opens in", opens ? "transformers, veneer" : "not in veneer");
  if (!opens) throw FormatError(reason);
  if (text) {
    suggest({"generate", "--model", folder.string(), "--prompt", "Hello"});
  } else {
    suggest({"plan", "--model", folder.string()});
  }
  return done;
}

std::string modules_text(const ModuleChoice& choice) {
  switch (choice.kind) {
    case ModuleChoice::Kind::names: return joined(choice.names, ", ");
    case ModuleChoice::Kind::regex: return "regex:" + choice.pattern;
    case ModuleChoice::Kind::all_linear: return "all-linear";
    case ModuleChoice::Kind::none: break;
  }
  return "the default of the model type";
}

void describe(const AdapterFile& file) {
  const AdapterConfig& config = file.config;
  const bool lora = std::holds_alternative<Lora>(config.method);
  std::string method = with_method(config, [](const auto& own) { return std::string(own.name); });
  if (config.use_rslora && lora) method += ", scaled by alpha / sqrt(r)";
  row("method", file.peft_type + " (" + method + ")");
  char alpha[32];
  std::snprintf(alpha, sizeof alpha, "%g", config.lora_alpha);
  if (lora) {
    row("rank", std::to_string(config.r) + (config.rank_pattern.empty() ? "" : ", others by rank_pattern"));
    row("alpha", alpha + std::string(config.alpha_pattern.empty() ? "" : ", others by alpha_pattern"));
  } else if (const auto* budget = std::get_if<AdaLora>(&config.method)) {
    row("rank", std::to_string(budget->init_r) + " at first, a mean of " + std::to_string(budget->target_r) +
                    " at last" + (budget->rank_pattern ? ", by rank_pattern" : ""));
    row("alpha", alpha);
  } else {
    std::visit(
        [&](const auto& own) {
          each_setting(own, [&](const char*, const auto& value, const char* flag, const char*) {
            if constexpr (requires { std::to_string(value); })
              if (flag != nullptr && std::string(flag) == "rank") row("rank", std::to_string(value));
          });
        },
        config.method);
  }
  row("modules", modules_text(config.target_modules));
  if (config.modules_to_save) row("trained", joined(*config.modules_to_save, ", "));
  row("base model", config.base_model_name_or_path.value_or("not named"));
}

/// Returns the base named by an adapter if it is a folder of this machine, else a placeholder.
std::string base_of(const AdapterFile& file) {
  std::error_code error;
  const std::string named = file.config.base_model_name_or_path.value_or("");
  return fs::exists(fs::path(named) / "config.json", error) ? named : "MODEL";
}

int inspect_adapter(const fs::path& folder, const std::vector<std::string>& next) {
  row("kind", "PEFT adapter folder");
  const AdapterFile file = read_adapter_config(folder / "adapter_config.json");
  describe(file);
  for (const std::string& warning : file.warnings) note("warning: " + warning);
  const SafetensorsFile tensors(folder / "adapter_model.safetensors");
  Totals totals;
  for (const std::string& name : tensors.names()) totals.add(tensors.at(name));
  row("weights", totals.text());
  std::string reason;
  const std::string where = (folder / "adapter_config.json").string();
  const bool opens = readable([&] { detail::refuse_changed_base(file.config, where); }, reason);
  row("opens in", opens ? "PEFT, veneer" : "PEFT; not in veneer: " + reason);
  if (!next.empty()) {
    suggest(next);
  } else if (opens) {
    suggest({"generate", "--model", base_of(file), "--adapter", folder.string(), "--prompt", "Hello"});
  }
  return done;
}

/// Describes a folder checkpoint-N, which contains an adapter or weights, and the training state. Returns the
/// command to resume.
std::vector<std::string> describe_state(const fs::path& folder) {
  std::error_code error;
  const fs::path path = folder / "trainer_state.json";
  if (!fs::exists(path, error)) return {};
  std::string reason;
  std::optional<std::int64_t> step;
  bool transformers = false;
  const bool known = readable(
      [&] {
        const std::string state = read_text(path, trainer_state_limit);
        step = transformers_step(state);
        transformers = step.has_value();
        if (!step)
          step = json_integer(parse_json(state, path.string(), {.bytes = trainer_state_limit}), "step", path.string());
      },
      reason);
  if (!known) {
    row("training", "unknown: " + reason);
    return {};
  }
  const std::string after = "after step " + std::to_string(*step);
  if (!transformers) {
    row("training", after + "; veneer train --resume goes on");
    return {"train", "--resume", folder.string()};
  }
  row("training", after +
                      ", by the Trainer of Hugging Face's transformers, which alone can resume it; veneer trains on "
                      "from the weights");
  const bool adapter = fs::exists(folder / "adapter_config.json", error);
  std::string model = folder.string();
  if (adapter) readable([&] { model = base_of(read_adapter_config(folder / "adapter_config.json")); }, reason);
  std::vector<std::string> next{"train", "--model", model};
  if (adapter) next.insert(next.end(), {"--adapter", folder.string()});
  next.insert(next.end(), {"--data", "DATA", "--out", new_run_folder(folder)});
  return next;
}

/// Prints the parts of a run in a folder; returns false if there are none.
bool describe_run(const fs::path& folder) {
  std::vector<std::string> parts;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("checkpoint-") || name == "metrics.jsonl" || name == "resolved_config.yaml")
      parts.push_back(name);
  }
  std::sort(parts.begin(), parts.end());
  if (!parts.empty()) row("run", joined(parts, ", "));
  return !parts.empty();
}

int inspect_folder(const fs::path& folder) {
  std::error_code error;
  const auto has = [&](const char* name) { return fs::exists(folder / name, error); };
  const std::vector<std::string> next = describe_state(folder);
  const bool run = describe_run(folder);
  if (has("adapter_config.json")) return inspect_adapter(folder, next);
  if (has("config.json")) return inspect_model(folder);
  if (has("tokenizer.json") || has("tokenizer.model")) return inspect_tokenizer(Tokenizer::from_folder(folder));
  if (run) {
    if (newest_checkpoint(folder)) suggest({"train", "--resume", folder.string()});
    return done;
  }
  throw FormatError(folder.string() +
                    ": has none of config.json (a model), adapter_config.json (an adapter), tokenizer.json, "
                    "checkpoint-N (a run)");
}

std::string first_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(path.string() + ": cannot be opened");
  std::string bytes(4, '\0');
  file.read(bytes.data(), 4);
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

/// Returns a value in at most one line; of a list, the first items.
std::string gguf_text(const GgufValue& value) {
  const auto one = [](const auto& item) {
    using T = std::remove_cvref_t<decltype(item)>;
    char number[40] = "";
    if constexpr (std::is_same_v<T, std::string>) return "\"" + printable(item, 60) + "\"";
    if constexpr (std::is_floating_point_v<T>)
      return std::snprintf(number, sizeof number, "%.9g", static_cast<double>(item)), std::string(number);
    if constexpr (std::is_same_v<T, bool>) return std::string(item ? "true" : "false");
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) return std::to_string(item);
  };
  return std::visit(
      [&](const auto& held) {
        using V = std::remove_cvref_t<decltype(held)>;
        if constexpr (is_specialization_of<std::vector, V>) {
          std::string text = std::to_string(held.size()) + ":";
          for (std::size_t i = 0; i < std::min<std::size_t>(held.size(), 4); ++i)
            text += " " + one(static_cast<typename V::value_type>(held[i]));
          return text + (held.size() > 4 ? " ..." : "");
        } else {
          return one(held);
        }
      },
      value);
}

int inspect_gguf(const fs::path& path) {
  const GgufFile file(path);
  row("kind", "GGUF file, version " + std::to_string(file.version()));
  for (const GgufKey& key : file.keys())
    print(printable(key.name, 200) + " = " + gguf_text(key.value) + " (" + gguf_type_name(key.value) + ")\n");
  std::size_t width = 0;
  std::uint64_t bytes = 0;
  for (const GgufEntry& entry : file.tensors()) width = std::max(width, entry.name.size());
  for (const GgufEntry& entry : file.tensors()) {
    const std::string type(entry.layout.name);
    bytes += entry.data.size();
    print(printable(entry.name) + std::string(width - entry.name.size() + 2, ' ') + type +
          std::string(type.size() < 6 ? 6 - type.size() : 1, ' ') + shape_text(entry.shape) + "\n");
  }
  row("total", counted(file.tensors().size(), "tensor") + ", " + readable_bytes(static_cast<double>(bytes)));
  row("opens in", "llama.cpp, Ollama; not in veneer");
  return done;
}

int inspect_file(const fs::path& path) {
  const std::string end = path.extension().string(), begin = first_bytes(path), name = path.filename().string();
  const std::set<std::string> pickles{".bin", ".pt", ".pth", ".pkl", ".ckpt"};
  if (pickles.contains(end) || begin.starts_with("PK") || begin.starts_with("\x80")) {
    throw FormatError(
        path.string() +
        ": a pickle, which can run code and is never opened here; save it as safetensors where it was made");
  }
  if (begin == "GGUF") return inspect_gguf(path);
  if (end == ".model" || name == "tokenizer.json") return inspect_tokenizer(Tokenizer::from_file(path));
  if (name == "config.json") {
    row("kind", "model configuration");
    describe(read_llama_config(path).config);
    row("opens in", "transformers, veneer");
    suggest({"plan", "--config", path.string()});
    return done;
  }
  if (name == "adapter_config.json") {
    row("kind", "adapter configuration");
    describe(read_adapter_config(path));
    return done;
  }
  if (end == ".json") return inspect_tokenizer(Tokenizer::from_file(path));
  return inspect_tensors(path);
}

int run_inspect(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) throw IoError(path.string() + ": no such file or folder");
  const int code = fs::is_directory(path, error) ? inspect_folder(path) : inspect_file(path);
  flush();
  return code;
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  const auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("inspect", "describe a model, adapter, tokenizer, checkpoint or file");
  command->add_option("path", *path, "folder or file")->required();
  command->callback([path, &run] { run = [path] { return run_inspect(*path); }; });
}

}  // namespace veneer::program
