// SPDX-License-Identifier: Apache-2.0
/// \file adapter_folder.hpp
/// load_adapter and save_adapter: PEFT's folders, adapter_config.json and adapter_model.safetensors, with PEFT's keys.
///
///   base_model.model.<module>.lora_A.weight, .lora_B.weight, .lora_B.bias     LoRA on a linear module
///   base_model.model.<module>.lora_embedding_A, .lora_embedding_B             LoRA on an embedding
///   base_model.model.<module>.<field>                                         of other methods: the adapter's fields
///   base_model.<name>                                                         what all modules of a method share
///   base_model.model.<module>.weight, .bias                                   modules_to_save
///   base_model.model.<module>.bias, or .base_layer.bias on adapted modules    trained biases
///   base_model.model.<module>.base_layer.weight                               the base of an adapted embedding or head
/// Where PEFT warns or is silent, this is strict: every tensor that the config asks for must be there with its shape
/// and finite
/// values, and every tensor of the file must be asked for; one error lists all that is not so. Pickles are never
/// opened.
#pragma once

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/io/peft_config.hpp"
#include "veneer/peft/attach.hpp"

namespace veneer {

/// What load_adapter found, enough to write the same folder again.
struct LoadedAdapter {
  AdapterFile file;
  AdapterPlan plan;
  std::map<std::string, Dtype> dtypes;  // of the file's tensors, by key
};

namespace detail {

inline const std::string adapter_prefix = "base_model.model.";

/// PEFT puts the base weights of adapted embeddings and heads into the file when target_modules names these.
inline bool saves_base_layer(const LoraConfig& config, const std::string& name) {
  const std::vector<std::string>& names = config.target_modules.names;
  const auto is_layer = [](const std::string& entry) {
    return entry.ends_with("embed_tokens") || entry.ends_with("lm_head");
  };
  return is_layer(name) && std::any_of(names.begin(), names.end(), is_layer);
}

template <class A>
concept SharesTensors = requires(A& adapter) { adapter.visit_shared([](const char*, auto&) {}); };

template <class A>
concept RecordsMasks = requires(A& adapter, LoraConfig& config) {
  adapter.record(std::string(), config);
  adapter.trim();
};

/// Calls f(adapter) with what stands in the slot of a layer, or is its adapter.
template <class Layer, class F>
void look_at_adapter(Layer& layer, const F& f) {
  if constexpr (SlotLike<decltype(layer.adapter)>) {
    layer.adapter.look(f);
  } else {
    f(layer.adapter);
  }
}

/// Calls f(key, part) for every tensor that belongs into the file of this adapter. `part` is a Parameter, or a base
/// weight
/// (a tensor or slot) that goes along.
template <class M, class F>
void visit_adapter_tensors(M& model, const LoraConfig& config, const AdapterPlan& plan, const F& f) {
  const auto adapted = [&](const std::string& name) {
    return std::any_of(plan.modules.begin(), plan.modules.end(),
                       [&](const AdaptedModule& m) { return m.name == name; });
  };
  std::set<std::string> shared;
  visit(model, [&](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (AdaptableModule<Part>) {
      if (adapted(name)) {
        look_at_adapter(part, [&](auto& adapter) {
          if constexpr (SharesTensors<std::remove_cvref_t<decltype(adapter)>>) {
            adapter.visit_shared([&](const char* key, auto& tensor) {
              if (shared.insert(key).second) f(std::string("base_model.") + key, tensor);
            });
          }
        });
        walk(name, part.adapter, [&](const std::string& key, auto& inner) {
          if constexpr (ParameterLike<decltype(inner)>) {
            if (inner.slot()) f(adapter_prefix + key, inner);
          }
        });
        if (saves_base_layer(config, name) && present(part.weight))
          f(adapter_prefix + name + ".base_layer.weight", part.weight);
      }
    }
    if constexpr (WeightedModule<Part>) {
      if constexpr (WeightSlotLike<decltype(part.weight)>) {
        if (part.weight.trainable()) f(adapter_prefix + name + ".weight", part.weight.parameter());
      }
      if constexpr (requires { part.bias.trainable(); }) {
        if (part.bias.trainable())
          f(adapter_prefix + name + (adapted(name) ? ".base_layer.bias" : ".bias"), part.bias.parameter());
      }
    }
  });
}

/// "lora_A.default.weight" -> "lora_A.weight", "lora_E.default" -> "lora_E": a raw state dict keeps the adapter's name.
inline std::string without_adapter_name(const std::string& key) {
  const std::string magnitude = ".lora_magnitude_vector";  // and ".default.weight", or ".weight"
  if (const std::size_t at = key.find(magnitude + "."); at != std::string::npos && key.ends_with(".weight"))
    return key.substr(0, at + magnitude.size());
  for (const char* part : {".lora_A.", ".lora_B.", ".lora_E.", ".ia3_l.", ".vera_lambda_b.", ".vera_lambda_d."}) {
    const std::size_t at = key.find(part);
    if (at == std::string::npos) continue;
    const std::size_t name = at + std::string(part).size(), dot = key.find('.', name);
    if (dot != std::string::npos) return key.substr(0, name) + key.substr(dot + 1);
    if (key.substr(name) != "weight" && key.substr(name) != "bias") return key.substr(0, name - 1);
  }
  return key;
}

inline std::string prefix_hint(const SafetensorsFile& file) {
  std::size_t bare = 0, decoder = 0;
  for (const std::string& name : file.names()) {
    bare += name.starts_with("model.") ? 1u : 0u;
    decoder += name.starts_with("base_model.model.layers.") ? 1u : 0u;
  }
  if (bare == file.size()) return " The keys lack PEFT's prefix base_model.model.: rename them.";
  if (decoder > 0)
    return " The adapter was made on the bare decoder (one `model.` less): save it from the causal language model.";
  return "";
}

inline void check_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string where = folder.string();
  if (!fs::exists(folder, error)) throw IoError(where + ": no such adapter folder");
  if (!fs::is_directory(folder, error))
    throw IoError(where + ": is a file; expected a folder with adapter_config.json and adapter_model.safetensors");
  if (!fs::exists(folder / "adapter_config.json", error))
    throw FormatError(where + ": no adapter_config.json; expected a folder that PEFT's save_pretrained wrote");
  if (fs::exists(folder / "adapter_model.safetensors", error)) return;
  if (fs::exists(folder / "adapter_model.bin", error)) {
    throw FormatError(where +
                      ": holds only adapter_model.bin, a pickle, which can run code and is never opened here; load it "
                      "in PEFT and save it "
                      "with safe_serialization=True");
  }
  throw FormatError(where + ": no adapter_model.safetensors");
}

/// Writes what was masked while the model trained into the settings, and cuts it out of the adapters.
template <class M>
void record_masks(M& model, LoraConfig& config) {
  visit(model, [&](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (AdaptableModule<Part>) {
      look_at_adapter(part, [&](auto& adapter) {
        if constexpr (RecordsMasks<std::remove_cvref_t<decltype(adapter)>>) {
          adapter.record(name, config);
          adapter.trim();
        }
      });
    }
  });
}

/// Refuses an adapter whose initialisation changed the base too: over the base as it was it computes another function.
inline void refuse_changed_base(const LoraConfig& config, const std::string& where) {
  const std::string& start = config.init_lora_weights;
  const bool changed =
      start.starts_with("pissa") || start == "olora" || start == "corda" || start == "loftq" || start == "lora_ga";
  if (!changed) return;
  throw FormatError(
      where + ": \"init_lora_weights\": \"" + start +
      "\" also changed the weights of the base, and the folder does not hold these: not supported. In PEFT, "
      "save_pretrained with path_initial_model_for_weight_conversion makes an adapter for the base as it was");
}

/// Checks shape, type and values, and returns the values.
template <Real T>
std::optional<std::vector<T>> checked_values(const TensorEntry& entry, const std::vector<std::int64_t>& expected,
                                             Complaints& complaints) {
  if (entry.shape != expected) {
    complaints.add(entry.name + ": shape " + shape_text(entry.shape) + ", expected " + shape_text(expected));
    return std::nullopt;
  }
  if (entry.dtype != Dtype::f32 && entry.dtype != Dtype::f16 && entry.dtype != Dtype::bf16 &&
      entry.dtype != Dtype::f64) {
    complaints.add(entry.name + ": dtype " + std::string(dtype_name(entry.dtype)) + ", expected F32, F16 or BF16");
    return std::nullopt;
  }
  std::vector<T> values(static_cast<std::size_t>(element_count(entry)));
  read_floats(entry, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    complaints.add(entry.name + ": value " + std::to_string(i) + " is not finite");
    return std::nullopt;
  }
  return values;
}

}  // namespace detail

/// Attaches the adapter of a folder to a model whose weights are loaded, or outlined.
/// \throws FormatError that lists every tensor that is missing, extra, misshapen, not finite; for a config that
/// contradicts the tensors or
///         asks for what is not supported. The model is then to be thrown away.
template <class Model>
LoadedAdapter load_adapter(Model& model, const std::filesystem::path& folder) {
  using T = typename Model::T;
  detail::check_folder(folder);
  LoadedAdapter loaded{read_adapter_config(folder / "adapter_config.json"), {}, {}};
  LoraConfig& config = loaded.file.config;
  detail::refuse_changed_base(config, (folder / "adapter_config.json").string());
  try {
    if (config.target_modules.kind == ModuleChoice::Kind::none)
      config.target_modules = default_target_modules(model.config.model_type, config.method);
    loaded.plan = attach(model, config, {.strict = false, .initialise = false});
  } catch (const ArgumentError& error) {
    throw FormatError((folder / "adapter_config.json").string() + ": " + error.what());
  }
  for (const std::string& warning : loaded.plan.warnings) loaded.file.warnings.push_back(warning);

  const SafetensorsFile file(folder / "adapter_model.safetensors");
  std::map<std::string, const TensorEntry*> entries;
  detail::Complaints complaints;
  for (const std::string& name : file.names()) {
    const bool first = entries.emplace(detail::without_adapter_name(name), &file.at(name)).second;
    if (!first) complaints.add(name + ": is there twice, with an adapter's name in its key and without");
  }
  detail::visit_adapter_tensors(model, config, loaded.plan, [&](const std::string& key, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    const auto at = entries.find(key);
    if (at == entries.end()) {
      if (!key.ends_with(".base_layer.weight"))
        complaints.add(key + ": missing; expected shape " + shape_text(detail::extents_of(part.shape())));
      return;  // a file may leave the base to the model
    }
    loaded.dtypes[key] = at->second->dtype;
    const auto values = detail::checked_values<T>(*at->second, detail::extents_of(part.shape()), complaints);
    entries.erase(at);
    if (!values) return;
    auto tensor = from_host(part.shape(), *values, model.device);
    if constexpr (WeightSlotLike<Part>) {
      part = part.with_values(tensor);  // the base keeps its storage type
    } else {
      part = Part(std::move(tensor));
    }
  });
  for (const auto& [key, entry] : entries) complaints.add(entry->name + ": belongs to nothing that the config adapts");
  complaints.raise((folder / "adapter_model.safetensors").string(),
                   "Check that r, rank_pattern, target_modules, use_dora, bias and modules_to_save in "
                   "adapter_config.json are those of this file, and that the base model is the right one." +
                       detail::prefix_hint(file));
  return loaded;
}

/// Writes the two files of an adapter into a folder that exists: part of a folder that is being built.
/// \param like  a loaded adapter whose element types, and unknown config entries, are kept; null: F32
template <class Model>
void write_adapter(Model& model, const std::filesystem::path& folder, const LoraConfig& config, const AdapterPlan& plan,
                   const LoadedAdapter* like = nullptr) {
  Model written = model;  // handles; what was masked is cut out of these alone
  LoraConfig settings = config;
  detail::record_masks(written, settings);
  std::vector<detail::HostTensor> tensors;
  detail::visit_adapter_tensors(written, settings, plan, [&](const std::string& key, auto& part) {
    const bool known = like != nullptr && like->dtypes.contains(key);
    const Dtype dtype = known ? like->dtypes.at(key) : Dtype::f32;
    if constexpr (ParameterLike<decltype(part)>) {
      tensors.push_back(detail::host_tensor_as(key, part.value(), dtype));
    } else {
      with_weight(part, [&](const auto& w) {
        const auto& values = value_of(w);
        tensors.push_back(known ? detail::host_tensor_as(key, decode(values), dtype)
                                : detail::host_tensor(key, values));
        return 0;
      });
    }
  });
  write_atomically(folder / "adapter_config.json",
                   adapter_config_json(settings, like == nullptr ? nullptr : &like->file.raw));
  write_safetensors(folder / "adapter_model.safetensors", detail::views(tensors), {{"format", "pt"}});
}

/// Writes the adapter of a model as a PEFT folder: complete or not at all, an existing folder's other files kept.
template <class Model>
void save_adapter(Model& model, const std::filesystem::path& folder, const LoraConfig& config, const AdapterPlan& plan,
                  const LoadedAdapter* like = nullptr) {
  AtomicFolder out(folder);
  write_adapter(model, out.path(), config, plan, like);
  out.commit();
}

}  // namespace veneer
