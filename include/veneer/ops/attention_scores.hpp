// SPDX-License-Identifier: Apache-2.0
/// \file attention_scores.hpp
/// The layout of sequences, the causal mask, and the elementwise steps of attention on a block of scores.
///
///   weight = e^(scale (score - top)),   top: the largest score of the row
///   probability = e^(scale score - log_sum),   dscore = probability (dprobability - delta)
/// A block has one row per query and head that share keys, and one column per key: (heads * rows, columns). Rows are
/// `stride` values apart.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "veneer/core/math.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

/// One sequence: rows [query, query + queries) of q attend to rows [key, key + keys) of k and v. The queries are the
/// last positions: query i has position keys - queries + i and sees keys up to its own, of these only the first
/// `valid`, and with a window only the last `window`. A query that sees no key (padding) takes the mean over all keys,
/// as with a mask of the lowest finite number.
struct SequenceRange {
  index_t query = 0, queries = 0;
  index_t key = 0, keys = 0;
  index_t valid = 0;
};

/// The sequences of a batch. Rows of q outside all spans are not written.
struct AttentionLayout {
  std::vector<SequenceRange> spans;

  /// Returns the layout of consecutive sequences of these lengths, each of which attends only to itself.
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

/// The mask of a block: a row sees columns [begin, end). A row where all are masked weighs all keys equally.
struct Visible {
  index_t first_position;  // of the block's row 0
  index_t rows;            // of the block, before heads are stacked
  index_t low;             // key of column 0
  index_t columns, valid;
  index_t window;  // the number of all keys if there is no limit

  VENEER_HD index_t end(index_t stacked_row) const {
    const index_t position = first_position + stacked_row % rows;
    return (position + 1 < valid ? position + 1 : valid) - low;
  }
  VENEER_HD index_t begin(index_t stacked_row) const {
    const index_t first = first_position + stacked_row % rows - window + 1 - low;
    return first < 0 ? 0 : first;
  }
  VENEER_HD bool all_masked(index_t stacked_row) const { return begin(stacked_row) >= end(stacked_row); }
  VENEER_HD bool sees(index_t stacked_row, index_t column) const {
    const index_t first = begin(stacked_row), count = all_masked(stacked_row) ? 0 : end(stacked_row) - first;
    return static_cast<std::uint64_t>(column - first) < static_cast<std::uint64_t>(count);  // one comparison
  }
};

/// Reads some heads of a (tokens, heads * d) matrix, stacked head by head: row = head * rows + i.
template <Stored T>
struct StackedLoad {
  const T* x;  // at the first token and the first head
  index_t rows, width, stride;
  VENEER_HD compute_t<T> operator()(index_t row, index_t c) const {
    return x[row % rows * stride + row / rows * width + c];
  }
};

/// The inverse of StackedLoad: writes f(row, c) of a stacked row to its token and head.
template <Stored T, class F>
struct UnstackBody {
  T* y;
  F f;
  index_t rows, width, stride;
  VENEER_HD void operator()(index_t row, index_t c) const {
    y[row % rows * stride + row / rows * width + c] = static_cast<T>(f(row, c));
  }
};

/// Writes minus infinity over masked scores, and 0 over the scores of a row where all are masked. Column c of the loop
/// is column first + c of the block.
template <Real T>
struct MaskScoresBody {
  T* scores;
  Visible visible;
  index_t stride, first;
  VENEER_HD void operator()(index_t r, index_t c) const {
    T& score = scores[r * stride + first + c];
    const T masked = visible.all_masked(r) ? T(0) : -std::numeric_limits<T>::infinity();
    score = visible.sees(r, first + c) ? score : masked;
  }
};

/// e^(scale (score - top)).
template <Real T>
struct WeightValue {
  const T* scores;
  const T* top;
  T scale;
  index_t stride;
  VENEER_HD T operator()(index_t r, index_t c) const { return exponential(scale * (scores[r * stride + c] - top[r])); }
};

/// Writes the log-sum-exp of each row to its token and head.
template <Real T>
struct LogSumStoreBody {
  T* log_sums;  // at the first token and head
  const T* top;
  const T* sum;
  T scale;
  index_t rows, heads;
  VENEER_HD void operator()(index_t r) const {
    log_sums[r % rows * heads + r / rows] = scale * top[r] + std::log(sum[r]);
  }
};

/// x[r, c] / divisor[r].
template <Real T>
struct DividedRows {
  const T* x;
  const T* divisor;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c] / divisor[r]; }
};

/// The softmax of scores, from the log-sum-exp that forward kept.
template <Real T>
struct ProbabilityValue {
  const T* scores;
  const T* log_sums;
  T scale;
  index_t stride, rows, heads;
  VENEER_HD T operator()(index_t r, index_t c) const {
    return exponential(scale * scores[r * stride + c] - log_sums[r % rows * heads + r / rows]);
  }
};

/// probability * (slope - delta).
template <Stored T>
struct ScoreSlopeValue {
  const compute_t<T>* slopes;
  const T* probabilities;
  const compute_t<T>* delta;
  index_t stride;
  VENEER_HD compute_t<T> operator()(index_t r, index_t c) const {
    return probabilities[r * stride + c] * (slopes[r * stride + c] - delta[r]);
  }
};

/// Writes zeros to rows where all keys are masked: their probabilities do not depend on scores.
template <Stored T>
struct MaskedSlopeBody {
  T* slopes;
  Visible visible;
  index_t stride;
  VENEER_HD void operator()(index_t r, index_t c) const {
    T& slope = slopes[r * stride + c];
    slope = visible.all_masked(r) ? T(0) : slope;
  }
};

/// x[r, c] * scale.
template <Real T>
struct TimesRows {
  const T* x;
  T scale;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c] * scale; }
};

/// x[c, r] * scale.
template <Real T>
struct TurnedValue {
  const T* x;
  T scale;
  index_t stride;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[c * stride + r] * scale; }
};

}  // namespace ops
}  // namespace veneer
