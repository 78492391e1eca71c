// SPDX-License-Identifier: Apache-2.0
/// \file generate.hpp
/// generate(model, prompts, options): continues sequences of ids token by token, with a cache of keys and values.
///
/// Greedy when the temperature is 0. Otherwise a token is drawn from softmax(logits / temperature) over the most likely
/// ones: at most top_k,
/// and the fewest that together reach top_p (Holtzman et al., arXiv:1904.09751, section 3.1). Draw i of sequence s
/// comes from
/// stream s of the seed, so the text does not depend on threads or on what else is in the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "veneer/nn/llama.hpp"

namespace veneer {

struct GenerateOptions {
  index_t max_new_tokens = 128;
  std::vector<std::int32_t> stop = {};  // ids that end a sequence; the id itself is part of the result
  double temperature = 0.0;             // 0: the most likely token
  index_t top_k = 0;                    // 0: all
  double top_p = 1.0;
  double repetition_penalty = 1.0;  // Keskar et al., arXiv:1909.05858, section 4.1; 1: none
  std::uint64_t seed = 0;
  /// Called with (sequence, id) as each token is chosen; false ends all sequences.
  std::function<bool(std::size_t, std::int32_t)> on_token = {};
};

namespace detail {

inline std::int32_t choose_token(std::vector<float>& logits, const std::vector<std::int32_t>& seen,
                                 const GenerateOptions& options, RandomSequence& random) {
  if (options.repetition_penalty != 1.0) {
    std::vector<std::int32_t> once = seen;
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    for (const std::int32_t id : once) {
      float& x = logits[static_cast<std::size_t>(id)];
      x = static_cast<float>(x > 0 ? x / options.repetition_penalty : x * options.repetition_penalty);
    }
  }
  if (options.temperature <= 0.0)
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto more_likely = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::sort(order.begin(), order.end(), more_likely);
  if (options.top_k > 0 && options.top_k < static_cast<index_t>(order.size()))
    order.resize(static_cast<std::size_t>(options.top_k));
  std::vector<double> share(order.size());
  const double top = logits[static_cast<std::size_t>(order[0])];
  double sum = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    share[i] = std::exp((static_cast<double>(logits[static_cast<std::size_t>(order[i])]) - top) / options.temperature);
    sum += share[i];
  }
  std::size_t kept = 0;
  double reached = 0.0;
  while (kept < order.size() && (kept == 0 || reached < options.top_p * sum)) reached += share[kept++];
  double draw = random.uniform() * reached;
  for (std::size_t i = 0; i < kept; ++i) {
    draw -= share[i];
    if (draw < 0.0) return order[i];
  }
  return order[kept - 1];
}

/// The layout and cache rows of a round in which sequence s feeds `fed[s]` tokens.
template <class Model>
auto cached_context(const Model& model, KeyValueCache<typename Model::T, typename Model::backend>& cache,
                    const std::vector<index_t>& fed) {
  auto layout = std::make_shared<AttentionLayout>();
  std::vector<std::int32_t> rows;
  index_t query = 0;
  for (std::size_t s = 0; s < fed.size(); ++s) {
    if (fed[s] == 0) continue;
    const index_t base = static_cast<index_t>(s) * cache.capacity, length = cache.lengths[s] + fed[s];
    layout->spans.push_back({query, fed[s], base, length, length});
    for (index_t i = cache.lengths[s]; i < length; ++i) rows.push_back(static_cast<std::int32_t>(base + i));
    cache.lengths[s] = length;
    query += fed[s];
  }
  auto context = model.context(layout, query);
  context.cache = &cache;
  context.rows = from_host(Shape<dyn>(query), rows, model.device);
  return context;
}

}  // namespace detail

/// Memory for the keys and values of `sequences` sequences of at most `capacity` tokens.
template <class Model>
auto make_cache(const Model& model, index_t sequences, index_t capacity) {
  using T = typename Model::T;
  using B = typename Model::backend;
  KeyValueCache<T, B> cache;
  cache.capacity = capacity;
  cache.lengths.assign(static_cast<std::size_t>(sequences), 0);
  const Shape<dyn, dyn> shape(sequences * capacity, model.config.num_key_value_heads * model.config.head_dim);
  for (std::size_t i = 0; i < model.model.layers.size(); ++i)
    cache.layers.push_back({Matrix<T, B>(shape, model.device), Matrix<T, B>(shape, model.device)});
  return cache;
}

/// \param prompts token ids, each at least one
/// \returns the new tokens of each sequence
/// \throws ArgumentError for an empty prompt or an id outside the vocabulary
template <class Model>
std::vector<std::vector<std::int32_t>> generate(const Model& model,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                const GenerateOptions& options = {}) {
  const std::size_t count = prompts.size();
  std::vector<std::vector<std::int32_t>> made(count);
  if (count == 0 || options.max_new_tokens <= 0) return made;
  index_t longest = 0;
  std::vector<std::vector<std::int32_t>> feed = prompts;
  std::vector<RandomSequence> random;
  for (std::size_t s = 0; s < count; ++s) {
    expects(!prompts[s].empty(), "veneer::generate(model, prompts): a prompt must hold at least one token");
    longest = std::max(longest, static_cast<index_t>(prompts[s].size()));
    random.push_back({{options.seed, s}, 0});
  }
  auto cache = make_cache(model, static_cast<index_t>(count), longest + options.max_new_tokens);
  for (index_t round = 0; round < options.max_new_tokens; ++round) {
    std::vector<std::int32_t> ids, last;
    std::vector<std::size_t> active;
    std::vector<index_t> fed(count, 0);
    for (std::size_t s = 0; s < count; ++s) {
      if (feed[s].empty()) continue;
      ids.insert(ids.end(), feed[s].begin(), feed[s].end());
      last.push_back(static_cast<std::int32_t>(ids.size()) - 1);
      active.push_back(s);
      fed[s] = static_cast<index_t>(feed[s].size());
    }
    if (active.empty()) break;
    const auto there = from_host(Shape<dyn>(static_cast<index_t>(ids.size())), ids, model.device);
    model.check_ids(there);
    const auto h = model.hidden(there, detail::cached_context(model, cache, fed));
    const auto rows = from_host(Shape<dyn>(static_cast<index_t>(last.size())), last, model.device);
    const auto logits = to_host(model.head(gather_rows(h, rows)));
    for (std::size_t i = 0; i < active.size(); ++i) {
      const std::size_t s = active[i], width = static_cast<std::size_t>(model.config.vocab_size);
      std::vector<float> row(logits.begin() + static_cast<std::ptrdiff_t>(i * width),
                             logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
      std::vector<std::int32_t> seen;
      if (options.repetition_penalty != 1.0) {
        seen = prompts[s];
        seen.insert(seen.end(), made[s].begin(), made[s].end());
      }
      const std::int32_t id = detail::choose_token(row, seen, options, random[s]);
      made[s].push_back(id);
      feed[s].assign(1, id);
      if (options.on_token && !options.on_token(s, id)) return made;
      if (std::find(options.stop.begin(), options.stop.end(), id) != options.stop.end()) feed[s].clear();
    }
  }
  return made;
}

}  // namespace veneer
