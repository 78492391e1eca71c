// SPDX-License-Identifier: Apache-2.0
/// \file attention.hpp
/// SelfAttention: projections, rotation by position, grouped causal attention, projection back.
///
///   q = rope(q_proj(x))   k = rope(k_proj(x))   v = v_proj(x)   y = o_proj(attention(q, k, v))
///   x, y: (tokens, hidden)   q: (tokens, heads * d)   k, v: (tokens, kv_heads * d)
/// What a batch brings (who belongs to whom, angles of positions, a key cache) is a Context, made once for all layers.
#pragma once

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/nn/linear.hpp"
#include "veneer/ops/attention.hpp"
#include "veneer/ops/rope.hpp"

namespace veneer {

namespace ops {

/// cos and sin of position * frequency, the product rounded to T as the model codes do, times a factor.
template <Real T>
struct AngleBody {
  T* cosines;
  T* sines;
  const std::int32_t* positions;
  const float* frequencies;
  index_t half;
  T factor;
  VENEER_HD void operator()(index_t i) const {
    const T angle = static_cast<T>(positions[i / half]) * static_cast<T>(frequencies[i % half]);
    cosines[i] = std::cos(angle) * factor;
    sines[i] = std::sin(angle) * factor;
  }
};

template <Real T>
struct CopyRowsBody {
  T* to;
  const T* from;
  const std::int32_t* rows;
  index_t width;
  VENEER_HD void operator()(index_t i) const {
    T* out = to + static_cast<index_t>(rows[i]) * width;
    for (index_t c = 0; c < width; ++c) out[c] = from[i * width + c];
  }
};

}  // namespace ops

/// Keys and values of one layer for `slots` sequences of at most `capacity` tokens.    each: (slots * capacity,
/// kv_heads * d)
template <Real T, Backend B>
struct LayerCache {
  Matrix<T, B> keys, values;
};

/// The keys and values of all layers, and how many tokens each sequence has so far.
template <Real T, Backend B>
struct KeyValueCache {
  std::vector<LayerCache<T, B>> layers;
  std::vector<index_t> lengths;
  index_t capacity = 0;
};

/// What all layers share about a batch.
template <Real T, Backend B>
struct Context {
  std::shared_ptr<const AttentionLayout> layout;
  Matrix<T, B> cosines, sines;               // (tokens, d / 2)
  KeyValueCache<T, B>* cache = nullptr;      // inference only
  Tensor<std::int32_t, Shape<dyn>, B> rows;  // with a cache: the row of each token in it
};

template <class Projection, class KeyProjection, class OutputProjection>
struct SelfAttention {
  Projection q_proj;        // (heads * d, hidden)
  KeyProjection k_proj;     // (kv_heads * d, hidden)
  KeyProjection v_proj;     // (kv_heads * d, hidden)
  OutputProjection o_proj;  // (hidden, heads * d)
  index_t heads = 1, kv_heads = 1;
  index_t window = 0;  // keys that a token sees; 0: all before it

  /// \param layer the number of this layer, for the cache
  template <class X, Real T, Backend B>
  auto operator()(const X& x, const Context<T, B>& context, std::size_t layer) const {
    const auto q = rope(q_proj(x), context.cosines, context.sines);
    const auto k = rope(k_proj(x), context.cosines, context.sines);
    const auto v = v_proj(x);
    if constexpr (!VariableLike<X>) {
      if (context.cache != nullptr) {
        LayerCache<T, B>& cache = context.cache->layers[layer];
        store(cache.keys, k, context.rows);
        store(cache.values, v, context.rows);
        return o_proj(attention(q, cache.keys, cache.values, context.layout, heads, kv_heads, window));
      }
    }
    return o_proj(attention(q, k, v, context.layout, heads, kv_heads, window));
  }

  static constexpr auto fields =
      std::tuple{field("q_proj", &SelfAttention::q_proj), field("k_proj", &SelfAttention::k_proj),
                 field("v_proj", &SelfAttention::v_proj), field("o_proj", &SelfAttention::o_proj)};

 private:
  static void store(auto& to, const auto& from, const auto& rows) {
    using T = typename std::remove_cvref_t<decltype(to)>::scalar;
    to.device().for_each(from.extent(0), ops::CopyRowsBody<T>{to.data(), from.data(), rows.data(), from.extent(1)},
                         from.extent(1));
  }
};

}  // namespace veneer
