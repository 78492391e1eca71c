// SPDX-License-Identifier: Apache-2.0
/// \file cross_entropy.hpp
/// cross_entropy(logits, labels): how surprising the labels are under softmax(logits), in nats.
///
///   logits: (rows, classes)   labels: (rows), each in [0, classes) or ignored_label   result: one value
///   loss = scale * sum over counted rows of (log sum over c of e^logits[r, c] - logits[r, labels[r]])
///   dlogits[r, c] = scale * (softmax(logits)[r, c] - [c == labels[r]]) on counted rows, 0 on ignored ones
/// Log-sum-exp in at least float, the sum over rows in double. The mean over no counted rows is 0, with gradient 0 (a
/// framework
/// that divides 0 by 0 gives NaN there).
#pragma once

#include <cmath>
#include <string>

#include "veneer/core/label.hpp"
#include "veneer/ops/softmax.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct LogSumBody {
  T* sum;  // becomes log sum exp
  const T* maximum;
  VENEER_HD void operator()(index_t r) const { sum[r] = maximum[r] + std::log(sum[r]); }
};

template <Real T>
struct RowLossLoad {
  const T* logits;
  const T* log_sum;
  const std::int32_t* labels;
  index_t columns;
  VENEER_HD double operator()(index_t, index_t r) const {
    const std::int32_t label = labels[r];
    return label == ignored_label ? 0.0 : static_cast<double>(log_sum[r] - logits[r * columns + label]);
  }
};

template <Real T>
struct CrossEntropyPullbackBody {
  T* dx;
  const T* logits;
  const T* log_sum;
  const std::int32_t* labels;
  const T* dy;
  T scale;
  index_t columns;
  VENEER_HD void operator()(index_t r) const {
    const std::int32_t label = labels[r];
    const T factor = label == ignored_label ? T(0) : dy[0] * scale;
    for (index_t c = 0; c < columns; ++c) {
      dx[r * columns + c] = label == ignored_label ? T(0) : factor * exponential(logits[r * columns + c] - log_sum[r]);
    }
    if (label != ignored_label) dx[r * columns + label] -= factor;
  }
};

template <Real T>
struct LossBody {
  T* loss;
  const double* sum;
  double scale;
  VENEER_HD void operator()(index_t) const { loss[0] = static_cast<T>(sum[0] * scale); }
};

struct CrossEntropy {
  double scale = 1.0;

  template <TensorLike X>
  auto forward(const X& logits, const auto& labels) const {
    using T = typename X::scalar;
    using B = typename X::backend;
    const index_t rows = logits.extent(0), columns = logits.extent(1);
    auto [maximum, log_sum] = row_statistics(logits);
    logits.device().for_each(rows, LogSumBody<T>{log_sum.data(), maximum.data()}, 8);
    Tensor<double, Shape<1>, B> sum(Shape<1>{}, logits.device());
    logits.device().reduce_rows(Sum<double>{}, 1, rows,
                                RowLossLoad<T>{logits.data(), log_sum.data(), labels.data(), columns}, sum.data());
    Tensor<T, Shape<1>, B> loss(Shape<1>{}, logits.device());
    logits.device().for_each(1, LossBody<T>{loss.data(), sum.data(), scale});
    return Forward{loss, log_sum};
  }

  template <TensorLike X>
  X pullback(Wrt<0>, const auto& dy, const auto& log_sum, const X& logits, const auto& labels) const {
    using T = typename X::scalar;
    const index_t rows = logits.extent(0), columns = logits.extent(1);
    X dx(logits.shape(), logits.device());
    dx.device().for_each(rows,
                         CrossEntropyPullbackBody<T>{dx.data(), logits.data(), log_sum.data(), labels.data(), dy.data(),
                                                     static_cast<T>(scale), columns},
                         4 * columns);
    return dx;
  }
  static constexpr Reads reads(const Wanted<2>&) { return Reads::everything(); }
};

/// \throws ShapeError or ArgumentError when labels do not fit the logits; returns how many rows count
template <ValueLike X, ValueLike L>
index_t counted_rows(const char* call, const X& logits, const L& labels) {
  static_assert(std::same_as<typename L::scalar, std::int32_t> && L::shape_type::rank == 1,
                "veneer::cross_entropy(logits, labels): labels must be a vector of int32");
  static_assert(X::shape_type::rank == 2,
                "veneer::cross_entropy(logits, labels): logits must be a matrix (rows, classes)");
  if (logits.extent(0) != labels.extent(0)) {
    throw ShapeError(std::string("veneer::") + call + ": one label a row; there are " +
                     std::to_string(logits.extent(0)) + " rows and " + std::to_string(labels.extent(0)) + " labels");
  }
  index_t counted = 0;
  for (const std::int32_t label : to_host(value_of(labels))) {
    if (label == ignored_label) continue;
    if (label < 0 || label >= logits.extent(1)) {
      throw ArgumentError(std::string("veneer::") + call + ": a label must lie in [0, " +
                          std::to_string(logits.extent(1)) + ") or be -100 (ignored); one is " + std::to_string(label));
    }
    ++counted;
  }
  return counted;
}

}  // namespace ops

/// The mean over the rows that count.
/// \throws ShapeError, ArgumentError when labels do not fit
template <ValueLike X, ValueLike L>
auto cross_entropy(const X& logits, const L& labels) {
  const index_t counted = ops::counted_rows("cross_entropy(logits, labels)", logits, labels);
  return apply(ops::CrossEntropy{counted == 0 ? 0.0 : 1.0 / static_cast<double>(counted)}, logits, labels);
}

/// The sum over the rows that count, times `scale`: for a mean that runs over several batches together.
/// \throws ShapeError, ArgumentError when labels do not fit
template <ValueLike X, ValueLike L>
auto cross_entropy_sum(const X& logits, const L& labels, double scale = 1.0) {
  ops::counted_rows("cross_entropy_sum(logits, labels)", logits, labels);
  return apply(ops::CrossEntropy{scale}, logits, labels);
}

}  // namespace veneer
