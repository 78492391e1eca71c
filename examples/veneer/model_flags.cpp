// SPDX-License-Identifier: Apache-2.0
#include "model_flags.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/json.hpp"

namespace veneer::program {

void QuantFlags::add_to(CLI::App& command) {
  std::vector<std::string> names{"none"};
  for (const QuantizeOptions& format : quantized_formats()) names.emplace_back(format_name(format));
  command
      .add_option("--quant", quant, "storage of linear layers: none (as in the files), or quantised as they are read")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  command.add_flag("--double-quant", double_quant, "with --quant nf4: 8-bit scales");
}

std::optional<QuantizeOptions> QuantFlags::options() const {
  expects(quant == NF4Options::name || !double_quant, "--double-quant: requires --quant nf4");
  if (quant == NF4Options::name) return NF4Options{.double_quant = double_quant};
  for (const QuantizeOptions& format : quantized_formats()) {
    if (quant == format_name(format)) return format;
  }
  return std::nullopt;
}

CLI::Option* add_dtype(CLI::App& command, std::string& dtype) {
  return command
      .add_option("--dtype", dtype,
                  "storage type of activations: auto (the checkpoint's own type), float32, bfloat16, or float16, "
                  "which a CPU computes in float32; weights stay in the type of their file")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16", "float16"}))
      ->capture_default_str();
}

void ModelFlags::add_to(CLI::App& command, bool adapter_needed) {
  command.add_option("--model", model, "folder of a Hugging Face model")->required();
  auto* adapter =
      command.add_option("--adapter", adapters, "folder of a PEFT adapter; given several times, their outputs add");
  if (adapter_needed) adapter->required();
  command.add_option("--threads", threads, "number of threads; one per core by default")->check(CLI::Range(1, 1024));
  add_dtype(command, dtype);
  command.add_option("--device", device, "device: cpu")->capture_default_str();
  quant.add_to(command);
}

void ModelFlags::apply() const {
  if (device != "cpu") {
    throw ArgumentError("--device " + device +
                        ": this program computes on the cpu. The library runs on CUDA devices in programs that nvcc "
                        "compiles: configure with -DVENEER_CUDA=ON and link veneer::cuda");
  }
  if (threads > 0) Cpu::set_threads(threads);
}

std::filesystem::path ModelFlags::only_adapter() const {
  expects(adapters.size() == 1, "--adapter: given " + std::to_string(adapters.size()) +
                                    " times; expected one. veneer combine combines several");
  return adapters.front();
}

std::optional<Tokenizer> find_tokenizer(const std::filesystem::path& folder) {
  std::error_code error;
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {  // the second is refused, with the reason
    if (std::filesystem::exists(folder / name, error)) return Tokenizer::from_folder(folder);
  }
  return std::nullopt;
}

void resolve_tokens(std::vector<std::string>& tokens, const std::optional<Tokenizer>& tokenizer) {
  for (std::string& token : tokens) {
    if (!token.empty() && token.find_first_not_of("0123456789") == std::string::npos) continue;
    const auto id = tokenizer ? tokenizer->id(token) : std::nullopt;
    expects(id.has_value(), "--train-tokens: \"" + printable(token) + "\" is neither an id nor a token of the model");
    token = std::to_string(*id);
  }
}

std::filesystem::path text_folder(const ModelFlags& flags) {
  std::error_code error;
  if (flags.adapters.size() == 1 && std::filesystem::exists(flags.adapters[0] + "/tokenizer.json", error))
    return flags.adapters[0];
  return flags.model;
}

std::vector<std::int32_t> stop_ids(const std::filesystem::path& folder, const LlamaConfig& config,
                                   const std::optional<Tokenizer>& tokenizer) {
  std::vector<std::int64_t> ids(config.eos_token_ids.begin(), config.eos_token_ids.end());
  const std::filesystem::path path = folder / "generation_config.json";
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    const Json json = read_json(path);
    expects<FormatError>(json.is_object(), path.string() + ": expected an object, found " + describe_json(json));
    const Json* found = find_json(json, "eos_token_id");
    if (found != nullptr && found->is_array()) {
      for (const std::int64_t id : json_get<std::vector<std::int64_t>>(json, "eos_token_id", path.string()))
        ids.push_back(id);
    } else if (const auto id = find_integer(json, "eos_token_id", path.string())) {
      ids.push_back(*id);
    }
  }
  if (tokenizer && tokenizer->eos_id()) ids.push_back(*tokenizer->eos_id());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::vector<std::int32_t> inside;
  for (const std::int64_t id : ids) {
    if (id >= 0 && id < config.vocab_size) inside.push_back(static_cast<std::int32_t>(id));
  }
  return inside;
}

namespace {

[[noreturn]] void fail_output() { throw DiskError(std::string("stdout: cannot be written: ") + std::strerror(errno)); }

}  // namespace

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_output();
}

void flush() {
  if (std::fflush(stdout) != 0) fail_output();
}

void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

std::string counted(std::size_t count, const char* word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

}  // namespace veneer::program
