// SPDX-License-Identifier: Apache-2.0
/// \file llama_block.hpp
/// LlamaBlock: h = x + attention(norm(x)),  y = h + mlp(norm(h)).    x, y: (tokens, hidden)
///
/// Touvron et al., "LLaMA", arXiv:2302.13971, section 2.2. Families differ in where norms are (before each part, after
/// it, or both) and in a factor of the residual branches:
///
///             before attention  after attention           before mlp                 after mlp
///   most      input_layernorm                             post_attention_layernorm
///   OLMo 2                      post_attention_layernorm                             post_feedforward_layernorm
///   Gemma 3   input_layernorm   post_attention_layernorm  pre_feedforward_layernorm  post_feedforward_layernorm
///
/// Extents are static if the program fixes them, and `dyn` if they come from a checkpoint.
#pragma once

#include <tuple>

#include "veneer/nn/attention.hpp"
#include "veneer/nn/mlp.hpp"
#include "veneer/nn/rms_norm.hpp"

namespace veneer {

/// The extents of a model as a template argument; `dyn` for those that are known only at run time.
struct LlamaExtents {
  index_t vocabulary = dyn;
  index_t hidden = dyn;
  index_t intermediate = dyn;
  index_t query = dyn;      // heads * d
  index_t key_value = dyn;  // kv_heads * d
};

/// A format whose weights are plain, frozen tensors of T.
template <Real T>
struct dense {
  using compute = T;
  static constexpr bool narrows = false;  // activations are T
  template <class S, class B>
  using weight = Tensor<T, S, B>;
  template <class S, class B>
  using bias = Tensor<T, S, B>;
};

/// A format that keeps each weight in the storage type of its checkpoint, and can make it trainable.
template <Real T>
struct stored {
  using compute = T;
  static constexpr bool narrows = std::same_as<T, float>;  // activations may be bfloat16
  template <class S, class B>
  using weight = WeightSlot<T, S, B>;
  template <class S, class B>
  using bias = WeightSlot<T, S, B>;
};

template <LlamaExtents E, Backend B, class Format, class Adapter>
struct LlamaBlock {
  using T = typename Format::compute;
  template <index_t Out, index_t In>
  using Projection = Optional<Linear<typename Format::template weight<Shape<Out, In>, B>, Adapter,
                                     typename Format::template bias<Shape<Out>, B>>>;
  using Norm = RmsNorm<typename Format::template bias<Shape<E.hidden>, B>>;

  Norm input_layernorm;
  SelfAttention<Projection<E.query, E.hidden>, Projection<E.key_value, E.hidden>, Projection<E.hidden, E.query>,
                Projection<dyn, E.hidden>, RmsNorm<typename Format::template bias<Shape<dyn>, B>>>
      self_attn;
  Norm post_attention_layernorm;
  Norm pre_feedforward_layernorm{.absent = true};
  GatedMlp<Projection<E.intermediate, E.hidden>, Projection<E.hidden, E.intermediate>, Projection<dyn, E.hidden>> mlp;
  Norm post_feedforward_layernorm{.absent = true};
  double residual_multiplier = 1.0;  // of the residual branches

  auto operator()(const auto& x, const ForwardContext<T, B>& context, std::size_t layer) const {
    const auto attended = self_attn(input_layernorm(x), context, layer);
    if (post_feedforward_layernorm.absent) {
      const auto h = added(x, attended);
      return added(h, mlp(post_attention_layernorm(h)));
    }
    const auto h = added(x, post_attention_layernorm(attended));
    return added(h, post_feedforward_layernorm(mlp(pre_feedforward_layernorm(h))));
  }

  static constexpr auto fields =
      std::tuple{field("input_layernorm", &LlamaBlock::input_layernorm),
                 field("self_attn", &LlamaBlock::self_attn),
                 field("post_attention_layernorm", &LlamaBlock::post_attention_layernorm),
                 field("pre_feedforward_layernorm", &LlamaBlock::pre_feedforward_layernorm),
                 field("mlp", &LlamaBlock::mlp),
                 field("post_feedforward_layernorm", &LlamaBlock::post_feedforward_layernorm)};

 private:
  template <class X>
  X added(const X& x, const X& part) const {
    return residual_multiplier == 1.0 ? add(x, part) : add(x, scale(part, residual_multiplier));
  }
};

}  // namespace veneer
