// SPDX-License-Identifier: Apache-2.0
/// \file attention.hpp
/// SelfAttention: projections, rotary embedding, grouped causal attention, output projection.
///
///   q = rope(q_norm(q_proj(x)))   k = rope(k_norm(k_proj(x)))   v = v_proj(x)   y = o_proj(attention(q, k, v))
///   x, y: (tokens, hidden)   q: (tokens, heads * d)   k, v: (tokens, kv_heads * d)
/// If a family stores the projections as one, q, k and v are consecutive columns of qkv_proj(x). The weight of a norm
/// is (d), shared by all heads, or as wide as its projection. Norms and rotation are optional. Per-batch data (sequence
/// layout, RoPE angles, KV cache) is a ForwardContext, built once and shared by all layers.
#pragma once

#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/rms_norm.hpp"
#include "veneer/ops/attention.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/put.hpp"
#include "veneer/ops/rope.hpp"

namespace veneer {

namespace ops {

/// A kernel that computes cos and sin of position * frequency, the product rounded to T as in the reference models,
/// times a factor.
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

}  // namespace ops

/// The keys and values of one layer for `slots` sequences of at most `capacity` tokens.
///   each: (slots * capacity, kv_heads * d)
template <Stored U, Backend B>
struct CacheRows {
  Matrix<U, B> keys, values;
};

/// The keys and values of one layer in the storage type of the activations: only one `rows<U>()` has values.
template <Real T, Backend B>
class LayerCache {
 public:
  template <Stored U>
  void reserve(Shape<dyn, dyn> shape, const B& device) {
    rows<U>() = {Matrix<U, B>(shape, device), Matrix<U, B>(shape, device)};
  }
  template <Stored U>
  CacheRows<U, B>& rows() {
    if constexpr (std::same_as<U, T>) {
      return wide_;
    } else {
      static_assert(std::same_as<U, bfloat16>, "veneer::LayerCache: keys are stored in T or in bfloat16");
      return narrow_;
    }
  }

 private:
  CacheRows<T, B> wide_;
  CacheRows<bfloat16, B> narrow_;
};

/// The keys and values of all layers, and the number of tokens of each sequence so far.
template <Real T, Backend B>
struct KeyValueCache {
  std::vector<LayerCache<T, B>> layers;
  std::vector<index_t> lengths;
  index_t capacity = 0;
};

/// The rotation angles of each token of a batch for one set of frequencies.    both: (tokens, d / 2)
template <Real T, Backend B>
struct RotaryAngles {
  Matrix<T, B> cosines, sines;
};

/// Per-batch data shared by all layers.
template <Real T, Backend B>
struct ForwardContext {
  std::shared_ptr<const AttentionLayout> layout;
  std::vector<RotaryAngles<T, B>> angles;    // one entry per set of frequencies
  KeyValueCache<T, B>* cache = nullptr;      // inference only
  Tensor<std::int32_t, Shape<dyn>, B> rows;  // with a cache: the row of each token in the cache
};

template <class Projection, class KeyProjection, class OutputProjection, class FusedProjection, class Norm>
struct SelfAttention {
  Projection q_proj;                   // (heads * d, hidden)
  KeyProjection k_proj;                // (kv_heads * d, hidden)
  KeyProjection v_proj;                // (kv_heads * d, hidden)
  OutputProjection o_proj;             // (hidden, heads * d)
  FusedProjection qkv_proj{{}, true};  // ((heads + 2 * kv_heads) * d, hidden)
  Norm q_norm{.absent = true}, k_norm{.absent = true};
  index_t heads = 1, kv_heads = 1;
  index_t window = 0;             // visible keys per token; 0: all previous ones
  int angles = 0;                 // index into the context's angles; below 0: no rotation
  std::optional<double> scale{};  // of the scores; none: 1 / sqrt(d)

  /// \param layer  index of this layer, for the cache
  template <class X, Real T, Backend B>
  auto operator()(const X& x, const ForwardContext<T, B>& context, std::size_t layer) const {
    const auto [projected_q, projected_k, v] = projected(x);
    const auto q = turned(q_norm(projected_q), context, heads);
    const auto k = turned(k_norm(projected_k), context, kv_heads);
    if constexpr (!VariableLike<X>) {
      if (context.cache != nullptr) {
        auto& cache = context.cache->layers[layer].template rows<typename X::scalar>();
        store(cache.keys, k, context.rows);
        store(cache.values, v, context.rows);
        return o_proj(attention(q, cache.keys, cache.values, context.layout, heads, kv_heads, window, scale));
      }
    }
    return o_proj(attention(q, k, v, context.layout, heads, kv_heads, window, scale));
  }

  static constexpr auto fields =
      std::tuple{field("q_proj", &SelfAttention::q_proj), field("k_proj", &SelfAttention::k_proj),
                 field("v_proj", &SelfAttention::v_proj), field("qkv_proj", &SelfAttention::qkv_proj),
                 field("o_proj", &SelfAttention::o_proj), field("q_norm", &SelfAttention::q_norm),
                 field("k_norm", &SelfAttention::k_norm)};

 private:
  auto projected(const auto& x) const {
    using Query = decltype(q_proj(x));
    using Key = decltype(k_proj(x));
    if (qkv_proj.absent) return std::tuple<Query, Key, Key>(q_proj(x), k_proj(x), v_proj(x));
    const auto all = qkv_proj(x);
    const index_t width = all.extent(1) / (heads + 2 * kv_heads), query = heads * width, key = query + kv_heads * width;
    return std::tuple<Query, Key, Key>(column_range(all, 0, query), column_range(all, query, key),
                                       column_range(all, key, all.extent(1)));
  }

  template <class X, Real T, Backend B>
  X turned(const X& x, const ForwardContext<T, B>& context, index_t count) const {
    if (angles < 0) return x;
    const RotaryAngles<T, B>& turn = context.angles[static_cast<std::size_t>(angles)];
    return rope(x, turn.cosines, turn.sines, x.extent(1) / count);
  }

  template <TensorLike X>
  static void store(auto& cache, const X& x, const auto& rows) {
    ops::store_rows(cache, ops::RowsLoad<typename X::scalar>{x.data(), x.extent(1)}, rows);
  }
};

}  // namespace veneer
