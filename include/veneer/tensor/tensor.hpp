// SPDX-License-Identifier: Apache-2.0
/// \file tensor.hpp
/// Tensor<Scalar, Shape, Backend>: a shape, a device handle, and a shared, contiguous, row-major buffer.
///
/// A copy is a handle to the same values. There are no strides: transposition is an argument of gemm, permutation is an
/// op. A Tensor is a constant to autograd: it has no gradient, and none can be requested.
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/backend/concept.hpp"
#include "veneer/core/error.hpp"
#include "veneer/core/scalar.hpp"
#include "veneer/core/shape.hpp"
#include "veneer/core/specialization.hpp"

namespace veneer {

template <Scalar T, ShapeLike S, Backend B>
class Tensor {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  static constexpr int rank = S::rank;

  /// Constructs a tensor without values: every `dyn` extent is 0 and data() is null.
  Tensor() = default;

  /// Allocates uninitialised values.
  explicit Tensor(S shape, B device = {})
      : shape_(shape), device_(std::move(device)), data_(device_.template allocate<T>(shape.count())) {}

  /// Shares `data`, which must have shape.count() values.
  Tensor(S shape, B device, std::shared_ptr<T> data)
      : shape_(shape), device_(std::move(device)), data_(std::move(data)) {}

  /// Converts to a type with more or fewer static extents, sharing the values. Explicit and checked if a dynamic
  /// extent becomes static.
  /// \throws ShapeError when an extent differs from the static one
  template <ShapeLike Other>
    requires(std::is_constructible_v<S, const Other&> && !std::is_same_v<S, Other>)
  explicit(!std::is_convertible_v<Other, S>) Tensor(const Tensor<T, Other, B>& other)
      : shape_(S(other.shape())), device_(other.device()), data_(other.share()) {}

  const S& shape() const { return shape_; }
  index_t extent(int axis) const { return shape_[axis < 0 ? rank + axis : axis]; }
  index_t count() const { return shape_.count(); }
  const B& device() const { return device_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  const std::shared_ptr<T>& share() const { return data_; }

  /// Returns whether there are values. A shape-only tensor has none.
  explicit operator bool() const { return data_ != nullptr; }

  /// Returns the shape without the values. A tape keeps this of an operand that no pullback reads.
  Tensor shape_only() const { return Tensor(shape_, device_, nullptr); }

  /// Returns whether this is the only handle to the values, so that they may be changed in place.
  bool unique() const { return data_.use_count() == 1; }

  /// Returns the same values in another shape of the same count.
  /// \throws ShapeError when the counts differ
  template <ShapeLike Other>
  Tensor<T, Other, B> reshape(Other shape) const {
    if (shape.count() != count()) {
      throw ShapeError("veneer::Tensor::reshape: " + to_string(shape_) + " has another number of values than " +
                       to_string(shape));
    }
    return Tensor<T, Other, B>(shape, device_, data_);
  }

  /// Returns rows [begin, begin + count) of the first axis: a view of the same buffer.
  /// \throws ShapeError when they are out of range
  auto rows(index_t begin, index_t count) const {
    static_assert(rank >= 1, "veneer::Tensor::rows: a tensor of rank 0 has no rows");
    if (begin < 0 || count < 0 || begin + count > shape_[0]) {
      throw ShapeError("veneer::Tensor::rows: rows " + std::to_string(begin) + " to " + std::to_string(begin + count) +
                       " of " + to_string(shape_));
    }
    const index_t width = shape_[0] == 0 ? 0 : shape_.count() / shape_[0];
    const auto part = first_extent(count);
    return Tensor<T, std::remove_const_t<decltype(part)>, B>(part, device_,
                                                             std::shared_ptr<T>(data_, data_.get() + begin * width));
  }

 private:
  auto first_extent(index_t first) const {
    if constexpr (rank == 1) {
      return Shape<dyn>(first);
    } else {
      static_assert(rank == 2, "veneer::Tensor::rows: expected a vector or a matrix");
      return shape_of<Shape<dyn, extent_of<S, 1>>>(first, shape_[1]);
    }
  }

  [[no_unique_address]] S shape_{};
  [[no_unique_address]] B device_{};
  std::shared_ptr<T> data_;
};

template <class T>
concept TensorLike = is_specialization_of<Tensor, std::remove_cvref_t<T>>;

/// A matrix with dynamic extents.
template <Scalar T, Backend B>
using Matrix = Tensor<T, Shape<dyn, dyn>, B>;

/// A vector with a dynamic extent.
template <Scalar T, Backend B>
using Vector = Tensor<T, Shape<dyn>, B>;

/// Returns the values, copied to the host.
template <Scalar T, ShapeLike S, Backend B>
std::vector<T> to_host(const Tensor<T, S, B>& x) {
  std::vector<T> values(static_cast<std::size_t>(x.count()));
  x.device().copy_out(values.data(), x.data(), x.count());
  return values;
}

/// Returns the value of a tensor with one element.
/// \throws ShapeError when it has another number of values
template <Scalar T, ShapeLike S, Backend B>
T item(const Tensor<T, S, B>& x) {
  if (x.count() != 1) throw ShapeError("veneer::item(x): x must hold one value, its shape is " + to_string(x.shape()));
  return to_host(x)[0];
}

}  // namespace veneer
