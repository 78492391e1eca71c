// SPDX-License-Identifier: Apache-2.0
/// \file input_directions.hpp
/// InputDirections: the leading directions of rows in batches, by incremental principal component analysis.
///
///   X: (tokens, in), centred      [S V; X - mean; correction] = U' S' V'      V: (components, in)   S: (components)
///   ratio_k = S_k^2 / sum of squared distances from the mean, of all rows so far
/// Only V, S and a mean are kept. Ross, Lim, Lin and Yang, "Incremental Learning for Robust Visual Tracking", IJCV 77,
/// 2008, section 3.1; as in huggingface/peft, src/peft/utils/incremental_pca.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "veneer/peft/init/decomposition.hpp"

namespace veneer::detail {

class InputDirections {
 public:
  InputDirections() = default;
  explicit InputDirections(index_t components) : wanted_(components) {}

  bool fitted() const { return right_.rows > 0; }
  const HostMatrix& right() const { return right_; }
  const std::vector<double>& values() const { return values_; }
  /// Returns the cosine of the angle between each direction and its value before the last batch.
  const std::vector<double>& similarity() const { return similarity_; }

  /// Returns the fraction of the variance of all rows in direction k.
  double ratio(std::size_t k) const { return spread_ > 0.0 ? values_[k] * values_[k] / spread_ : 0.0; }

  /// \param x  at least as many rows as components; ignored otherwise
  void add(const HostMatrix& x) {
    if (x.rows < wanted_) return;
    const auto in = static_cast<std::size_t>(x.columns);
    const HostMatrix before = right_;
    std::vector<double> mean(in, 0.0);
    for (std::size_t i = 0; i < x.values.size(); ++i) mean[i % in] += x.values[i];
    for (double& value : mean) value /= static_cast<double>(x.rows);
    HostMatrix stack{0, x.columns, {}};
    for (index_t k = 0; k < right_.rows; ++k)
      append(stack, right_, k, values_[static_cast<std::size_t>(k)], std::vector<double>(in, 0.0));
    for (index_t i = 0; i < x.rows; ++i) append(stack, x, i, 1.0, mean);
    const double old = static_cast<double>(count_), fresh = static_cast<double>(x.rows);
    for (std::size_t i = in * static_cast<std::size_t>(right_.rows); i < stack.values.size(); ++i)
      spread_ += stack.values[i] * stack.values[i];
    if (count_ > 0) {  // the means of the old and the new rows differ
      const double weight = std::sqrt(old * fresh / (old + fresh));
      HostMatrix apart(1, x.columns);
      for (std::size_t j = 0; j < in; ++j) apart.values[j] = weight * (mean_[j] - mean[j]);
      for (const double value : apart.values) spread_ += value * value;
      append(stack, apart, 0, 1.0, std::vector<double>(in, 0.0));
    }
    mean_.resize(in, 0.0);
    for (std::size_t j = 0; j < in; ++j) mean_[j] = (old * mean_[j] + fresh * mean[j]) / (old + fresh);
    count_ += x.rows;
    decompose(stack);
    compare(before);
  }

 private:
  /// Appends `factor` times the difference of row i of x and `mean`.
  static void append(HostMatrix& to, const HostMatrix& x, index_t i, double factor, const std::vector<double>& mean) {
    for (std::size_t j = 0; j < mean.size(); ++j) to.values.push_back(factor * (x.row(i)[j] - mean[j]));
    ++to.rows;
  }

  /// Decomposes small matrices exactly, others by the fast method, as PEFT does: twice the columns, 4 iterations.
  void decompose(const HostMatrix& stack) {
    const Decomposer& way = needed_decomposer("eva");
    const index_t rank = std::min({wanted_, stack.rows, stack.columns}), less = std::min(stack.rows, stack.columns);
    Decomposition found =
        less <= 512 || 2 * rank >= less ? way.svd(stack, rank) : way.fast_svd(stack, 2 * rank, 4, RandomStream{42, 0});
    found.right.rows = rank;
    found.right.values.resize(static_cast<std::size_t>(rank * stack.columns));
    found.values.resize(static_cast<std::size_t>(rank));
    right_ = std::move(found.right), values_ = std::move(found.values);
  }

  void compare(const HostMatrix& before) {
    similarity_.assign(values_.size(), 0.0);
    for (std::size_t k = 0; k < values_.size() && static_cast<index_t>(k) < before.rows; ++k) {
      const auto row = static_cast<index_t>(k);
      for (index_t j = 0; j < right_.columns; ++j) similarity_[k] += right_.at(row, j) * before.at(row, j);
    }
  }

  index_t wanted_ = 0, count_ = 0;
  HostMatrix right_;
  std::vector<double> values_, similarity_, mean_;
  double spread_ = 0.0;
};

}  // namespace veneer::detail
