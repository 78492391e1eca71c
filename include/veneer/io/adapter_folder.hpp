// SPDX-License-Identifier: Apache-2.0
/// \file adapter_folder.hpp
/// load_adapter and save_adapter: PEFT's folders, adapter_config.json and adapter_model.safetensors, with PEFT's keys.
///
///   base_model.model.<module>.lora_A.weight, .lora_B.weight, .lora_B.bias     LoRA on a linear module
///   base_model.model.<module>.lora_embedding_A, .lora_embedding_B             LoRA on an embedding
///   base_model.model.<module>.<field>                                         of other methods: the adapter's fields,
///                                                                             trained and frozen ones
///   base_model.<name>                                                         shared by all modules of a method
///   base_model.model.<module>.weight, .bias                                   modules_to_save
///   base_model.model.<module>.bias, or .base_layer.bias on adapted modules    trained biases
///   base_model.model.<module>.token_adapter.trainable_tokens_delta            trained rows
///   embeddings and heads of the base                                          veneer/io/vocabulary_tensors.hpp
/// Unlike PEFT, which only warns or ignores differences, this is strict: every tensor required by the config must be
/// present with its shape and finite values, and every tensor of the file must be used; one error lists all
/// differences. Pickles are never opened.
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
#include "veneer/io/vocabulary_tensors.hpp"
#include "veneer/peft/init/convert.hpp"

namespace veneer {

/// What load_adapter found, enough to write the same folder again.
struct LoadedAdapter {
  AdapterFile file;
  AdapterPlan plan;
  std::map<std::string, Dtype> dtypes;         // of the file's tensors, by key
  std::set<std::string> vocabulary_keys = {};  // of embeddings and heads of the base in the file
};

namespace detail {

template <class A>
concept SharesTensors = requires(A& adapter) { adapter.visit_shared([](const char*, auto&) {}); };

template <class A>
concept RecordsMasks = requires(A& adapter, AdapterConfig& config) {
  adapter.record(std::string(), config);
  adapter.trim();
};

/// Calls f(key, part) for every tensor in the file of this adapter: a Parameter, or a Tensor where it is frozen.
template <class M, class F>
void visit_adapter_tensors(M& model, const AdapterPlan& plan, const F& f) {
  const auto adapted = [&](const std::string& name) { return find_module(plan, name) != nullptr; };
  const auto walked = [&](const std::string& name) { return adapted(name) || find_tokens(plan, name) != nullptr; };
  std::set<std::string> shared;
  visit(model, [&](const std::string& name, WeightedModule auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (AdaptableModule<Part>) {
      if (walked(name)) {
        visit_adapter(part, [&](auto& adapter) {
          if constexpr (SharesTensors<std::remove_cvref_t<decltype(adapter)>>) {
            adapter.visit_shared([&](const char* key, auto& tensor) {
              if (shared.insert(key).second) f(std::string("base_model.") + key, tensor);
            });
          }
        });
        const auto take = [&]<class Inner>(const std::string& key, Inner& inner)
          requires(ParameterLike<Inner> || TensorLike<Inner>)
        {
          if constexpr (ParameterLike<Inner>) {
            if (inner.slot()) f(adapter_prefix + key, inner);
          } else {
            static_assert(Real<typename std::remove_cvref_t<Inner>::scalar>,
                          "veneer::save_adapter: a frozen tensor among the fields of an adapter must hold real values");
            if (inner.count() > 0) f(adapter_prefix + key, inner);
          }
        };
        visit(part.adapter, take, name);
      }
    }
    if constexpr (WeightSlotLike<decltype(part.weight)>) {
      if (part.weight.trainable()) f(adapter_prefix + name + ".weight", part.weight.parameter());
    }
    if constexpr (requires { part.bias.trainable(); }) {
      if (part.bias.trainable())
        f(adapter_prefix + name + (adapted(name) ? ".base_layer.bias" : ".bias"), part.bias.parameter());
    }
  });
}

/// The first part of each tensor's key behind the module, "lora_A": of every method's adapter, by its `fields`.
template <Backend B, Real T>
std::set<std::string> tensor_parts() {
  std::set<std::string> parts{"trainable_tokens_delta"};
  const auto add = [&](auto... adapter) {
    const auto take = [&]<class Leaf>(const std::string& name, Leaf&)
      requires(ParameterLike<Leaf> || TensorLike<Leaf>)
    {
      parts.insert(name.substr(0, name.find('.')));
    };
    (visit(adapter, take), ...);
  };
  AllMethods::with_linear<B, T>(add);
  return parts;
}

/// "lora_A.default.weight" -> "lora_A.weight", "lora_E.default" -> "lora_E": a raw state dict keeps the adapter's name.
inline std::string without_adapter_name(const std::string& key, const std::set<std::string>& parts) {
  const std::string magnitude = ".lora_magnitude_vector";  // and ".default.weight", or ".weight"
  if (const std::size_t at = key.find(magnitude + "."); at != std::string::npos && key.ends_with(".weight"))
    return key.substr(0, at + magnitude.size());
  for (const std::string& part : parts) {
    const std::size_t at = key.find("." + part + ".");
    if (at == std::string::npos) continue;
    const std::size_t name = at + part.size() + 2, dot = key.find('.', name);
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
void record_masks(M& model, AdapterConfig& config) {
  visit(model, [&](const std::string& name, RecordsMasks auto& adapter) {
    adapter.record(name, config);
    adapter.trim();
  });
}

/// Refuses an adapter whose initialisation changed the base too, in a way that cannot be done again.
inline void refuse_changed_base(const AdapterConfig& config, const std::string& where) {
  const std::string& start = config.init_lora_weights;
  const bool random = start.starts_with("pissa_niter_");
  if (!random && start != "corda" && start != "lora_ga") return;
  throw FormatError(where + ": \"init_lora_weights\": \"" + start +
                    "\" also changed the weights of the base, and the folder does not hold these: they come from " +
                    (random ? "random numbers" : "data") +
                    " that are not there any more. In PEFT, save_pretrained with "
                    "path_initial_model_for_weight_conversion makes an adapter for the base as it was");
}

/// The tensors of a file by key; duplicates are errors.
template <class Model>
AdapterEntries adapter_entries(const SafetensorsFile& file, ErrorList& errors) {
  const auto parts = tensor_parts<typename site_t<Model>::backend, typename site_t<Model>::scalar>();
  AdapterEntries entries;
  for (const std::string& name : file.names()) {
    if (!entries.emplace(without_adapter_name(name, parts), &file.at(name)).second)
      errors.add(name + ": is there twice, with an adapter's name in its key and without");
  }
  return entries;
}

/// Fills the adapters in the slots of a model: every tensor of theirs must be among the entries, and every entry one of
/// theirs.
template <class Model>
void fill_adapter(Model& model, const AdapterPlan& plan, AdapterEntries& entries, ErrorList& errors) {
  visit_adapter_tensors(model, plan, [&](const std::string& key, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    const auto at = entries.find(key);
    if (at == entries.end()) {
      errors.add(key + ": missing; expected shape " + shape_text(extents_of(part.shape())));
      return;
    }
    const auto values = checked_values<typename Part::scalar>(*at->second, extents_of(part.shape()), errors);
    entries.erase(at);
    if (values) part = Part(from_host(part.shape(), *values, part.device()));
  });
  for (const auto& [key, entry] : entries) errors.add(entry->name + ": belongs to nothing that the config adapts");
}

/// Whether the weights of a model are there, and not their shapes alone.
template <class Model>
bool has_values(Model& model) {
  bool found = false;
  for (const auto& site : sites(model)) {
    if (const auto weight = site->weight())
      found = found || with_stored(weight, [](const auto& w) { return static_cast<bool>(value_of(w)); });
  }
  return found;
}

}  // namespace detail

/// Attaches the adapter of a folder to a model whose weights are loaded, or shape-only. Where the initialisation that the
/// config names changed the base (PiSSA, OLoRA, LoftQ), it is done again on the base, as PEFT does when it loads.
/// \throws FormatError that lists every tensor that is missing, extra, misshapen, not finite; for a config that
/// contradicts the tensors or
///         asks for what is not supported. The model is then to be thrown away.
template <class Model>
LoadedAdapter load_adapter(Model& model, const std::filesystem::path& folder) {
  detail::check_folder(folder);
  LoadedAdapter loaded{read_adapter_config(folder / "adapter_config.json"), {}, {}};
  AdapterConfig& config = loaded.file.config;
  detail::refuse_changed_base(config, (folder / "adapter_config.json").string());
  const SafetensorsFile file(folder / "adapter_model.safetensors");
  detail::ErrorList errors = detail::tensor_errors();
  detail::AdapterEntries entries = detail::adapter_entries<Model>(file, errors);
  for (const auto& [key, entry] : entries) loaded.dtypes[key] = entry->dtype;
  try {
    if (config.target_modules.kind == ModuleChoice::Kind::none) {
      if constexpr (detail::HasHead<Model>)
        config.target_modules = default_target_modules(model.config.model_type, config.method);
    }
    if constexpr (detail::HasHead<Model>)
      loaded.vocabulary_keys = detail::take_vocabulary(model, config, entries, errors);
    const bool change = initialization_named(config.init_lora_weights).changes_base() && detail::has_values(model);
    loaded.plan = attach(model, config, {.strict = false, .initialise = false, .change_base = change});
  } catch (const ArgumentError& error) {
    throw FormatError((folder / "adapter_config.json").string() + ": " + error.what());
  }
  for (const std::string& warning : loaded.plan.warnings) loaded.file.warnings.push_back(warning);
  if constexpr (detail::HasHead<Model>) {
    if (const auto ends = detail::adapted_ends(model, config, loaded.plan); ends[1].borrowed)
      detail::take_copy(entries, ends[1].key + detail::delta_end, ends[0].key + detail::delta_end,
                        loaded.vocabulary_keys, errors);
  }
  detail::fill_adapter(model, loaded.plan, entries, errors);
  errors.throw_if_any((folder / "adapter_model.safetensors").string(),
                      "Check that r, rank_pattern, target_modules, use_dora, bias and modules_to_save in "
                      "adapter_config.json are those of this file, and that the base model is the right one." +
                          detail::prefix_hint(file));
  return loaded;
}

/// Reads the tensors of a folder into the adapters that a model has already: adapters that its type fixes, or those of
/// a method that `attach` does not make.
/// \param plan  the plan that they were saved with
/// \throws FormatError that lists every tensor that is missing, extra, misshapen, not finite; the model is then to be
///         thrown away
template <class Model>
void load_adapter_tensors(Model& model, const std::filesystem::path& folder, const AdapterPlan& plan) {
  detail::check_folder(folder);
  const SafetensorsFile file(folder / "adapter_model.safetensors");
  detail::ErrorList errors = detail::tensor_errors();
  detail::AdapterEntries entries = detail::adapter_entries<Model>(file, errors);
  detail::fill_adapter(model, plan, entries, errors);
  errors.throw_if_any((folder / "adapter_model.safetensors").string(),
                      "Check that the adapters of the model have the shapes and the fields of this file.");
}

/// Reads an adapter that write_adapter converted, as it was in memory before: A, B, and what they started from, which
/// is taken out of the base again. What a run that was stopped goes on with.
/// \param config  of the adapter before it was converted
/// \throws FormatError as load_adapter, and when the folder holds no adapter of twice the rank
template <class Model>
AdapterPlan load_converted_adapter(Model& model, const std::filesystem::path& folder, const AdapterConfig& config) {
  const LoadedAdapter loaded = load_adapter(model, folder);
  const AdapterConfig plain = plain_config(config), &found = loaded.file.config;
  const AdapterPlan plan = plan_adapter(model, config);
  bool fits = found.init_lora_weights == "true" && plan.modules.size() == loaded.plan.modules.size();
  for (std::size_t i = 0; fits && i < plan.modules.size(); ++i)
    fits = loaded.plan.modules[i].rank == 2 * plan.modules[i].rank;
  expects<FormatError>(fits, (folder / "adapter_config.json").string() +
                                 ": expected an adapter of twice the ranks of "
                                 "the run (r " +
                                 std::to_string(plain.r) + "), found r " + std::to_string(found.r));
  detail::make_split(model, false);
  return plan;
}

/// Writes the two files of an adapter into a folder that exists: part of a folder that is being built. An adapter that
/// took its first values out of the base (PiSSA, OLoRA) becomes a plain one of twice the rank, for the base as it was;
/// one that was read from a folder that says so itself, or stands on weights in 4 bits, stays as it is.
/// \param like  a loaded adapter whose element types, and unknown config entries, are kept; null: F32
template <class Model>
void write_adapter(Model& model, const std::filesystem::path& folder, const AdapterConfig& config,
                   const AdapterPlan& plan, const LoadedAdapter* like = nullptr) {
  Model written = model;  // handles; what was masked is cut out of these alone
  AdapterConfig settings = config;
  detail::record_masks(written, settings);
  const bool raw = like != nullptr && initialization_named(like->file.config.init_lora_weights).changes_base();
  const bool convert = !raw && detail::is_convertible(written);
  if (convert) detail::make_plain(written), settings = plain_config(settings);
  std::vector<detail::HostTensor> tensors;
  const auto known = [&](const std::string& key) { return like != nullptr && like->dtypes.contains(key); };
  const auto add = [&](const std::string& key, const auto& values) {
    tensors.push_back(detail::host_tensor_as(key, values, known(key) ? like->dtypes.at(key) : Dtype::f32));
  };
  detail::visit_adapter_tensors(written, plan, [&](const std::string& key, auto& part) { add(key, value_of(part)); });
  if constexpr (detail::HasHead<Model>) {
    std::set<std::string> keys;  // after a conversion the base is as it was, and the reader has it
    if (like != nullptr) {
      keys = like->vocabulary_keys;
    } else if (!convert) {
      keys = detail::vocabulary_keys(written, settings, plan, false);
    }
    detail::visit_vocabulary_tensors(written, settings, plan, keys, [&](const std::string& key, const auto& part) {
      with_stored(part, [&](const auto& w) {
        if (known(key) || ParameterLike<decltype(w)>) return add(key, decode(value_of(w)));
        tensors.push_back(detail::host_tensor(key, value_of(w)));
      });
    });
  }
  write_atomically(folder / "adapter_config.json",
                   adapter_config_json(settings, like == nullptr ? nullptr : &like->file.raw));
  write_safetensors(folder / "adapter_model.safetensors", detail::views(tensors), {{"format", "pt"}});
}

/// Writes the adapter of a model as a PEFT folder: complete or not at all, an existing folder's other files kept.
template <class Model>
void save_adapter(Model& model, const std::filesystem::path& folder, const AdapterConfig& config,
                  const AdapterPlan& plan, const LoadedAdapter* like = nullptr) {
  AtomicFolder out(folder);
  write_adapter(model, out.path(), config, plan, like);
  out.commit();
}

}  // namespace veneer
