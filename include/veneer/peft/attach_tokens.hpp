// SPDX-License-Identifier: Apache-2.0
/// \file attach_tokens.hpp
/// trainable_token_indices of a configuration: the trained rows of weights, and their adapters.
///
///   a list                              tokens of the input embedding
///   {"embed_tokens": [...], ...}        tokens by the end of a module's name: of the embedding, of the head
/// The head of a tied model uses the rows of the embedding, unless it has its own tokens. As in PEFT, a weight has
/// either trained tokens, or LoRA, or is trained in full. Source: huggingface/peft, src/peft/utils/other.py.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "veneer/peft/config.hpp"
#include "veneer/peft/plan.hpp"
#include "veneer/peft/sites.hpp"
#include "veneer/peft/trainable_tokens.hpp"

namespace veneer::detail {

inline const TrainedTokens* find_tokens(const AdapterPlan& plan, const std::string& name) {
  for (const TrainedTokens& tokens : plan.tokens) {
    if (tokens.name == name) return &tokens;
  }
  return nullptr;
}

/// The two ends of a model, by name.
struct VocabularyEnds {
  std::string embedding, head;
  Shape<dyn, dyn> shape{0, 0};  // (vocabulary, features)
  bool tied = false;
};
template <class M>
VocabularyEnds vocabulary_ends(M& model) {
  VocabularyEnds ends;
  for (const auto& site : sites(model)) {
    if (site->kind == ModuleKind::embedding) ends.embedding = site->name, ends.shape = site->shape;
    if (site->kind == ModuleKind::output_head) ends.head = site->name, ends.tied = !site->weight();
  }
  if constexpr (requires { model.config.tie_word_embeddings; }) ends.tied = model.config.tie_word_embeddings;
  return ends;
}

/// \throws ArgumentError for a token that is not in the vocabulary, or there twice
inline std::vector<std::int32_t> checked_tokens(const std::vector<index_t>& ids, index_t vocabulary,
                                                const std::string& name) {
  const std::string where = "trainable_token_indices: " + name + ": ";
  expects(!ids.empty(), where + "names no token");
  std::vector<std::int32_t> checked;
  for (const index_t id : ids) {
    expects(id >= 0 && id < vocabulary, where + "the token " + std::to_string(id) + " is not in the vocabulary of " +
                                            std::to_string(vocabulary) + " rows");
    checked.push_back(static_cast<std::int32_t>(id));
  }
  std::vector<index_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) throw ArgumentError(where + "the token " + std::to_string(*twice) + " is given twice");
  return checked;
}

/// Refuses tokens of a weight that also has LoRA, or trains in full.
inline void expect_free(const AdapterPlan& plan, const std::string& name, const std::string& why) {
  for (const AdaptedModule& module : plan.modules) {
    expects(module.name != name, "trainable_token_indices: " + name + why +
                                     " has an adapter too, which PEFT does not combine: leave it out of "
                                     "target_modules");
  }
  for (const TrainedWeight& weight : plan.trained) {
    expects(weight.name != name + ".weight",
            "trainable_token_indices: " + name + why + " trains in full too: leave it out of modules_to_save");
  }
}

/// Adds the tokens of a configuration to a plan that has everything else.
/// \throws ArgumentError for what PEFT refuses too
template <class M>
void plan_tokens(M& model, const AdapterConfig& config, AdapterPlan& plan) {
  if (!config.trainable_token_indices) return;
  if constexpr (requires { model.head_separated; }) {
    expects(
        !model.head_separated,
        "trainable_token_indices: config.json says that the head is the embedding, and the files hold another: PEFT "
        "would write the trained rows of the embedding into the head too. Set tie_word_embeddings to false there");
  }
  const VocabularyEnds ends = vocabulary_ends(model);
  const std::vector<index_t>* of_embedding = nullptr;
  const std::vector<index_t>* of_head = nullptr;
  for (const auto& [key, ids] : *config.trainable_token_indices) {
    const bool table = !ends.embedding.empty() && ends.embedding.ends_with(key);  // an empty key too
    const bool head = !table && !ends.head.empty() && ends.head.ends_with(key);
    expects(table || head, "trainable_token_indices: \"" + key + "\" is neither the embedding (" + ends.embedding +
                               ") nor the head (" + ends.head + ")");
    (table ? of_embedding : of_head) = &ids;
  }
  const bool differ = of_embedding != nullptr && of_head != nullptr && *of_embedding != *of_head;
  expects(!(ends.tied && differ && config.ensure_weight_tying),
          "trainable_token_indices: embedding and head are tied (ensure_weight_tying) and have different tokens");
  const bool shared = ends.tied && of_embedding != nullptr && !differ;
  const auto add = [&](const std::string& name, const std::vector<index_t>& ids, bool with_head) {
    expect_free(plan, name, "");
    plan.tokens.push_back({name, checked_tokens(ids, ends.shape[0], name), ends.shape[1], with_head});
  };
  if (of_embedding != nullptr) add(ends.embedding, *of_embedding, shared);
  if (shared) expect_free(plan, ends.head, ", which is tied to " + ends.embedding + ",");
  if (of_head != nullptr && !shared) add(ends.head, *of_head, false);
}

/// Rows of a weight by number, in the compute type; without values where it has none, or none are wanted.
template <class W>
auto token_values(const W& weight, const std::vector<std::int32_t>& ids, bool initialise) {
  return with_stored(weight, [&](const auto& w) {
    const auto& values = value_of(w);
    using Rows = Tensor<compute_t<typename W::scalar>, Shape<dyn, dyn>, typename W::backend>;
    const Shape<dyn, dyn> shape(static_cast<index_t>(ids.size()), weight.shape()[1]);
    const auto device = values.device();
    if (!values || !initialise) return Rows(shape, device, nullptr);
    return Rows(embedding(from_host(Shape<dyn>(shape[0]), ids, device), values));
  });
}

/// Places the adapters of a plan's tokens, in slots that are empty.
template <class M>
void attach_tokens(M& model, const AdapterPlan& plan, bool initialise) {
  if (plan.tokens.empty()) return;
  using B = typename site_t<M>::backend;
  using T = typename site_t<M>::scalar;
  TokenRows<B, T> shared;
  for (const auto& site : sites(model)) {
    const auto place = [&](const TokenRows<B, T>& rows) {
      std::any adapter = TokenHeadAdapter<B, T>{rows};
      if (site->kind == ModuleKind::embedding) adapter = TokenEmbeddingAdapter<B, T>{rows};
      expects(site->takes(adapter),
              "trainable_token_indices: the slot of " + site->name + " takes no adapter of tokens");
      site->place(adapter);
    };
    if (const TrainedTokens* tokens = find_tokens(plan, site->name)) {
      const TokenRows<B, T> rows(tokens->ids, token_values(site->weight(), tokens->ids, initialise));
      place(rows);
      if (tokens->shared) shared = rows.borrowed();
    } else if (site->kind == ModuleKind::output_head && shared.is_borrowed()) {
      place(shared);
    }
  }
}

}  // namespace veneer::detail
