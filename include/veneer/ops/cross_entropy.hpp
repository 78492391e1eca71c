// SPDX-License-Identifier: Apache-2.0
/// \file cross_entropy.hpp
/// cross_entropy(logits, labels): negative log-likelihood of the labels under softmax(logits), in nats.
///
///   logits: (rows, classes)   labels: (rows), each in [0, classes) or ignored_label   result: one value
///   loss = scale * sum over active rows of (log sum over c of e^logits[r, c] - logits[r, labels[r]])
///   dlogits[r, c] = scale * (softmax(logits)[r, c] - [c == labels[r]]) on active rows, 0 on ignored ones
/// Log-sum-exp and the result are in compute_t of the logits, the sum over rows in double. The mean over no active rows
/// is 0, with gradient 0 (a framework that divides 0 by 0 gives NaN there).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "veneer/core/label.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/ops/softmax.hpp"

namespace veneer {

namespace ops {

/// Log of a sum of exponentials, from the maximum of the exponents and the sum shifted by it.
template <Real T>
struct LogSum {
  VENEER_HD T value(T maximum, T sum) const { return maximum + std::log(sum); }
};

template <Stored T>
struct RowLossLoad {
  const T* logits;
  const compute_t<T>* log_sum;
  const std::int32_t* labels;
  index_t columns;
  VENEER_HD double operator()(index_t, index_t r) const {
    const std::int32_t label = labels[r];
    return label == ignored_label ? 0.0 : static_cast<double>(log_sum[r] - logits[r * columns + label]);
  }
};

/// The gradient of the loss with respect to the log-sum of row r.
template <Real T>
struct RowSlope {
  const std::int32_t* labels;
  const T* dy;  // one value
  T scale;
  VENEER_HD T operator()(index_t r) const { return labels[r] == ignored_label ? T(0) : dy[0] * scale; }
};

template <Stored T>
struct CrossEntropySlope {
  SoftmaxValue<T> share;  // of the gradient of the row
  const std::int32_t* labels;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    using C = compute_t<T>;
    const index_t label = labels[r], end = label == ignored_label ? 0 : share.power.columns;
    const C value = share(r, c);
    // A condition on columns vectorises, one on the row does not.
    return c < end ? c == label ? value - share.factor[r] : value : C(0);
  }
};

struct CrossEntropy {
  double scale = 1.0;

  template <TensorLike X>
  auto forward(const X& logits, const auto& labels) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    const index_t rows = logits.extent(0);
    auto [maximum, log_sum] = row_statistics(logits);
    map(log_sum, BinaryValue<LogSum<C>, C>{{}, maximum.data(), log_sum.data()}, 8);
    const RowLossLoad<T> load{logits.data(), log_sum.data(), labels.data(), logits.extent(1)};
    return Forward{sum_all<C>(logits.device(), rows, load, scale), log_sum};
  }

  template <TensorLike X>
  X pullback(Wrt<0>, const auto& dy, const auto& log_sum, const X& logits, const auto& labels) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    Vector<C, typename X::backend> slope(Shape<dyn>(logits.extent(0)), logits.device());
    map(slope, RowSlope<C>{labels.data(), dy.data(), static_cast<C>(scale)});
    X dx(logits.shape(), logits.device());
    const SoftmaxValue<T> share{{logits.data(), log_sum.data(), logits.extent(1)}, slope.data()};
    map_rows(dx, CrossEntropySlope<T>{share, labels.data()}, 4);
    return dx;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::everything(); }
};

/// Returns the number of labels that are not ignored.
/// \throws ShapeError, ArgumentError when labels do not fit the logits
template <ValueLike X>
index_t counted_rows(const char* call, const X& logits, const std::vector<std::int32_t>& labels) {
  static_assert(X::shape_type::rank == 2,
                "veneer::cross_entropy(logits, labels): logits must be a matrix (rows, classes)");
  const auto rows = static_cast<index_t>(labels.size());
  if (logits.extent(0) != rows) {
    throw ShapeError(std::string("veneer::") + call + ": expected one label per row; there are " +
                     std::to_string(logits.extent(0)) + " rows and " + std::to_string(rows) + " labels");
  }
  index_t counted = 0;
  for (const std::int32_t label : labels) {
    if (label == ignored_label) continue;
    if (label < 0 || label >= logits.extent(1)) {
      throw ArgumentError(std::string("veneer::") + call + ": a label must be in [0, " +
                          std::to_string(logits.extent(1)) + ") or be -100 (ignored); one is " + std::to_string(label));
    }
    ++counted;
  }
  return counted;
}

/// Returns the labels on the device, copied if necessary.
template <Backend B>
Vector<std::int32_t, B> labels_on(const B& device, const std::vector<std::int32_t>& labels) {
  return from_host(Shape<dyn>(static_cast<index_t>(labels.size())), labels, device);
}
template <Backend B, ValueLike L>
const L& labels_on(const B&, const L& labels) {
  return labels;
}

/// Returns the labels on the host, copied if they are on a device.
inline const std::vector<std::int32_t>& labels_on_host(const std::vector<std::int32_t>& labels) { return labels; }
template <ValueLike L>
std::vector<std::int32_t> labels_on_host(const L& labels) {
  static_assert(std::same_as<typename L::scalar, std::int32_t> && L::shape_type::rank == 1,
                "veneer::cross_entropy(logits, labels): labels must be a vector of int32");
  return to_host(value_of(labels));
}

}  // namespace ops

/// Returns the mean over the rows whose label is not ignored.
/// \param labels  a std::vector, which is checked on the host and then copied, or a tensor, copied to the host for that
/// \throws ShapeError, ArgumentError when labels do not fit
template <ValueLike X, class L>
auto cross_entropy(const X& logits, const L& labels) {
  const index_t counted = ops::counted_rows("cross_entropy(logits, labels)", logits, ops::labels_on_host(labels));
  const double scale = counted == 0 ? 0.0 : 1.0 / static_cast<double>(counted);
  return apply(ops::CrossEntropy{scale}, logits, ops::labels_on(logits.device(), labels));
}

/// Returns the sum over the rows whose label is not ignored, times `scale`, for a mean over several batches.
/// \param labels  as in cross_entropy
/// \throws ShapeError, ArgumentError when labels do not fit
template <ValueLike X, class L>
auto cross_entropy_sum(const X& logits, const L& labels, double scale = 1.0) {
  ops::counted_rows("cross_entropy_sum(logits, labels)", logits, ops::labels_on_host(labels));
  return apply(ops::CrossEntropy{scale}, logits, ops::labels_on(logits.device(), labels));
}

}  // namespace veneer
