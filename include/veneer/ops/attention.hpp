// SPDX-License-Identifier: Apache-2.0
/// \file attention.hpp
/// attention(q, k, v, layout, heads, kv_heads, window, scale): causal scaled dot-product attention with grouped heads
/// and an optional sliding window.
///
///   q: (tokens, heads * d)   k, v: (key tokens, kv_heads * d)   y: (tokens, heads * d)
///   y_h = softmax(scale q_h k_gᵀ over the visible keys) v_g,   g = h / (heads / kv_heads)
///   scale: 1 / sqrt(d) by default
/// Vaswani et al., arXiv:1706.03762, eq. 1; grouped heads: Ainslie et al., arXiv:2305.13245. Scores are computed for
/// one block of queries at a time (Dao et al., arXiv:2205.14135): forward keeps the log-sum-exp of each row, and the
/// pullback recomputes the scores. With 16-bit storage the scores, their sums, and dk and dv are summed in float;
/// weights and gradients of scores are rounded to the storage type for the matmuls that read them.
/// The layout lists the sequences, so that packed sequences, padded batches and a key cache are one op.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "veneer/autograd/apply.hpp"
#include "veneer/ops/attention_scores.hpp"
#include "veneer/ops/gemm.hpp"

namespace veneer {

namespace ops {

/// Calls f(0) ... f(count - 1), in parallel if the backend supports it.
template <Backend B, class F>
void run_tasks(const B& device, index_t count, const F& f) {
  if constexpr (requires { device.concurrently(count, f); }) {
    device.concurrently(count, f);
  } else {
    for (index_t i = 0; i < count; ++i) f(i);
  }
}

struct Attention {
  std::shared_ptr<const AttentionLayout> layout;
  index_t heads = 1, kv_heads = 1;
  index_t window = 0;           // 0: no limit
  std::optional<double> scale;  // of q kᵀ, positive; nullopt: 1 / sqrt(d)

  double scale_of(const auto& q) const {
    return scale ? *scale : 1.0 / std::sqrt(static_cast<double>(q.extent(1) / heads));
  }
  /// Queries per block. With the heads that share keys, the scores of a block fit into the second-level cache.
  index_t block() const { return std::clamp<index_t>(192 / (heads / kv_heads) / 32 * 32, 32, 128); }
  index_t blocks(const SequenceRange& span) const { return ceil_div(span.queries, block()); }

  /// One block of queries of one sequence, for one key/value head and all query heads that share it.
  template <TensorLike X>
  struct Block {
    using T = typename X::scalar;
    using C = compute_t<T>;
    using B = typename X::backend;
    using Narrow = Matrix<T, B>;
    using Plain = Matrix<C, B>;
    const Attention& op;
    const SequenceRange& span;
    index_t kv_head, first, width, group, rows, stacked;
    Visible visible;
    index_t stride;  // between rows of scores: an odd number of cache lines

    /// \param number  of the block, counted from the last one, which sees the most keys
    Block(const Attention& attention, const SequenceRange& s, index_t head, index_t number, index_t d)
        : op(attention),
          span(s),
          kv_head(head),
          first((attention.blocks(s) - 1 - number) * attention.block()),
          width(d),
          group(attention.heads / attention.kv_heads),
          rows(std::min(attention.block(), s.queries - first)),
          stacked(group * rows) {
      const index_t position = s.keys - s.queries + first;  // of row 0
      const index_t last = position + rows, high = std::min(last, s.valid);
      const index_t low = op.window == 0 ? 0 : std::max<index_t>(0, position - op.window + 1);
      const bool masked = s.valid == 0 || (op.window != 0 && last - op.window >= s.valid);
      visible = {
          position, rows, masked ? 0 : low, masked ? s.keys : high - low, s.valid, op.window == 0 ? s.keys : op.window};
      stride = ((visible.columns + 15) / 16 | 1) * 16;
    }

    bool some_masked() const { return visible.all_masked(rows - 1); }
    index_t query_offset() const { return ((span.query + first) * op.heads + kv_head * group) * width; }
    index_t key_offset() const { return ((span.key + visible.low) * op.kv_heads + kv_head) * width; }
    index_t row_offset() const { return (span.query + first) * op.heads + kv_head * group; }

    template <Stored U>
    Matrix<U, B> of_scores(const B& device) const {
      return Matrix<U, B>(Shape<dyn, dyn>(stacked, stride), device);
    }
    Narrow stack(const X& x) const {
      Narrow out(Shape<dyn, dyn>(stacked, width), x.device());
      map_rows(out, StackedLoad<T>{x.data() + query_offset(), rows, width, op.heads * width});
      return out;
    }
    template <class F>
    void unstack(X& y, const F& f) const {
      y.device().for_each(stacked, width,
                          UnstackBody<T, F>{y.data() + query_offset(), f, rows, width, op.heads * width});
    }
    /// Writes y[r, c] = f(r, c) for every score of the block.
    template <class Y, class F>
    void map_scores(Y& y, const F& f, index_t cost) const {
      using Body = MapRowsBody<typename Y::scalar, F>;
      y.device().for_each(stacked, visible.columns, Body{y.data(), f, stride}, cost);
    }
    /// Returns a rowsᵀ, with rows of the keys or values.    a: (stacked, width)   result: (stacked, columns)
    Plain against_rows(const Narrow& a, const X& x) const {
      auto out = of_scores<C>(a.device());
      Gemm<T, C> product{.transpose_b = true, .m = stacked, .n = visible.columns, .k = width};
      product.a = a.data(), product.lda = width;
      product.b = x.data() + key_offset(), product.ldb = op.kv_heads * width;
      product.c = out.data(), product.ldc = stride;
      gemm(a.device(), product);
      return out;
    }
    /// Returns q kᵀ with the mask applied. Only the first and the last columns have masked scores.
    Plain scores(const Narrow& queries, const X& k) const {
      auto out = against_rows(queries, k);
      const auto mask = [&](index_t begin, index_t end) {
        out.device().for_each(stacked, end - begin, MaskScoresBody<C>{out.data(), visible, stride, begin});
      };
      if (some_masked()) {
        mask(0, visible.columns);
      } else {
        mask(0, visible.begin(rows - 1));
        mask(visible.end(0), visible.columns);
      }
      return out;
    }
    /// Returns p rows, with rows of the keys or values.    p: (stacked, columns)   result: (stacked, width)
    Plain mix(const Narrow& p, const X& x) const {
      Plain out(Shape<dyn, dyn>(stacked, width), p.device());
      Gemm<T, C> product{.m = stacked, .n = width, .k = visible.columns};
      product.a = p.data(), product.lda = stride;
      product.b = x.data() + key_offset(), product.ldb = op.kv_heads * width;
      product.c = out.data(), product.ldc = width;
      gemm(p.device(), product);
      return out;
    }
    /// Adds aᵀ p to the transposed gradient of keys or values.    sums: (parts * kv_heads * width, tokens)
    void gather_into(Plain& sums, index_t row, const Narrow& a, const Narrow& p) const {
      Gemm<T, C> product{.transpose_a = true, .m = width, .n = visible.columns, .k = stacked};
      product.a = a.data(), product.lda = width;
      product.b = p.data(), product.ldb = stride;
      product.beta = C(1);
      product.c = sums.data() + (row + kv_head * width) * sums.extent(1) + span.key + visible.low;
      product.ldc = sums.extent(1);
      gemm(p.device(), product);
    }
  };

  /// Calls f(block, part) for every block, in parallel except within one sequence, key/value head and part.
  template <TensorLike X, class F>
  void for_blocks(const X& q, index_t parts, const F& f) const {
    const index_t spans = static_cast<index_t>(layout->spans.size()), width = q.extent(1) / heads;
    run_tasks(q.device(), spans * kv_heads * parts, [&](index_t task) {
      const SequenceRange& span = layout->spans[static_cast<std::size_t>(task / parts / kv_heads)];
      for (index_t i = task % parts; i < blocks(span); i += parts) {
        f(Block<X>(*this, span, task / parts % kv_heads, i, width), task % parts);
      }
    });
  }
  /// Returns the number of parts of the blocks of a sequence and head: enough tasks to keep threads busy.
  index_t parts() const {
    const index_t tasks = static_cast<index_t>(layout->spans.size()) * kv_heads;
    return std::min(most_blocks(), std::max<index_t>(1, 16 / std::max<index_t>(1, tasks)));
  }
  index_t most_blocks() const {
    index_t most = 1;
    for (const SequenceRange& span : layout->spans) most = std::max(most, blocks(span));
    return most;
  }

  template <TensorLike X>
  auto forward(const X& q, const X& k, const X& v) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    X y(q.shape(), q.device());
    Matrix<C, typename X::backend> log_sums(Shape<dyn, dyn>(q.extent(0), heads), q.device());
    const C root = static_cast<C>(scale_of(q));
    for_blocks(q, most_blocks(), [&](const Block<X>& part, index_t) {
      const auto& device = q.device();
      Vector<C, typename X::backend> top(Shape<dyn>(part.stacked), device), sum(Shape<dyn>(part.stacked), device);
      const index_t columns = part.visible.columns, stride = part.stride;
      const auto scores = part.scores(part.stack(q), k);
      device.reduce_rows(Maximum<C>{}, part.stacked, columns, RowsLoad<C>{scores.data(), stride}, top.data());
      auto weights = part.template of_scores<T>(device);
      part.map_scores(weights, WeightValue<C>{scores.data(), top.data(), root, stride}, 4);
      device.reduce_rows(Sum<C>{}, part.stacked, columns, RowsLoad<T>{weights.data(), stride}, sum.data());
      device.for_each(part.stacked, LogSumStoreBody<C>{log_sums.data() + part.row_offset(), top.data(), sum.data(),
                                                       root, part.rows, heads});
      const auto mixed = part.mix(weights, v);
      part.unstack(y, DividedRows<C>{mixed.data(), sum.data(), part.width});
    });
    return Forward{y, std::tuple{y, log_sums}};
  }

  template <TensorLike X>
  auto pullbacks(const RequiresGrad<3>&, const auto& dy, const auto& kept, const X& q, const X& k, const X& v) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    const X& y = std::get<0>(kept);
    const auto& log_sums = std::get<1>(kept);
    X dq(q.shape(), q.device());
    const X dz(dy);
    const C root = static_cast<C>(scale_of(q));
    GradientParts<C, typename X::backend> dk(*this, k), dv(*this, v);
    for_blocks(q, dk.parts, [&](const Block<X>& part, index_t number) {
      const auto& device = q.device();
      const index_t stride = part.stride;
      const auto queries = part.stack(q), slopes = part.stack(dz), outputs = part.stack(y);
      auto probabilities = part.template of_scores<T>(device), score_slopes = part.template of_scores<T>(device);
      auto scores = part.scores(queries, k);
      part.map_scores(
          probabilities,
          ProbabilityValue<C>{scores.data(), log_sums.data() + part.row_offset(), root, stride, part.rows, heads}, 4);
      part.gather_into(dv.sums, number * dv.rows, slopes, probabilities);
      Vector<C, typename X::backend> delta(Shape<dyn>(part.stacked), device);
      device.reduce_rows(Sum<C>{}, part.stacked, part.width, ProductLoad<T>{slopes.data(), outputs.data(), part.width},
                         delta.data());
      scores = part.against_rows(slopes, v);
      part.map_scores(score_slopes, ScoreSlopeValue<T>{scores.data(), probabilities.data(), delta.data(), stride}, 2);
      if (part.some_masked()) {
        device.for_each(part.stacked, part.visible.columns,
                        MaskedSlopeBody<T>{score_slopes.data(), part.visible, stride});
      }
      part.gather_into(dk.sums, number * dk.rows, queries, score_slopes);
      const auto mixed = part.mix(score_slopes, k);
      part.unstack(dq, TimesRows<C>{mixed.data(), root, part.width});
    });
    return std::tuple{dq, dk.total(root), dv.total(C(1))};
  }

  /// The transposed gradient of keys or values, as a sum of parts that are computed in parallel.
  /// The number of parts, and so the order of the sums, does not depend on the number of threads.
  template <Real C, Backend B>
  struct GradientParts {
    index_t parts, rows, tokens;
    Matrix<C, B> sums;

    GradientParts(const Attention& op, const auto& x)
        : parts(op.parts()),
          rows(x.extent(1)),
          tokens(x.extent(0)),
          sums(zeros<C>(Shape<dyn, dyn>(parts * rows, ((tokens + 15) / 16 | 1) * 16), x.device())) {}

    /// Returns factor times the sum of the parts.    result: (tokens, kv_heads * d)
    Matrix<C, B> total(C factor) {
      const index_t stride = sums.extent(1), count = rows * stride;
      for (index_t i = 1; i < parts; ++i) {
        sums.device().for_each(count, AccumulateBody<C>{sums.data(), sums.data() + i * count});
      }
      Matrix<C, B> out(Shape<dyn, dyn>(tokens, rows), sums.device());
      map_rows(out, TurnedValue<C>{sums.data(), factor, stride});
      return out;
    }
  };
};

}  // namespace ops

/// \param layout   the sequences; its spans must be within q, k and v
/// \param heads    query heads; a multiple of kv_heads
/// \param window   visible keys per token, including itself; 0 for all previous ones
/// \param scale    of the scores, positive; none: 1 / sqrt(features of a head)
/// \throws ShapeError when extents, heads or spans do not fit, ArgumentError when the scale is not positive
template <ValueLike Q, ValueLike K, ValueLike V>
auto attention(const Q& q, const K& k, const V& v, std::shared_ptr<const AttentionLayout> layout, index_t heads,
               index_t kv_heads, index_t window = 0, std::optional<double> scale = {}) {
  static_assert(Q::shape_type::rank == 2 && K::shape_type::rank == 2 && V::shape_type::rank == 2,
                "veneer::attention(q, k, v): q, k and v must be matrices (tokens, heads * d)");
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || q.extent(1) % heads != 0 ||
      k.extent(1) != q.extent(1) / heads * kv_heads || !(k.shape() == v.shape()) || window < 0) {
    throw ShapeError(
        "veneer::attention(q, k, v): heads must be a multiple of kv_heads, and all heads of one width; q is " +
        to_string(q.shape()) + " for " + std::to_string(heads) + " heads, k " + to_string(k.shape()) + " and v " +
        to_string(v.shape()) + " for " + std::to_string(kv_heads));
  }
  for (const SequenceRange& span : layout->spans) {
    if (span.query < 0 || span.queries < 0 || span.query + span.queries > q.extent(0) || span.key < 0 ||
        span.keys < span.queries || span.key + span.keys > k.extent(0) || span.valid < 0 || span.valid > span.keys) {
      throw ShapeError("veneer::attention(q, k, v): a span of the layout is outside q or k");
    }
  }
  expects(!scale || *scale > 0.0, "veneer::attention(q, k, v): the scale of the scores must be positive");
  using B = typename std::remove_cvref_t<decltype(value_of(q))>::backend;
  using T = typename std::remove_cvref_t<decltype(value_of(q))>::scalar;
  const auto plain = [](const auto& x) {  // one instantiation for all extents
    if constexpr (VariableLike<decltype(x)>) {
      return Variable<T, Shape<dyn, dyn>, B>(x);
    } else {
      return Matrix<T, B>(value_of(x));
    }
  };
  using S = typename std::remove_cvref_t<decltype(value_of(q))>::shape_type;
  const auto y = apply(ops::Attention{std::move(layout), heads, kv_heads, window, scale}, plain(q), plain(k), plain(v));
  if constexpr (VariableLike<decltype(y)>) {
    return Variable<T, S, B>(y);
  } else {
    return Tensor<T, S, B>(y);
  }
}

}  // namespace veneer
