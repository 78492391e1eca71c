// SPDX-License-Identifier: Apache-2.0
/// \file attention.hpp
/// attention(q, k, v, layout, heads, kv_heads, window, scale): causal scaled dot products with grouped heads and an
/// optional sliding window.
///
///   q: (tokens, heads * d)   k, v: (key tokens, kv_heads * d)   y: (tokens, heads * d)
///   y_h = softmax(scale q_h k_gᵀ over the keys that a token may see) v_g,   g = h / (heads / kv_heads)
///   scale: 1 / sqrt(d), unless a model has another
/// Vaswani et al., arXiv:1706.03762, eq. 1; grouped heads: Ainslie et al., arXiv:2305.13245. The scores of a block of
/// queries exist one block at a time (Dao et al., arXiv:2205.14135): forward keeps the logarithm of each row's sum, the
/// pullback recomputes. With 16-bit storage the scores, their sums and the sums of dk and dv over blocks are in float;
/// weights and score slopes are rounded for the products that read them.
/// A layout says which rows belong together, so packed sequences, padded batches and a key cache are one op.
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
#include "veneer/core/math.hpp"
#include "veneer/ops/gemm.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

/// One sequence: rows [query, query + queries) of q look at rows [key, key + keys) of k and v. The queries are the last
/// of the keys:
/// query i stands at position keys - queries + i, sees keys up to itself, of these the first `valid` only, and with a
/// window the last `window` only. A query that may see none (padding) takes the plain mean of all keys, as a mask of
/// lowest
/// finite numbers gives.
struct Span {
  index_t query = 0, queries = 0;
  index_t key = 0, keys = 0;
  index_t valid = 0;
};

/// The sequences of a batch. Rows of q in no span are not written.
struct AttentionLayout {
  std::vector<Span> spans;

  /// Sequences of these lengths, one after the other, each seeing itself alone.
  static std::shared_ptr<const AttentionLayout> packed(const std::vector<index_t>& lengths) {
    auto layout = std::make_shared<AttentionLayout>();
    index_t row = 0;
    for (const index_t length : lengths) {
      layout->spans.push_back({row, length, row, length, length});
      row += length;
    }
    return layout;
  }
};

namespace ops {

/// Which keys a row of a block sees: [begin, end) of the block's columns; empty rows see all, evenly.
struct Visible {
  index_t first_position;  // of the block's row 0
  index_t rows;            // of the block, before heads are stacked
  index_t low;             // key of column 0
  index_t columns, valid;
  index_t window;  // the number of all keys where there is no limit

  VENEER_HD index_t end(index_t stacked_row) const {
    const index_t position = first_position + stacked_row % rows;
    return (position + 1 < valid ? position + 1 : valid) - low;
  }
  VENEER_HD index_t begin(index_t stacked_row) const {
    const index_t first = first_position + stacked_row % rows - window + 1 - low;
    return first < 0 ? 0 : first;
  }
  VENEER_HD bool blind(index_t stacked_row) const { return begin(stacked_row) >= end(stacked_row); }
  VENEER_HD bool sees(index_t stacked_row, index_t column) const {
    const index_t first = begin(stacked_row), count = blind(stacked_row) ? 0 : end(stacked_row) - first;
    return static_cast<std::uint64_t>(column - first) < static_cast<std::uint64_t>(count);  // one comparison
  }
};

/// Rows of some heads of a (tokens, heads * d) matrix, stacked head by head: row = head * rows + i.
template <Stored T>
struct StackedLoad {
  const T* x;  // at the first token and the first head
  index_t rows, width, stride;
  VENEER_HD compute_t<T> operator()(index_t row, index_t c) const {
    return x[row % rows * stride + row / rows * width + c];
  }
};

/// x[r, c] * factor[r].
template <Real T>
struct ScaledRows {
  const T* x;
  const T* factor;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c] * factor[r]; }
};

/// The inverse of StackedLoad: f(row, c) for the row of a stack, to where its token and head have their place.
template <Stored T, class F>
struct UnstackBody {
  T* y;
  F f;
  index_t rows, width, stride;
  VENEER_HD void operator()(index_t row, index_t c) const {
    y[row % rows * stride + row / rows * width + c] = static_cast<T>(f(row, c));
  }
};

/// A score, or minus infinity where it is not visible.
template <Real T>
struct VisibleLoad {
  const T* scores;
  Visible visible;
  VENEER_HD T operator()(index_t r, index_t c) const {
    const T score = scores[r * visible.columns + c];
    return visible.sees(r, c) ? score : -std::numeric_limits<T>::infinity();
  }
};

/// e^(score - top), 0 where not visible; a blind row is 1 everywhere. Here and below, a condition on the column
/// vectorises, one on the row would not.
template <Real T>
struct WeightValue {
  const T* scores;
  const T* top;
  Visible visible;
  VENEER_HD T operator()(index_t r, index_t c) const {
    const T weight = exponential(scores[r * visible.columns + c] - top[r]), other = visible.blind(r) ? T(1) : T(0);
    return visible.sees(r, c) ? weight : other;
  }
};

/// log of the sum of exponentials, to where (token, head) has its place. A blind row keeps the logarithm of its number
/// of keys.
template <Real T>
struct LogSumStoreBody {
  T* log_sums;  // at the first token and head
  const T* top;
  const T* sum;
  Visible visible;
  index_t heads;
  VENEER_HD void operator()(index_t r) const {
    const T shift = visible.blind(r) ? T(0) : top[r];
    log_sums[r % visible.rows * heads + r / visible.rows] = shift + std::log(sum[r]);
  }
};

/// The softmax of scores, from the kept logarithms. A blind row has scores of 0.
template <Real T>
struct ProbabilityValue {
  const T* scores;
  const T* log_sums;
  Visible visible;
  index_t heads;
  VENEER_HD T operator()(index_t r, index_t c) const {
    const T score = scores[r * visible.columns + c];
    const T other = visible.blind(r) ? T(0) : -std::numeric_limits<T>::infinity();
    return exponential((visible.sees(r, c) ? score : other) - log_sums[r % visible.rows * heads + r / visible.rows]);
  }
};

/// probability * (slope - delta); 0 on a blind row, whose weights do not depend on scores.
template <Real T>
struct ScoreSlopeValue {
  const T* slopes;
  const T* probabilities;
  const T* delta;
  Visible visible;
  VENEER_HD T operator()(index_t r, index_t c) const {
    const index_t i = r * visible.columns + c, end = visible.blind(r) ? 0 : visible.columns;
    const T slope = probabilities[i] * (slopes[i] - delta[r]);
    return c < end ? slope : T(0);
  }
};

/// Calls f(0) ... f(count - 1), together where the backend can.
template <Backend B, class F>
void run_tasks(const B& device, index_t count, const F& f) {
  if constexpr (requires { device.concurrently(count, f); }) {
    device.concurrently(count, f);
  } else {
    for (index_t i = 0; i < count; ++i) f(i);
  }
}

struct Attention {
  static constexpr index_t block = 64;

  std::shared_ptr<const AttentionLayout> layout;
  index_t heads = 1, kv_heads = 1;
  index_t window = 0;           // 0: no limit
  std::optional<double> scale;  // of q kᵀ; none: 1 / sqrt(d)

  double scale_of(const auto& q) const {
    return scale ? *scale : 1.0 / std::sqrt(static_cast<double>(q.extent(1) / heads));
  }

  /// One block of queries of one sequence, for one key/value head and all query heads that share it.
  template <TensorLike X>
  struct Block {
    using T = typename X::scalar;
    using C = compute_t<T>;
    using B = typename X::backend;
    using Narrow = Matrix<T, B>;
    using Plain = Matrix<C, B>;
    const Attention& op;
    const Span& span;
    index_t kv_head, first, width, group, rows, stacked;
    Visible visible;

    Block(const Attention& attention, const Span& s, index_t head, index_t i, index_t d)
        : op(attention),
          span(s),
          kv_head(head),
          first(i),
          width(d),
          group(attention.heads / attention.kv_heads),
          rows(std::min(block, s.queries - i)),
          stacked(group * rows) {
      const index_t position = s.keys - s.queries + i, last = position + rows;  // of the first row, one past the last
      const index_t high = std::min(last, s.valid);
      const index_t low = op.window == 0 ? 0 : std::max<index_t>(0, position - op.window + 1);
      const bool blind = s.valid == 0 || (op.window != 0 && last - op.window >= s.valid);
      visible = {
          position, rows, blind ? 0 : low, blind ? s.keys : high - low, s.valid, op.window == 0 ? s.keys : op.window};
    }

    index_t query_offset() const { return ((span.query + first) * op.heads + kv_head * group) * width; }
    index_t key_offset() const { return ((span.key + visible.low) * op.kv_heads + kv_head) * width; }
    index_t row_offset() const { return (span.query + first) * op.heads + kv_head * group; }

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
    /// a (stacked, width) times the keys' or values' rows: (stacked, columns).
    Plain against_rows(const Narrow& a, const X& x, double alpha) const {
      Plain out(Shape<dyn, dyn>(stacked, visible.columns), a.device());
      Gemm<T, C> product{
          .transpose_b = true, .m = stacked, .n = visible.columns, .k = width, .alpha = static_cast<C>(alpha)};
      product.a = a.data(), product.lda = width;
      product.b = x.data() + key_offset(), product.ldb = op.kv_heads * width;
      product.c = out.data(), product.ldc = visible.columns;
      gemm(a.device(), product);
      return out;
    }
    /// p (stacked, columns) times the keys' or values' features: (stacked, width).
    Plain mix(const Narrow& p, const X& x, double alpha) const {
      Plain out(Shape<dyn, dyn>(stacked, width), p.device());
      Gemm<T, C> product{.m = stacked, .n = width, .k = visible.columns, .alpha = static_cast<C>(alpha)};
      product.a = p.data(), product.lda = visible.columns;
      product.b = x.data() + key_offset(), product.ldb = op.kv_heads * width;
      product.c = out.data(), product.ldc = width;
      gemm(p.device(), product);
      return out;
    }
    /// Adds pᵀ a to the gradient rows of keys or values.
    template <TensorLike D>
    void gather_into(D& dx, const Narrow& p, const Narrow& a, double alpha) const {
      Gemm<T, C> product{
          .transpose_a = true, .m = visible.columns, .n = width, .k = stacked, .alpha = static_cast<C>(alpha)};
      product.a = p.data(), product.lda = visible.columns;
      product.b = a.data(), product.ldb = width;
      product.beta = C(1);
      product.c = dx.data() + key_offset(), product.ldc = op.kv_heads * width;
      gemm(dx.device(), product);
    }
  };

  /// Calls f(block) for every block, sequences and key/value heads side by side.
  template <TensorLike X, class F>
  void for_blocks(const X& q, const F& f) const {
    const index_t spans = static_cast<index_t>(layout->spans.size()), width = q.extent(1) / heads;
    run_tasks(q.device(), spans * kv_heads, [&](index_t task) {
      const Span& span = layout->spans[static_cast<std::size_t>(task / kv_heads)];
      for (index_t i = 0; i < span.queries; i += block) f(Block<X>(*this, span, task % kv_heads, i, width));
    });
  }

  template <TensorLike X>
  auto forward(const X& q, const X& k, const X& v) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    X y(q.shape(), q.device());
    Matrix<C, typename X::backend> log_sums(Shape<dyn, dyn>(q.extent(0), heads), q.device());
    const double root = scale_of(q);
    for_blocks(q, [&](const Block<X>& part) {
      const auto& device = q.device();
      auto scores = part.against_rows(part.stack(q), k, root);
      Vector<C, typename X::backend> top(Shape<dyn>(part.stacked), device), sum(Shape<dyn>(part.stacked), device);
      const index_t columns = part.visible.columns;
      device.reduce_rows(Maximum<C>{}, part.stacked, columns, VisibleLoad<C>{scores.data(), part.visible}, top.data());
      map_rows(scores, WeightValue<C>{scores.data(), top.data(), part.visible}, 4);
      device.reduce_rows(Sum<C>{}, part.stacked, columns, RowsLoad<C>{scores.data(), columns}, sum.data());
      device.for_each(part.stacked, LogSumStoreBody<C>{log_sums.data() + part.row_offset(), top.data(), sum.data(),
                                                       part.visible, heads});
      map(sum, UnaryValue<Reciprocal<C>, C>{{}, sum.data()});
      const auto mixed = part.mix(convert<T>(scores), v, 1.0);
      part.unstack(y, ScaledRows<C>{mixed.data(), sum.data(), part.width});
    });
    return Forward{y, std::tuple{y, log_sums}};
  }

  template <TensorLike X>
  auto pullbacks(const Wanted<3>&, const auto& dy, const auto& kept, const X& q, const X& k, const X& v) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    const X& y = std::get<0>(kept);
    const auto& log_sums = std::get<1>(kept);
    X dq(q.shape(), q.device());
    auto dk = zeros<C>(k.shape(), k.device()), dv = zeros<C>(v.shape(), v.device());  // sums over blocks and heads
    const X dz(dy);
    const double root = scale_of(q);
    for_blocks(q, [&](const Block<X>& part) {
      const auto& device = q.device();
      const auto queries = part.stack(q), slopes = part.stack(dz), outputs = part.stack(y);
      auto weights = part.against_rows(queries, k, root);
      map_rows(weights, ProbabilityValue<C>{weights.data(), log_sums.data() + part.row_offset(), part.visible, heads},
               4);
      Vector<C, typename X::backend> delta(Shape<dyn>(part.stacked), device);
      device.reduce_rows(Sum<C>{}, part.stacked, part.width, ProductLoad<T>{slopes.data(), outputs.data(), part.width},
                         delta.data());
      part.gather_into(dv, convert<T>(weights), slopes, 1.0);
      auto score_slopes = part.against_rows(slopes, v, 1.0);
      map_rows(score_slopes, ScoreSlopeValue<C>{score_slopes.data(), weights.data(), delta.data(), part.visible}, 2);
      const auto narrow = convert<T>(score_slopes);
      part.gather_into(dk, narrow, queries, root);
      const auto mixed = part.mix(narrow, k, root);
      part.unstack(dq, RowsLoad<C>{mixed.data(), part.width});
    });
    return std::tuple{dq, dk, dv};
  }
};

}  // namespace ops

/// \param layout   the sequences; its spans must lie inside q, k and v
/// \param heads    query heads; a multiple of kv_heads
/// \param window   keys that a token sees, itself included; 0 for all before it
/// \param scale    of the scores; none: 1 / sqrt(features of a head)
/// \throws ShapeError when extents, heads or spans do not fit
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
  for (const Span& span : layout->spans) {
    if (span.query < 0 || span.queries < 0 || span.query + span.queries > q.extent(0) || span.key < 0 ||
        span.keys < span.queries || span.key + span.keys > k.extent(0) || span.valid < 0 || span.valid > span.keys) {
      throw ShapeError("veneer::attention(q, k, v): a span of the layout lies outside q or k");
    }
  }
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
