// SPDX-License-Identifier: Apache-2.0
/// \file vocabulary_tensors.hpp
/// Embeddings and heads of the base in an adapter's file, under PEFT's keys.
///
///   <end>.weight                              neither adapted nor trained
///   <end>.base_layer.weight                   under LoRA
///   <end>.token_adapter.base_layer.weight     under trained tokens
///   <end>.original_module.weight              of a module trained in full; also .modules_to_save.weight, which equals
///                                             .weight
///   <head>.token_adapter.trainable_tokens_delta   of a tied head: a copy of the rows of the embedding
/// PEFT writes them after the vocabulary was resized, and if target_modules names such a layer
/// (save_embedding_layers="auto"). They replace the weights of the base, and set their number of rows.
/// Source: huggingface/peft, src/peft/utils/save_and_load.py.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/nn/resize_vocabulary.hpp"

namespace veneer::detail {

inline const std::string adapter_prefix = "base_model.model.";
inline constexpr const char* delta_end = ".token_adapter.trainable_tokens_delta";

using AdapterEntries = std::map<std::string, const TensorEntry*>;

/// Calls f(adapter) with the adapter of a layer, or with the one in its slot.
template <class Layer, class F>
void visit_adapter(Layer& layer, const F& f) {
  if constexpr (SlotLike<decltype(layer.adapter)>) {
    layer.adapter.visit_content(f);
  } else {
    f(layer.adapter);
  }
}

/// Checks shape, type and values, and returns the values.
template <Real T>
std::optional<std::vector<T>> checked_values(const TensorEntry& entry, const std::vector<std::int64_t>& expected,
                                             ErrorList& errors) {
  if (entry.shape != expected) {
    errors.add(entry.name + ": shape " + shape_text(entry.shape) + ", expected " + shape_text(expected));
    return std::nullopt;
  }
  if (entry.dtype != Dtype::f32 && entry.dtype != Dtype::f16 && entry.dtype != Dtype::bf16 &&
      entry.dtype != Dtype::f64) {
    errors.add(entry.name + ": dtype " + std::string(dtype_name(entry.dtype)) + ", expected F32, F16 or BF16");
    return std::nullopt;
  }
  std::vector<T> values(static_cast<std::size_t>(element_count(entry)));
  read_floats(entry, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    errors.add(entry.name + ": value " + std::to_string(i) + " is not finite");
    return std::nullopt;
  }
  return values;
}

/// The embedding or the head, and its treatment by an adapter.
struct VocabularyEnd {
  std::string key;        // base_model.model.<name>
  bool saved = false;     // trained in full
  bool adapted = false;   // has LoRA
  bool tokens = false;    // has trained tokens, its own or those of the embedding
  bool borrowed = false;  // the tokens are those of the embedding

  /// Returns the key of its weight in the base.
  std::string base_key() const {
    return key + (adapted  ? ".base_layer.weight"
                  : tokens ? ".token_adapter.base_layer.weight"
                  : saved  ? ".original_module.weight"
                           : ".weight");
  }
};

/// Returns embedding and head of an adapted model.
template <class Model>
std::array<VocabularyEnd, 2> adapted_ends(Model& model, const AdapterConfig& config, const AdapterPlan& plan) {
  const VocabularyEnds ends = vocabulary_ends(model);
  const ModuleMatcher matcher(config);
  const bool shared = !plan.tokens.empty() && plan.tokens.front().shared;
  const auto end = [&](const std::string& name, bool borrows) {
    return VocabularyEnd{adapter_prefix + name, matcher.saved_in_full(name), find_module(plan, name) != nullptr,
                         borrows || find_tokens(plan, name) != nullptr, borrows};
  };
  return {end(ends.embedding, false), end(ends.head, shared)};
}

/// Returns whether target_modules names an embedding or a head by PEFT's rule.
inline bool targets_ends(const AdapterConfig& config, const std::array<VocabularyEnd, 2>& ends) {
  const std::vector<std::string>& names = config.target_modules.names;
  const bool named = std::any_of(names.begin(), names.end(), [](const std::string& entry) {
    return entry.ends_with("embed_tokens") || entry.ends_with("lm_head");
  });
  return named || (config.target_modules.kind == ModuleChoice::Kind::regex && (ends[0].adapted || ends[1].adapted));
}

/// Returns the keys that PEFT writes in addition to those of the adapter, with or without a `resized` vocabulary.
template <class Model>
std::set<std::string> vocabulary_keys(Model& model, const AdapterConfig& config, const AdapterPlan& plan,
                                      bool resized) {
  const auto ends = adapted_ends(model, config, plan);
  const bool targeted = targets_ends(config, ends);
  std::set<std::string> keys;
  if (!resized && (!targeted || config.trainable_token_indices)) return keys;
  for (const VocabularyEnd& end : ends) {
    if (targeted && !end.adapted) continue;
    keys.insert(end.base_key());
    if (end.saved) keys.insert(end.key + ".modules_to_save.weight");
    if (end.borrowed) keys.insert(end.key + delta_end);
  }
  return keys;
}

/// Calls f(key, weight) with a frozen weight, or a Parameter, for each of the keys.
template <class Model, class F>
void visit_vocabulary_tensors(Model& model, const AdapterConfig& config, const AdapterPlan& plan,
                              const std::set<std::string>& keys, const F& f) {
  const auto ends = adapted_ends(model, config, plan);
  const auto base = [&](const std::string& key, auto weight) {
    if (keys.count(key) == 0) return;
    weight.freeze();
    f(key, weight);
  };
  auto& table = model.model.embed_tokens;
  auto& head = model.lm_head;
  base(ends[0].base_key(), table.weight);
  base(ends[1].base_key(), present(head.weight) ? head.weight : table.weight);
  const auto trained = [&](const VocabularyEnd& end, auto& weight) {
    const std::string key = end.key + ".modules_to_save.weight";
    if (keys.count(key) == 1 && weight.trainable()) f(key, weight.parameter());
  };
  trained(ends[0], table.weight);
  trained(ends[1], head.weight);
  if (keys.count(ends[1].key + delta_end) == 0) return;
  visit_adapter(table, [&](auto& adapter) {
    if constexpr (FollowsAnother<decltype(adapter)>) f(ends[1].key + delta_end, adapter.tokens.rows());
  });
}

/// Removes and returns the tensor of an embedding or head of the base from the entries of a file.
inline const TensorEntry* take_base(AdapterEntries& entries, const std::string& key, bool saved,
                                    std::set<std::string>& taken) {
  for (const char* end :
       {".base_layer.weight", ".token_adapter.base_layer.weight", ".original_module.weight", ".weight"}) {
    if (saved && std::string(end) == ".weight") continue;  // this is the trained weight
    const auto at = entries.find(key + end);
    if (at == entries.end()) continue;
    const TensorEntry* entry = at->second;
    taken.insert(at->first);
    entries.erase(at);
    return entry;
  }
  return nullptr;
}

/// Removes a tensor that must equal another one of the file.
inline void take_copy(AdapterEntries& entries, const std::string& key, const std::string& original,
                      std::set<std::string>& taken, ErrorList& errors) {
  const auto copy = entries.find(key), first = entries.find(original);
  if (copy == entries.end() || first == entries.end()) return;
  if (!same_numbers(*copy->second, *first->second)) errors.add(key + ": differs from " + original);
  taken.insert(key);
  entries.erase(copy);
}

/// Replaces a weight of the base by a tensor of a file, keeping the type of the tensor.
template <class W, Backend B>
void replace_weight(W& weight, const TensorEntry& entry, const B& device, ErrorList& errors) {
  using T = typename W::scalar;
  using S = typename W::shape_type;
  const S shape = shape_of<S>(entry.shape[0], weight.extent(1));
  if (!checked_values<T>(entry, extents_of(shape), errors)) return;
  W fresh(Tensor<T, S, B>(shape, device, nullptr));
  read_weight(fresh, entry, device);
  weight = fresh;
}

/// Replaces embedding and head by those of an adapter's file, and resizes the vocabulary to their number of rows.
/// Called before the adapter is attached.
/// \returns the used keys of the file, which are removed from `entries`
template <class Model>
std::set<std::string> take_vocabulary(Model& model, const AdapterConfig& config, AdapterEntries& entries,
                                      ErrorList& errors) {
  const VocabularyEnds ends = vocabulary_ends(model);
  const ModuleMatcher matcher(config);
  const std::string table_key = adapter_prefix + ends.embedding, head_key = adapter_prefix + ends.head;
  const bool table_saved = matcher.saved_in_full(ends.embedding), head_saved = matcher.saved_in_full(ends.head);
  std::set<std::string> taken;
  take_copy(entries, table_key + ".modules_to_save.weight", table_key + ".weight", taken, errors);
  take_copy(entries, head_key + ".modules_to_save.weight", head_key + ".weight", taken, errors);
  const TensorEntry* table = take_base(entries, table_key, table_saved, taken);
  const TensorEntry* head = take_base(entries, head_key, head_saved, taken);
  const bool one_weight = !present(model.lm_head.weight);
  if (one_weight && table != nullptr && head != nullptr && !same_numbers(*table, *head)) {
    errors.add(head->name + ": differs from " + table->name + ", and the model ties head and embedding");
    return taken;
  }
  if (one_weight && table == nullptr) table = head;

  const auto trained_rows = [&](const std::string& key, bool saved) -> std::optional<index_t> {
    const auto at = entries.find(key + ".weight");
    if (!saved || at == entries.end() || at->second->shape.size() != 2) return std::nullopt;
    return at->second->shape[0];
  };
  const auto rows_of = [&](const TensorEntry* entry, const std::string& key, bool saved) -> std::optional<index_t> {
    if (entry == nullptr) return trained_rows(key, saved);
    if (entry->shape.size() == 2) return entry->shape[0];
    errors.add(entry->name + ": shape " + shape_text(entry->shape) + ", expected a matrix");
    return std::nullopt;
  };
  const auto table_rows = rows_of(table, table_key, table_saved), head_rows = rows_of(head, head_key, head_saved);
  const index_t vocabulary = model.config.vocab_size, rows = table_rows.value_or(head_rows.value_or(vocabulary));
  if (rows != vocabulary && rows >= 1) {
    const bool head_known = head_rows == rows || (one_weight && table != nullptr);
    if (table_rows != rows || !head_known) {
      errors.add((table_rows == rows ? head_key : table_key) + ".weight: missing with " + std::to_string(rows) +
                 " rows: the vocabulary was resized from " + std::to_string(vocabulary) +
                 " rows, and the file holds one end of it alone; save with save_embedding_layers=True");
      return taken;
    }
    resize_vocabulary(model, rows);
  }
  if (table != nullptr && table_rows) replace_weight(model.model.embed_tokens.weight, *table, model.device, errors);
  if (!one_weight && head != nullptr && head_rows) replace_weight(model.lm_head.weight, *head, model.device, errors);
  return taken;
}

}  // namespace veneer::detail
