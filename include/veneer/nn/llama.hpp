// SPDX-License-Identifier: Apache-2.0
/// \file llama.hpp
/// Llama: token ids -> logits, for Llama and the families that differ from it in options (docs/families.md). Extents
/// are static or read from a configuration at run time.
///
///   h = m embed_tokens[ids];  h = layers[i](h) for each i;  h = norm(h);  logits = lm_head(h) / s
///   (Llama: m = s = 1)   ids: (tokens)   h: (tokens, hidden)   logits: (tokens, vocabulary)
/// Sequences of a batch are concatenated without padding; an AttentionLayout separates them. Field names are the keys
/// of Hugging Face checkpoints: model.layers.0.self_attn.q_proj.weight. A tied head has no weight of its own.
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
#include "veneer/ops/cast.hpp"
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

/// \tparam E  extents fixed by the program; LlamaExtents{} leaves all to the configuration
/// \tparam Format  storage of the weights: dense<T>, stored<T>
/// \tparam Adapter, EmbeddingAdapter  adapters of linear layers and of the embedding; slots if they are chosen
/// at run time
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
  Head lm_head;  // its weight is empty when the head is tied
  /// The storage type of activations between layers; bfloat16 is possible if Format::narrows. Sums, statistics and
  /// losses remain T.
  Storage activations = std::same_as<T, double> ? Storage::float64 : Storage::float32;
  bool checkpointing = false;   // keep only the input of each block, and run the block again in the backward pass
  bool head_separated = false;  // the files have a separate head, although it is tied in config.json
  index_t logits_at_once = index_t{1} << 25;  // for a loss: larger batches are computed in blocks

  using Layout = std::shared_ptr<const AttentionLayout>;

  // A result computed from x: a Variable if x is one.
  template <class X, class U, class S>
  using Result = std::conditional_t<VariableLike<X>, Variable<U, S, B>, Tensor<U, S, B>>;
  template <class X>
  using Hidden = Result<X, T, Shape<extent_of<typename X::shape_type, 0>, E.hidden>>;
  template <class X, class U = T>
  using Logits = Result<X, U, Shape<extent_of<typename X::shape_type, 0>, E.vocabulary>>;
  template <class X>
  using Loss = Result<X, T, Shape<1>>;

  Llama() = default;

  /// Constructs a shape-only model: no weights are allocated. A loader or an initialiser fills them.
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
    set_shape(model.embed_tokens.weight, config.vocab_size, config.hidden_size);
    for (std::size_t i = 0; i < model.layers.size(); ++i) set_block_shapes(model.layers[i], i);
    set_norm_shapes(model.norm, config.hidden_size);
    if (!config.tie_word_embeddings) set_shape(lm_head.weight, config.vocab_size, config.hidden_size);
  }

  bool computes_in_bfloat16() const { return Format::narrows && activations == Storage::bfloat16; }

  /// Returns the per-batch data, with the angles of the positions that a layout gives to the rows of q.
  ForwardContext<T, B> context(Layout layout, index_t tokens) const {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens), 0);
    for (const SequenceRange& span : layout->spans) {
      for (index_t i = 0; i < span.queries; ++i) {
        positions[static_cast<std::size_t>(span.query + i)] = static_cast<std::int32_t>(span.keys - span.queries + i);
      }
    }
    const auto positions_there = from_host(Shape<dyn>(tokens), positions, device);
    ForwardContext<T, B> context{layout, {}, nullptr, {}};
    for (const RopeConfig& rope : rope_configs(config))
      context.angles.push_back(angles(rope, *layout, positions_there));
    return context;
  }

  /// Computes all layers except the head.    ids: (tokens) of int32   result: (tokens, hidden), of T
  template <ValueLike Ids>
  Hidden<Ids> hidden(const Ids& ids, const ForwardContext<T, B>& context) const;

  template <ValueLike Ids>
  Hidden<Ids> hidden(const Ids& ids, Layout layout) const {
    return hidden(ids, context(std::move(layout), ids.extent(0)));
  }

  /// Returns the logits of hidden rows; a tied head uses the embedding's weight.
  template <ValueLike H>
  Logits<H, typename H::scalar> head(const H& h) const;

  /// \throws ArgumentError when an id is outside the vocabulary
  void check_ids(const std::vector<std::int32_t>& ids) const {
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= config.vocab_size) {
        throw ArgumentError("veneer::Llama(ids): an id must be in [0, " + std::to_string(config.vocab_size) +
                            "); one is " + std::to_string(id));
      }
    }
  }
  /// Checks ids on a device, by copying them to the host.
  template <ValueLike Ids>
  void check_ids(const Ids& ids) const {
    static_assert(std::same_as<typename Ids::scalar, std::int32_t>,
                  "veneer::Llama(ids): ids must be a vector of int32");
    check_ids(to_host(value_of(ids)));
  }
  /// Checks ids on the host and copies them to the device.
  /// \throws ArgumentError when an id is outside the vocabulary
  Vector<std::int32_t, B> checked_ids(const std::vector<std::int32_t>& ids) const {
    check_ids(ids);
    return from_host(Shape<dyn>(static_cast<index_t>(ids.size())), ids, device);
  }

  /// Returns the logits.    ids: (tokens) of int32, each in [0, vocabulary)   result: (tokens, vocabulary)
  /// Ids in a tensor are copied to the host for the check; those in a std::vector are checked before they are copied.
  /// \throws ArgumentError when an id is outside the vocabulary
  template <ValueLike Ids>
  Logits<Ids> operator()(const Ids& ids, Layout layout) const {
    check_ids(ids);
    return logits(ids, std::move(layout));
  }
  Logits<Vector<std::int32_t, B>> operator()(const std::vector<std::int32_t>& ids, Layout layout) const {
    return logits(checked_ids(ids), std::move(layout));
  }

  /// Returns scale * sum of -log p(target) over the rows with a target. Logits of other rows are never computed.
  /// \param targets  one per row: the next id, or ignored_label
  template <ValueLike Ids>
  Loss<Ids> loss(const Ids& ids, Layout layout, const std::vector<std::int32_t>& targets, double scale) const {
    check_ids(ids);
    return loss_over(ids, std::move(layout), targets, scale);
  }
  Loss<Vector<std::int32_t, B>> loss(const std::vector<std::int32_t>& ids, Layout layout,
                                     const std::vector<std::int32_t>& targets, double scale) const {
    return loss_over(checked_ids(ids), std::move(layout), targets, scale);
  }
  /// Returns the loss on a tape.
  Loss<Variable<std::int32_t, Shape<dyn>, B>> loss(Tape& tape, const std::vector<std::int32_t>& ids, Layout layout,
                                                   const std::vector<std::int32_t>& targets, double scale) const {
    return loss_over(tape.input(checked_ids(ids)), std::move(layout), targets, scale);
  }

  /// Returns the linear layer that computes the logits, and the shape of a tied one, for attach.
  const Head& output_head() const { return lm_head; }
  Shape<dyn, dyn> tied_shape() const { return Shape<dyn, dyn>(config.vocab_size, config.hidden_size); }

  /// Gives a tied head its own weight: the embedding's, shared until one of them is trained.
  void untie() {
    if (!present(lm_head.weight)) lm_head.weight = model.embed_tokens.weight;
  }

  /// Gives a tied head its own shape-only weight, for a reader to fill, and records this in the configuration.
  void separate_head() {
    config.tie_word_embeddings = false;
    head_separated = true;
    set_shape(lm_head.weight, config.vocab_size, config.hidden_size);
  }

  static constexpr auto fields = std::tuple{field("model", &Llama::model), field("lm_head", &Llama::lm_head)};

 private:
  template <ValueLike Ids>
  Logits<Ids> logits(const Ids& ids, Layout layout) const;
  template <ValueLike Ids>
  Loss<Ids> loss_over(const Ids& ids, Layout layout, const std::vector<std::int32_t>& targets, double scale) const;

  template <ValueLike Ids>
  auto embedded(const Ids& ids) const {
    const auto h = model.embed_tokens(without_padding_gradient(ids));
    return config.embedding_multiplier == 1 ? h : std::remove_cv_t<decltype(h)>(scale(h, config.embedding_multiplier));
  }

  /// Returns f(h) with h in the storage type of the activations; the type of the result must not depend on it.
  template <ValueLike H, class F>
  auto in_activations(const H& h, const F& f) const {
    if constexpr (Format::narrows) {
      if (computes_in_bfloat16()) return f(cast<bfloat16>(h));
    }
    return f(h);
  }

  /// Computes all blocks.    h: (tokens, hidden) in any storage type, like the result
  template <ValueLike H>
  auto layers(H h, const ForwardContext<T, B>& context) const {
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      const Block& block = model.layers[i];
      if (checkpointing) {
        h = H(checkpoint([&block, context, i](const auto& x) { return block(x, context, i); }, h));
      } else {
        h = H(block(h, context, i));
      }
    }
    return model.norm(h);
  }

  /// Returns the loss of `rows` of h. Logits are computed for one block of rows at a time.
  template <ValueLike H>
  auto loss_of(const H& h, const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& labels,
               double scale) const {
    const index_t count = static_cast<index_t>(rows.size());
    const index_t most = std::max<index_t>(1, logits_at_once / config.vocab_size);
    const index_t pieces = ceil_div(count, most);
    const index_t even = pieces <= 1 ? count : ceil_div(count, pieces);
    const index_t piece = std::min(most, (even + 31) / 32 * 32);
    const auto loss = [&](index_t begin) {
      const index_t end = std::min(count, begin + piece);
      const auto part = [&](const std::vector<std::int32_t>& all) {
        return std::vector<std::int32_t>(all.begin() + begin, all.begin() + end);
      };
      const auto of_piece = [this, targets = part(labels), scale](const auto& x) {
        return cross_entropy_sum(this->head(x), targets, scale);
      };
      const auto x = gather_rows(h, from_host(Shape<dyn>(end - begin), part(rows), device));
      return count <= piece ? of_piece(x) : gradient_in_forward(of_piece, x);
    };
    auto total = loss(0);
    for (index_t begin = piece; begin < count; begin += piece) total = add(total, loss(begin));
    return total;
  }

  /// Returns ids with the padding token as ~id: as in transformers, its row of the embedding gets no gradient
  /// from a lookup.
  template <class Ids>
  Ids without_padding_gradient(const Ids& ids) const {
    if constexpr (VariableLike<Ids>) {
      const index_t pad =
          config.pad_token_id.value_or(-1) + (config.pad_token_id.value_or(0) < 0 ? config.vocab_size : 0);
      if (!config.pad_token_id || pad < 0 || pad >= config.vocab_size) return ids;
      auto marked = copy(value_of(ids));
      device.for_each(marked.count(), ops::ComplementBody{marked.data(), static_cast<std::int32_t>(pad)});
      return ids.tape().input(marked);
    }
    return ids;
  }

  template <class W, class... Sizes>
  void set_shape(W& weight, Sizes... sizes) const {
    using S = typename W::shape_type;
    weight = W(Tensor<T, S, B>(shape_of<S>(sizes...), device, nullptr));
  }
  /// \param there  whether this family has the layer
  template <class Layer>
  void set_linear_shapes(Layer& layer, index_t out, index_t in, bool bias, bool there = true) const {
    layer.absent = !there;
    if (!there) return;
    set_shape(layer.weight, out, in);
    if (bias) set_shape(layer.bias, out);
  }
  template <class Norm>
  void set_norm_shapes(Norm& norm, index_t features, bool there = true) const {
    norm.absent = !there;
    norm.epsilon = config.rms_norm_eps;
    norm.offset = config.norm_offset;
    if (there) set_shape(norm.weight, features);
  }

  void set_block_shapes(Block& block, std::size_t layer) const {
    const index_t hidden = config.hidden_size, inner = config.intermediate_size;
    set_norm_shapes(block.input_layernorm, hidden, config.norms != NormPlacement::after);
    set_norm_shapes(block.post_attention_layernorm, hidden);
    set_norm_shapes(block.pre_feedforward_layernorm, hidden, config.norms == NormPlacement::both);
    set_norm_shapes(block.post_feedforward_layernorm, hidden, config.norms != NormPlacement::before);
    block.residual_multiplier = config.residual_multiplier;
    set_attention_shapes(block.self_attn, layer);
    set_linear_shapes(block.mlp.gate_proj, inner, hidden, config.mlp_bias, !config.fused_projections);
    set_linear_shapes(block.mlp.up_proj, inner, hidden, config.mlp_bias, !config.fused_projections);
    set_linear_shapes(block.mlp.gate_up_proj, 2 * inner, hidden, config.mlp_bias, config.fused_projections);
    set_linear_shapes(block.mlp.down_proj, hidden, inner, config.mlp_bias);
    block.mlp.activation = config.activation;
  }

  void set_attention_shapes(auto& attention, std::size_t layer) const {
    const index_t hidden = config.hidden_size, query = config.num_attention_heads * config.head_dim;
    const index_t key_value = config.num_key_value_heads * config.head_dim;
    attention.heads = config.num_attention_heads;
    attention.kv_heads = config.num_key_value_heads;
    attention.window = layer < config.window.size() ? config.window[layer] : 0;
    attention.scale = config.attention_scale;
    const LayerRope turn = layer < config.layer_rope.size() ? config.layer_rope[layer] : LayerRope::global;
    attention.angles = turn == LayerRope::none ? -1 : turn == LayerRope::local ? 1 : 0;
    set_linear_shapes(attention.q_proj, query, hidden, config.qkv_bias, !config.fused_projections);
    set_linear_shapes(attention.k_proj, key_value, hidden, config.qkv_bias, !config.fused_projections);
    set_linear_shapes(attention.v_proj, key_value, hidden, config.qkv_bias, !config.fused_projections);
    set_linear_shapes(attention.qkv_proj, query + 2 * key_value, hidden, config.qkv_bias, config.fused_projections);
    set_linear_shapes(attention.o_proj, hidden, query, config.o_bias);
    const bool whole = config.qk_norm == QkNorm::whole, normed = config.qk_norm != QkNorm::none;
    set_norm_shapes(attention.q_norm, whole ? query : config.head_dim, normed);
    set_norm_shapes(attention.k_norm, whole ? key_value : config.head_dim, normed);
  }

  RotaryAngles<T, B> angles(const RopeConfig& rope, const AttentionLayout& layout,
                            const Vector<std::int32_t, B>& positions) const {
    const index_t tokens = positions.extent(0), half = rotary_dim(config, rope) / 2;
    const Shape<dyn, dyn> shape(tokens, half);
    RotaryAngles<T, B> made{Matrix<T, B>(shape, device), Matrix<T, B>(shape, device)};
    const auto fill = [&](index_t first, index_t count, bool longer) {
      const auto frequencies = from_host(Shape<dyn>(half), inverse_frequencies(config, rope, longer), device);
      device.for_each(
          count * half,
          ops::AngleBody<T>{made.cosines.data() + first * half, made.sines.data() + first * half,
                            positions.data() + first, frequencies.data(), half, static_cast<T>(attention_factor(rope))},
          32);
    };
    fill(0, tokens, false);
    for (const SequenceRange& span : layout.spans) {
      if (long_sequence(rope, span.keys)) fill(span.query, span.queries, true);
    }
    return made;
  }
};

// Defined outside the class, because an inline function is compiled wherever it is used, even if
// veneer::compiled contains it.

template <LlamaExtents E, Backend B, class Format, class Adapter, class EmbeddingAdapter>
template <ValueLike Ids>
auto Llama<E, B, Format, Adapter, EmbeddingAdapter>::hidden(const Ids& ids, const ForwardContext<T, B>& context) const
    -> Hidden<Ids> {
  return in_activations(embedded(ids), [&](const auto& h) { return cast<T>(layers(h, context)); });
}

template <LlamaExtents E, Backend B, class Format, class Adapter, class EmbeddingAdapter>
template <ValueLike H>
auto Llama<E, B, Format, Adapter, EmbeddingAdapter>::head(const H& h) const -> Logits<H, typename H::scalar> {
  const auto logits = present(lm_head.weight) ? lm_head(h) : lm_head.with(model.embed_tokens.weight, h);
  return config.logits_divisor == 1 ? logits : scale(logits, 1 / config.logits_divisor);
}

template <LlamaExtents E, Backend B, class Format, class Adapter, class EmbeddingAdapter>
template <ValueLike Ids>
auto Llama<E, B, Format, Adapter, EmbeddingAdapter>::logits(const Ids& ids, Layout layout) const -> Logits<Ids> {
  const auto shared = context(std::move(layout), ids.extent(0));
  return in_activations(embedded(ids), [&](const auto& h) { return cast<T>(head(layers(h, shared))); });
}

template <LlamaExtents E, Backend B, class Format, class Adapter, class EmbeddingAdapter>
template <ValueLike Ids>
auto Llama<E, B, Format, Adapter, EmbeddingAdapter>::loss_over(const Ids& ids, Layout layout,
                                                               const std::vector<std::int32_t>& targets,
                                                               double scale) const -> Loss<Ids> {
  if (static_cast<index_t>(targets.size()) != ids.extent(0)) {
    throw ShapeError("veneer::Llama::loss: expected one target per token; there are " + std::to_string(ids.extent(0)) +
                     " tokens and " + std::to_string(targets.size()) + " targets");
  }
  std::vector<std::int32_t> rows, labels;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == ignored_label) continue;
    rows.push_back(static_cast<std::int32_t>(i));
    labels.push_back(targets[i]);
  }
  const auto shared = context(std::move(layout), ids.extent(0));
  return in_activations(embedded(ids), [&](const auto& h) { return loss_of(layers(h, shared), rows, labels, scale); });
}

}  // namespace veneer
