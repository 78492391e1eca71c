// SPDX-License-Identifier: Apache-2.0
/// \file llama_folder.hpp
/// save_llama(model, folder, config): writes a model as a Hugging Face folder for transformers and load_llama.
///
///   config.json          the given one, with the current "dtype" and "tie_word_embeddings"
///   model.safetensors    all weights, in their types in the model
///   tokenizer*, special_tokens_map.json, generation_config.json, ...    copied from the folder of the base
/// The folder is complete or absent: it is built next to its target, synced, and renamed.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"

namespace veneer {

struct SaveLlamaOptions {
  std::filesystem::path base;        // the folder whose tokenizer and generation settings are copied; empty: none
  std::filesystem::path text = {};   // a folder whose tokenizer files replace those; empty: none
  Dtype trained_dtype = Dtype::f32;  // of trainable weights: F32, BF16, F16; frozen ones keep their type
};

namespace detail {

/// Returns the name of an element type in config.json, such as "bfloat16".
inline const char* torch_dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16: return "bfloat16";
    case Dtype::f16: return "float16";
    case Dtype::f64: return "float64";
    default: return "float32";
  }
}

/// Returns the type of most values, except 4-bit ones, as the single type named in config.json.
inline Dtype main_dtype(const std::vector<HostTensor>& tensors) {
  std::map<Dtype, std::int64_t> counts;
  std::set<std::string> packed;
  for (const HostTensor& tensor : tensors) {
    const std::size_t at = tensor.view.name.find(".quant_state.");
    if (at != std::string::npos) {
      const std::string weight = tensor.view.name.substr(0, at);
      packed.insert(weight);
      for (std::string& part : packed_names(weight)) packed.insert(std::move(part));
    }
  }
  for (const HostTensor& tensor : tensors) {
    if (packed.contains(tensor.view.name)) continue;
    std::int64_t count = 1;
    for (const std::int64_t extent : tensor.view.shape) count *= extent;
    counts[tensor.view.dtype] += count;
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? Dtype::f32 : most->first;
}

/// The quantisation of a model: the config of the first quantised linear layer, and the layers that are not quantised.
struct QuantizationFound {
  std::optional<QuantizationConfig> config;
  std::vector<std::string> dense;
};
template <class Model>
QuantizationFound find_quantization(Model& model) {
  QuantizationFound found;
  for (const auto& site : sites(model)) {
    if (site->kind != ModuleKind::linear) continue;
    const bool packed = with_stored(site->weight(), [&](const auto& w) {
      if constexpr (NF4TensorLike<decltype(w)>) {
        if (!found.config) found.config = QuantizationConfig{w.parts().book, w.parts().scales.nested(), ""};
        return true;
      }
      return false;
    });
    if (!packed) found.dense.push_back(site->name);
  }
  return found;
}

/// Updates config.json for the current quantisation of the weights.
inline void update_quantization(Json& config, QuantizationFound found, Dtype dtype) {
  if (!found.config) {
    config.erase("quantization_config");
    return;
  }
  const auto before = read_quantization(config, "config.json");
  found.config->compute_dtype = before ? before->compute_dtype : torch_dtype_name(dtype);
  config["quantization_config"] = quantization_json(*found.config, found.dense);
}

/// Returns config.json with the changes since it was read. transformers 5 has "dtype", 4 "torch_dtype".
inline std::string saved_config(Json config, const LlamaConfig& model, Dtype dtype, QuantizationFound quantization) {
  const bool tied = model.tie_word_embeddings;
  config["vocab_size"] = model.vocab_size;
  update_quantization(config, std::move(quantization), dtype);
  const char* key = config.contains("torch_dtype") && !config.contains("dtype") ? "torch_dtype" : "dtype";
  config[key] = torch_dtype_name(dtype);
  const bool otherwise = model_family(config, "config.json").tied;
  if (find_boolean(config, "tie_word_embeddings", "config.json").value_or(otherwise) != tied)
    config["tie_word_embeddings"] = tied;
  return dump_python(config, {.sort_keys = false}) + "\n";
}

/// Returns whether a file of a model folder belongs to the tokenizer or the generation settings.
inline bool is_copied(const std::string& name) {
  constexpr std::array<std::string_view, 8> names{
      "added_tokens.json",       "chat_template.jinja", "chat_template.json", "generation_config.json",
      "special_tokens_map.json", "merges.txt",          "vocab.json",         "vocab.txt"};
  return name.starts_with("tokenizer") || std::find(names.begin(), names.end(), name) != names.end();
}

/// \throws IoError when the folder of the base, or one of its files, cannot be read
inline void copy_along(const std::filesystem::path& base, const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (fs::directory_iterator at(base, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!is_copied(name) || !at->is_regular_file(error)) continue;
    fs::copy_file(file_inside(base, name, base.string()), folder / name, fs::copy_options::overwrite_existing, error);
    if (error) throw IoError(at->path().string() + ": can't be copied: " + error.message());
  }
  if (error) throw IoError(base.string() + ": can't be read: " + error.message());
}

/// Throws for a target with files that would be read together with the model, and for the folder of the base.
inline void check_target(const std::filesystem::path& folder, const std::filesystem::path& base) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!base.empty() && fs::equivalent(folder, base, error)) {
    throw ArgumentError("veneer::save_llama: " + folder.string() +
                        " is the folder of the base, which would be lost; name another");
  }
  for (const char* name : {"adapter_config.json", "model.safetensors.index.json"}) {
    if (!fs::exists(folder / name, error)) continue;
    throw ArgumentError("veneer::save_llama: " + folder.string() + " holds " + name +
                        ", which transformers would read too; name another folder");
  }
}

}  // namespace detail

/// Writes a model. Other files of an existing folder are kept.
/// \param config  the model's config.json as it was read (LlamaConfigFile::raw)
/// \throws ArgumentError when an adapter is attached (merge first), or the folder is that of the base or has an
///          adapter or shards; IoError, DiskError, with the folder unchanged
template <class Model>
void save_llama(Model& model, const std::filesystem::path& folder, const Json& config,
                const SaveLlamaOptions& options = {}) {
  for (const auto& site : sites(model))
    expects(!site->adapted(), "veneer::save_llama: " + site->name + " has an adapter; merge it with merge(model)");
  detail::check_target(folder, options.base);
  const std::vector<detail::HostTensor> tensors = llama_tensors(model, options.trained_dtype);
  AtomicFolder out(folder);
  write_atomically(out.path() / "config.json", detail::saved_config(config, model.config, detail::main_dtype(tensors),
                                                                    detail::find_quantization(model)));
  write_safetensors(out.path() / "model.safetensors", detail::views(tensors), {{"format", "pt"}});
  if (!options.base.empty()) detail::copy_along(options.base, out.path());
  if (!options.text.empty()) detail::copy_along(options.text, out.path());
  out.commit();
}

}  // namespace veneer
