// SPDX-License-Identifier: Apache-2.0
/// \file llama.hpp
/// Llama: token ids -> logits, for Llama 2 and 3, Mistral and Qwen2, sized by a type or by a configuration read at run
/// time.
///
///   h = embed_tokens[ids];  h = layers[i](h) for each i;  h = norm(h);  logits = lm_head(h)
///   ids: (tokens)   h: (tokens, hidden)   logits: (tokens, vocabulary)
/// Sequences of a batch lie one after the other without padding between them; an AttentionLayout keeps them apart.
/// Field names are
/// the keys of Hugging Face checkpoints: model.layers.0.self_attn.q_proj.weight. A tied head has no weight of its own.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/autograd/checkpoint.hpp"
#include "veneer/nn/llama_block.hpp"
#include "veneer/nn/llama_config.hpp"
#include "veneer/ops/cross_entropy.hpp"

namespace veneer {

template <class EmbeddingLayer, class Block, class Norm>
struct LlamaDecoder {
  EmbeddingLayer embed_tokens;
  std::vector<Block> layers;
  Norm norm;

  static constexpr auto fields = std::tuple{field("embed_tokens", &LlamaDecoder::embed_tokens),
                                            field("layers", &LlamaDecoder::layers), field("norm", &LlamaDecoder::norm)};
};

/// \tparam E        extents that the program fixes; LlamaExtents{} leaves all to the configuration
/// \tparam Format   how weights are held: dense<T>, stored<T>
/// \tparam Adapter, EmbeddingAdapter  what stands on linear layers and on the embedding; slots where that is decided at
/// run time
template <LlamaExtents E, Backend B, class Format, class Adapter = NoAdapter,
          class EmbeddingAdapter = NoEmbeddingAdapter>
struct Llama {
  using T = typename Format::compute;
  using backend = B;
  using Block = LlamaBlock<E, B, Format, Adapter>;
  using Table = Embedding<typename Format::template weight<Shape<E.vocabulary, E.hidden>, B>, EmbeddingAdapter>;
  using Head = Linear<typename Format::template weight<Shape<E.vocabulary, E.hidden>, B>, Adapter>;

  LlamaConfig config;
  B device{};
  LlamaDecoder<Table, Block, typename Block::Norm> model;
  Head lm_head;                // its weight is empty when the head is tied
  bool checkpointing = false;  // keep only the input of each block, and run the block again in the backward pass
  index_t logits_at_once = index_t{1} << 24;  // while a loss is computed: longer batches are done in pieces, each twice

  Llama() = default;

  /// Weights that have shapes and no values: nothing of the model's size is allocated. A loader or an initialiser fills
  /// them.
  /// \throws ArgumentError when the configuration contradicts itself, ShapeError when it contradicts E
  explicit Llama(LlamaConfig settings, B where = {}) : config(std::move(settings)), device(std::move(where)) {
    check(config);
    const auto fits = [](const char* name, index_t fixed, index_t given) {
      if (fixed != dyn && fixed != given) {
        throw ShapeError(std::string("veneer::Llama: ") + name + " is " + std::to_string(fixed) + " in the type and " +
                         std::to_string(given) + " in the configuration");
      }
    };
    fits("vocabulary", E.vocabulary, config.vocab_size);
    fits("hidden", E.hidden, config.hidden_size);
    fits("intermediate", E.intermediate, config.intermediate_size);
    fits("query", E.query, config.num_attention_heads * config.head_dim);
    fits("key_value", E.key_value, config.num_key_value_heads * config.head_dim);
    model.layers.resize(static_cast<std::size_t>(config.num_hidden_layers));
    const index_t hidden = config.hidden_size, query = config.num_attention_heads * config.head_dim;
    const index_t key_value = config.num_key_value_heads * config.head_dim;
    outline(model.embed_tokens.weight, config.vocab_size, hidden);
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      Block& block = model.layers[i];
      block.input_layernorm.epsilon = block.post_attention_layernorm.epsilon = config.rms_norm_eps;
      block.self_attn.heads = config.num_attention_heads;
      block.self_attn.kv_heads = config.num_key_value_heads;
      block.self_attn.window = i < config.window.size() ? config.window[i] : 0;
      outline(block.input_layernorm.weight, hidden);
      outline(block.post_attention_layernorm.weight, hidden);
      outline_linear(block.self_attn.q_proj, query, hidden, config.qkv_bias);
      outline_linear(block.self_attn.k_proj, key_value, hidden, config.qkv_bias);
      outline_linear(block.self_attn.v_proj, key_value, hidden, config.qkv_bias);
      outline_linear(block.self_attn.o_proj, hidden, query, config.o_bias);
      outline_linear(block.mlp.gate_proj, config.intermediate_size, hidden, config.mlp_bias);
      outline_linear(block.mlp.up_proj, config.intermediate_size, hidden, config.mlp_bias);
      outline_linear(block.mlp.down_proj, hidden, config.intermediate_size, config.mlp_bias);
    }
    model.norm.epsilon = config.rms_norm_eps;
    outline(model.norm.weight, hidden);
    if (!config.tie_word_embeddings) outline(lm_head.weight, config.vocab_size, hidden);
  }

  /// Angles of the positions that a layout gives to the rows of q.
  Context<T, B> context(std::shared_ptr<const AttentionLayout> layout, index_t tokens) const {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens), 0);
    for (const Span& span : layout->spans) {
      for (index_t i = 0; i < span.queries; ++i) {
        positions[static_cast<std::size_t>(span.query + i)] = static_cast<std::int32_t>(span.keys - span.queries + i);
      }
    }
    const std::vector<float> frequencies = inverse_frequencies(config);
    const index_t half = static_cast<index_t>(frequencies.size());
    const auto positions_there = from_host(Shape<dyn>(tokens), positions, device);
    const auto frequencies_there = from_host(Shape<dyn>(half), frequencies, device);
    Context<T, B> context{std::move(layout),
                          Matrix<T, B>(Shape<dyn, dyn>(tokens, half), device),
                          Matrix<T, B>(Shape<dyn, dyn>(tokens, half), device),
                          nullptr,
                          {}};
    device.for_each(tokens * half,
                    ops::AngleBody<T>{context.cosines.data(), context.sines.data(), positions_there.data(),
                                      frequencies_there.data(), half, static_cast<T>(attention_factor(config))},
                    32);
    return context;
  }

  /// All layers but the head.    ids: (tokens) of int32   result: (tokens, hidden)
  template <ValueLike Ids>
  auto hidden(const Ids& ids, const Context<T, B>& context) const {
    auto h = model.embed_tokens(ids);
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      const Block& block = model.layers[i];
      if (checkpointing) {
        h = decltype(h)(checkpoint([&block, context, i](const auto& x) { return block(x, context, i); }, h));
      } else {
        h = decltype(h)(block(h, context, i));
      }
    }
    return model.norm(h);
  }

  template <ValueLike Ids>
  auto hidden(const Ids& ids, std::shared_ptr<const AttentionLayout> layout) const {
    return hidden(ids, context(std::move(layout), ids.extent(0)));
  }

  /// Logits of some hidden rows; a tied head uses the embedding's weight.
  template <ValueLike H>
  auto head(const H& h) const {
    if (present(lm_head.weight)) return lm_head(h);
    return lm_head.with(model.embed_tokens.weight, h);
  }

  /// \throws ArgumentError when an id is outside the vocabulary
  template <ValueLike Ids>
  void check_ids(const Ids& ids) const {
    static_assert(std::same_as<typename Ids::scalar, std::int32_t>,
                  "veneer::Llama(ids): ids must be a vector of int32");
    for (const std::int32_t id : to_host(value_of(ids))) {
      if (id < 0 || id >= config.vocab_size) {
        throw ArgumentError("veneer::Llama(ids): an id must lie in [0, " + std::to_string(config.vocab_size) +
                            "); one is " + std::to_string(id));
      }
    }
  }

  /// Token ids to logits.    ids: (tokens) of int32, each in [0, vocabulary)   result: (tokens, vocabulary)
  /// \throws ArgumentError when an id is outside the vocabulary
  template <ValueLike Ids>
  auto operator()(const Ids& ids, std::shared_ptr<const AttentionLayout> layout) const {
    check_ids(ids);
    return head(hidden(ids, std::move(layout)));
  }

  /// scale * sum of -log p(target) over rows that have one. Logits of other rows are never computed.
  /// \param targets a row each: the id that follows it, or ignored_label
  template <ValueLike Ids>
  auto loss(const Ids& ids, std::shared_ptr<const AttentionLayout> layout, const std::vector<std::int32_t>& targets,
            double scale) const {
    check_ids(ids);
    if (static_cast<index_t>(targets.size()) != ids.extent(0)) {
      throw ShapeError("veneer::Llama::loss: one target a token; there are " + std::to_string(ids.extent(0)) +
                       " tokens and " + std::to_string(targets.size()) + " targets");
    }
    std::vector<std::int32_t> rows, labels;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] == ignored_label) continue;
      rows.push_back(static_cast<std::int32_t>(i));
      labels.push_back(targets[i]);
    }
    const auto h = hidden(ids, std::move(layout));
    const index_t count = static_cast<index_t>(rows.size());
    const index_t piece = std::max<index_t>(1, logits_at_once / config.vocab_size);
    if (count <= piece) return piece_loss(h, rows, labels, 0, count, scale);
    auto total = checkpointed_piece(h, rows, labels, 0, piece, scale);
    for (index_t begin = piece; begin < count; begin += piece) {
      total = add(total, checkpointed_piece(h, rows, labels, begin, std::min(count, begin + piece), scale));
    }
    return total;
  }

  /// For attach: which linear layer gives the logits, and what shape a tied one has.
  const Head& output_head() const { return lm_head; }
  Shape<dyn, dyn> tied_shape() const { return Shape<dyn, dyn>(config.vocab_size, config.hidden_size); }

  /// Gives a tied head a weight of its own: the embedding's, shared until one of them is trained.
  void untie() {
    if (!present(lm_head.weight)) lm_head.weight = model.embed_tokens.weight;
  }

  /// Gives a tied head a weight of its own that has only its shape, for a reader to fill. The configuration says so.
  void separate_head() {
    config.tie_word_embeddings = false;
    outline(lm_head.weight, config.vocab_size, config.hidden_size);
  }

  static constexpr auto fields = std::tuple{field("model", &Llama::model), field("lm_head", &Llama::lm_head)};

 private:
  template <class W, class... Sizes>
  void outline(W& weight, Sizes... sizes) const {
    using S = typename W::shape_type;
    weight = W(Tensor<T, S, B>(shape_of<S>(sizes...), device, nullptr));
  }
  template <class Layer>
  void outline_linear(Layer& layer, index_t out, index_t in, bool bias) const {
    outline(layer.weight, out, in);
    if (bias) outline(layer.bias, out);
  }

  template <class H>
  auto piece_loss(const H& h, const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& labels,
                  index_t begin, index_t end, double scale) const {
    const auto part = [&](const std::vector<std::int32_t>& all) {
      return from_host(Shape<dyn>(end - begin), std::vector<std::int32_t>(all.begin() + begin, all.begin() + end),
                       device);
    };
    return cross_entropy_sum(head(gather_rows(h, part(rows))), part(labels), scale);
  }

  template <class H>
  auto checkpointed_piece(const H& h, const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& labels,
                          index_t begin, index_t end, double scale) const {
    const auto run = [this, rows, labels, begin, end, scale](const auto& x) {
      return this->piece_loss(x, rows, labels, begin, end, scale);
    };
    return checkpoint(run, h);
  }
};

}  // namespace veneer
