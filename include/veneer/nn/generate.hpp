// SPDX-License-Identifier: Apache-2.0
/// \file generate.hpp
/// generate(model, prompts, options): continues sequences of ids token by token, with a cache of keys and values.
///
/// Greedy if the temperature is 0. Otherwise a token is drawn from softmax(logits / temperature) over the most likely
/// ones: at most top_k, and the fewest that together reach top_p (Holtzman et al., arXiv:1904.09751, section 3.1).
/// Draw i of sequence s comes from stream s of the seed, so the text does not depend on threads or on other sequences
/// of the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
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
  /// Called with (sequence, id) for each chosen token; returning false ends all sequences.
  std::function<bool(std::size_t, std::int32_t)> on_token = {};
};

namespace detail {

/// Draws a token from softmax(logits / temperature), restricted to the top_k most likely and then to the fewest of them
/// that reach the probability top_p. A heap sorts only the tokens that are kept.
inline std::int32_t draw_token(const std::vector<float>& logits, const GenerateOptions& options,
                               RandomSequence& random) {
  std::vector<std::int32_t> heap(logits.size());
  std::iota(heap.begin(), heap.end(), 0);
  const auto less_likely = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x < y : a > b;
  };
  const auto more_likely = [&](std::int32_t a, std::int32_t b) { return less_likely(b, a); };
  if (options.top_k > 0 && options.top_k < static_cast<index_t>(heap.size())) {
    std::nth_element(heap.begin(), heap.begin() + options.top_k, heap.end(), more_likely);
    heap.resize(static_cast<std::size_t>(options.top_k));
  }
  std::make_heap(heap.begin(), heap.end(), less_likely);
  const double top = logits[static_cast<std::size_t>(heap.front())];
  std::vector<double> weights(logits.size());  // by id
  const auto weight = [&](std::int32_t id) -> double& { return weights[static_cast<std::size_t>(id)]; };
  double sum = 0.0;
  for (const std::int32_t id : heap) {
    weight(id) = std::exp((static_cast<double>(logits[static_cast<std::size_t>(id)]) - top) / options.temperature);
    sum += weight(id);
  }

  std::vector<std::int32_t> kept;  // all, or sorted by probability
  double reached = 0.0;
  if (options.top_p >= 1.0) kept.swap(heap), reached = sum;
  while (!heap.empty() && (kept.empty() || reached < options.top_p * sum)) {
    std::pop_heap(heap.begin(), heap.end(), less_likely);
    kept.push_back(heap.back());
    heap.pop_back();
    reached += weight(kept.back());
  }
  double draw = random.uniform() * reached;
  for (const std::int32_t id : kept) {
    draw -= weight(id);
    if (draw < 0.0) return id;
  }
  return kept.back();
}

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
  return draw_token(logits, options, random);
}

/// Returns the layout and cache rows of a round in which sequence s feeds `fed[s]` tokens.
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

/// Allocates the keys and values of `sequences` sequences of at most `capacity` tokens.
template <class Model>
auto make_cache(const Model& model, index_t sequences, index_t capacity) {
  using T = typename Model::T;
  using B = typename Model::backend;
  KeyValueCache<T, B> cache;
  cache.capacity = capacity;
  cache.lengths.assign(static_cast<std::size_t>(sequences), 0);
  const Shape<dyn, dyn> shape(sequences * capacity, model.config.num_key_value_heads * model.config.head_dim);
  cache.layers.resize(model.model.layers.size());
  const bool narrow = model.computes_in_bfloat16();
  for (LayerCache<T, B>& layer : cache.layers) {
    if (narrow) {
      layer.template reserve<bfloat16>(shape, model.device);
    } else {
      layer.template reserve<T>(shape, model.device);
    }
  }
  return cache;
}

namespace detail {

/// The ids fed in one round, and their sequences.
struct GenerationRound {
  std::vector<std::int32_t> ids, last;  // all fed ids; the row of each sequence's last id
  std::vector<std::size_t> active;
  std::vector<index_t> fed;

  explicit GenerationRound(const std::vector<std::vector<std::int32_t>>& feed) : fed(feed.size(), 0) {
    for (std::size_t s = 0; s < feed.size(); ++s) {
      if (feed[s].empty()) continue;
      ids.insert(ids.end(), feed[s].begin(), feed[s].end());
      last.push_back(static_cast<std::int32_t>(ids.size()) - 1);
      active.push_back(s);
      fed[s] = static_cast<index_t>(feed[s].size());
    }
  }
};

/// Returns the logits of the next token of each active sequence; (active, vocabulary), row by row.
template <class Model, class Cache>
std::vector<float> next_logits(const Model& model, Cache& cache, const GenerationRound& round) {
  model.check_ids(round.ids);  // on the host, before they are copied
  const auto ids = from_host(Shape<dyn>(static_cast<index_t>(round.ids.size())), round.ids, model.device);
  const auto h = model.hidden(ids, cached_context(model, cache, round.fed));
  const auto rows = from_host(Shape<dyn>(static_cast<index_t>(round.last.size())), round.last, model.device);
  const auto logits = to_host(model.head(gather_rows(h, rows)));
  return {logits.begin(), logits.end()};
}

/// Drops the cached keys of a sequence when its length changes the rotation of positions: all of its ids are fed again.
template <class Model, class Cache>
void feed_again_where_rotation_changes(const Model& model, Cache& cache, std::vector<std::vector<std::int32_t>>& feed,
                                       const std::vector<std::vector<std::int32_t>>& prompts,
                                       const std::vector<std::vector<std::int32_t>>& made) {
  for (std::size_t s = 0; s < feed.size(); ++s) {
    const index_t before = cache.lengths[s], after = before + static_cast<index_t>(feed[s].size());
    const RopeConfig& rope = model.config.rope;
    if (before == 0 || feed[s].empty() || long_sequence(rope, before) == long_sequence(rope, after)) continue;
    cache.lengths[s] = 0;
    feed[s] = prompts[s];
    feed[s].insert(feed[s].end(), made[s].begin(), made[s].end());
  }
}

/// \param feed  the ids of each prompt that are not in the cache, at least its last id
template <class Model, class Cache>
std::vector<std::vector<std::int32_t>> generate_with(const Model& model, Cache& cache,
                                                     std::vector<std::vector<std::int32_t>> feed,
                                                     const std::vector<std::vector<std::int32_t>>& prompts,
                                                     const GenerateOptions& options) {
  const auto width = static_cast<std::ptrdiff_t>(model.config.vocab_size);
  std::vector<std::vector<std::int32_t>> made(prompts.size());
  std::vector<RandomSequence> random;
  for (std::size_t s = 0; s < prompts.size(); ++s) random.push_back({{options.seed, s}, 0});
  for (index_t count = 0; count < options.max_new_tokens; ++count) {
    feed_again_where_rotation_changes(model, cache, feed, prompts, made);
    const GenerationRound round(feed);
    if (round.active.empty()) break;
    const std::vector<float> logits = next_logits(model, cache, round);
    for (std::size_t i = 0; i < round.active.size(); ++i) {
      const std::size_t s = round.active[i];
      const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(i) * width;
      std::vector<float> row(begin, begin + width);
      std::vector<std::int32_t> seen;
      if (options.repetition_penalty != 1.0) {
        seen = prompts[s];
        seen.insert(seen.end(), made[s].begin(), made[s].end());
      }
      const std::int32_t id = choose_token(row, seen, options, random[s]);
      made[s].push_back(id);
      feed[s].assign(1, id);
      if (options.on_token && !options.on_token(s, id)) return made;
      if (std::find(options.stop.begin(), options.stop.end(), id) != options.stop.end()) feed[s].clear();
    }
  }
  return made;
}

}  // namespace detail

/// Generates continuations of prompts.
/// \param prompts  token ids, at least one per prompt
/// \returns the new tokens of each sequence
/// \throws ArgumentError for an empty prompt or an id outside the vocabulary
template <class Model>
std::vector<std::vector<std::int32_t>> generate(const Model& model,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                const GenerateOptions& options = {}) {
  if (prompts.empty() || options.max_new_tokens <= 0) return std::vector<std::vector<std::int32_t>>(prompts.size());
  index_t longest = 0;
  for (const std::vector<std::int32_t>& prompt : prompts) {
    expects(!prompt.empty(), "veneer::generate(model, prompts): a prompt must hold at least one token");
    longest = std::max(longest, static_cast<index_t>(prompt.size()));
  }
  auto cache = make_cache(model, static_cast<index_t>(prompts.size()), longest + options.max_new_tokens);
  return detail::generate_with(model, cache, prompts, prompts, options);
}

/// A sequence that grows from call to call, such as a conversation: the common prefix with the previous call
/// is not recomputed.
///
///   GrowingSequence sequence(model);
///   const auto reply = sequence.generate(first_turn, options);
///   const auto next = sequence.generate(first_turn_reply_and_second_turn, options);
template <class Model>
class GrowingSequence {
 public:
  explicit GrowingSequence(Model model) : model_(std::move(model)) {}

  /// Returns the result of generate(model, {ids}, options).
  std::vector<std::int32_t> generate(const std::vector<std::int32_t>& ids, const GenerateOptions& options = {}) {
    if (options.max_new_tokens <= 0) return {};
    expects(!ids.empty(), "veneer::GrowingSequence::generate(ids): there must be at least one token");
    const RopeConfig& rope = model_.config.rope;
    const bool alike = long_sequence(rope, static_cast<index_t>(held_.size())) ==
                       long_sequence(rope, static_cast<index_t>(ids.size()));
    const std::size_t kept = alike ? std::min(shared(ids), ids.size() - 1) : 0;  // the last id gives the logits
    const index_t needed = static_cast<index_t>(ids.size()) + options.max_new_tokens;
    held_.clear();  // after an exception the cache is invalid
    reused_ = needed <= cache_.capacity ? kept : 0;
    if (needed > cache_.capacity) cache_ = make_cache(model_, 1, std::max(needed, 2 * cache_.capacity));
    cache_.lengths[0] = static_cast<index_t>(reused_);
    std::vector<std::int32_t> rest(ids.begin() + static_cast<std::ptrdiff_t>(reused_), ids.end());
    auto made = detail::generate_with(model_, cache_, {std::move(rest)}, {ids}, options);
    held_ = ids;
    held_.insert(held_.end(), made[0].begin(), made[0].end());
    held_.resize(static_cast<std::size_t>(cache_.lengths[0]));
    return std::move(made[0]);
  }

  /// Returns the number of ids of the last call that were in the cache.
  std::size_t reused() const { return reused_; }

 private:
  std::size_t shared(const std::vector<std::int32_t>& ids) const {
    const std::size_t most = std::min(ids.size(), held_.size());
    const auto end = held_.begin() + static_cast<std::ptrdiff_t>(most);
    return static_cast<std::size_t>(std::mismatch(held_.begin(), end, ids.begin()).first - held_.begin());
  }

  Model model_;
  KeyValueCache<typename Model::T, typename Model::backend> cache_;
  std::vector<std::int32_t> held_;  // the ids whose keys and values are in the cache
  std::size_t reused_ = 0;
};

}  // namespace veneer
