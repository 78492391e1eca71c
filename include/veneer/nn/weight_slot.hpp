// SPDX-License-Identifier: Apache-2.0
/// \file weight_slot.hpp
/// WeightSlot: a weight whose storage is known when a checkpoint has been read: float, bfloat16 or half as stored, a
/// matrix in 4 bits, or nothing (a bias that a model lacks); frozen until `train` puts a trainable copy in front.
///
/// Where a program fixes its storage, a layer takes a Tensor instead and pays nothing.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "veneer/autograd/tape.hpp"
#include "veneer/core/error.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace veneer {

namespace detail {
template <class T, class S, class B, bool Matrix = S::rank == 2>
struct StoredKinds {
  using type = std::variant<std::monostate, Tensor<T, S, B>, Tensor<bfloat16, S, B>, Tensor<half, S, B>>;
};
template <class T, class S, class B>
struct StoredKinds<T, S, B, true> {
  using type =
      std::variant<std::monostate, Tensor<T, S, B>, Tensor<bfloat16, S, B>, Tensor<half, S, B>, NF4Tensor<S, B, T>>;
};
template <class S, class B>
struct StoredKinds<double, S, B, false> {
  using type = std::variant<std::monostate, Tensor<double, S, B>>;
};
template <class S, class B>
struct StoredKinds<double, S, B, true> {
  using type = std::variant<std::monostate, Tensor<double, S, B>, NF4Tensor<S, B, double>>;
};
}  // namespace detail

/// A frozen weight of these values in the storage of `like`, rounded once. In 4 bits that is far from exact.
template <class W, class X>
W stored_as(const W& like, const X& values) {
  if constexpr (requires { like.with_values(values); }) {
    return like.with_values(values);  // a slot
  } else if constexpr (NF4TensorLike<W>) {
    return W(values, like.options());
  } else {
    return convert<typename W::scalar>(values);
  }
}

template <Real T, ShapeLike S, Backend B>
class WeightSlot {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  using stored_type = typename detail::StoredKinds<T, S, B>::type;

  WeightSlot() = default;
  /// Holds a frozen weight of any storage that the slot knows.
  template <Scalar U, ShapeLike Other>
  WeightSlot(Tensor<U, Other, B> weight) : stored_(Tensor<U, S, B>(weight)) {
    static_assert(Stored<U> && std::is_same_v<compute_t<U>, T>,
                  "veneer::WeightSlot: a slot of float holds float, bfloat16 or half; a slot of double holds double");
  }
  /// Holds a frozen weight in 4 bits.
  template <ShapeLike Other, Real U>
  WeightSlot(NF4Tensor<Other, B, U> weight) : stored_(NF4Tensor<S, B, T>(weight)) {
    static_assert(S::rank == 2 && std::is_same_v<U, T>,
                  "veneer::WeightSlot: a slot holds an NF4Tensor that is a matrix and decodes to the slot's own type");
  }

  /// Whether there is a weight.
  explicit operator bool() const { return trained_.has_value() || !std::holds_alternative<std::monostate>(stored_); }
  bool trainable() const { return trained_.has_value(); }

  S shape() const {
    return select([](const auto& w) { return S(w.shape()); });
  }
  index_t extent(int axis) const { return shape()[axis < 0 ? S::rank + axis : axis]; }
  index_t count() const { return shape().count(); }

  /// Puts a trainable copy in front. What was stored stays, for unmerging and for the base alone, unless `drop_stored`.
  void train(bool drop_stored = false) {
    if (trained_) return;
    trained_ = Parameter<T, S, B>(dense_copy());
    if (drop_stored) stored_ = std::monostate{};
  }
  /// Freezes: what was stored counts again, or, where that was dropped, the trained values.
  void freeze() {
    if (trained_ && std::holds_alternative<std::monostate>(stored_)) stored_ = trained_->value();
    trained_.reset();
  }
  /// Stores the weight in the compute type from now on, which keeps every value, also below a trainable copy. A weight
  /// in 4 bits stays as it is.
  void widen() {
    WeightSlot base = *this;
    base.freeze();
    if (base && packed() == nullptr) stored_ = base.dense_copy();
  }
  Parameter<T, S, B>& parameter() { return *trained_; }
  const Parameter<T, S, B>& parameter() const { return *trained_; }

  const stored_type& stored() const { return stored_; }
  stored_type& stored() { return stored_; }
  /// The weight in 4 bits that is stored, or nothing.
  const NF4Tensor<S, B, T>* packed() const {
    if constexpr (S::rank == 2) return std::get_if<NF4Tensor<S, B, T>>(&stored_);
    return nullptr;
  }

  /// See stored_as. An empty slot takes the values as they are.
  WeightSlot with_values(const Tensor<T, S, B>& values) const {
    return std::visit(
        [&](const auto& kept) {
          using Kept = std::remove_cvref_t<decltype(kept)>;
          if constexpr (std::is_same_v<Kept, std::monostate>) {
            return WeightSlot(values);
          } else {
            return WeightSlot(stored_as(kept, values));
          }
        },
        stored_);
  }

  /// The values in the compute type, in memory of their own; without values where there are none yet.
  Tensor<T, S, B> dense_copy() const {
    return select([](const auto& w) {
      const auto& kept = value_of(w);
      if (!kept) return Tensor<T, S, B>(kept.shape(), kept.device(), nullptr);
      if constexpr (TensorLike<decltype(kept)> &&
                    std::is_same_v<typename std::remove_cvref_t<decltype(kept)>::scalar, T>) {
        return Tensor<T, S, B>(copy(kept));
      } else {
        return Tensor<T, S, B>(decode(kept));  // in memory of its own already
      }
    });
  }

  /// Calls f with the weight that counts: the trainable one where there is one. The result must not depend on which.
  /// \throws ArgumentError when the slot is empty
  template <class F>
  auto select(const F& f) const {
    if (trained_) return f(*trained_);
    return select_stored<1>(f);
  }

  /// For visit: the trainable copy, if there is one.
  template <class F>
  void look(const F& f) {
    if (trained_) f(*trained_);
  }
  template <class F>
  void look(const F& f) const {
    if (trained_) f(*trained_);
  }

 private:
  template <std::size_t I, class F>
  auto select_stored(const F& f) const {
    if (const auto* w = std::get_if<I>(&stored_)) return f(*w);
    if constexpr (I + 1 < std::variant_size_v<stored_type>) return select_stored<I + 1>(f);
    throw ArgumentError("veneer::WeightSlot: the slot holds no weight");
  }

  stored_type stored_;
  std::optional<Parameter<T, S, B>> trained_;
};

namespace detail {
template <class W>
struct IsWeightSlot : std::false_type {};
template <Real T, ShapeLike S, Backend B>
struct IsWeightSlot<WeightSlot<T, S, B>> : std::true_type {};
}  // namespace detail

template <class W>
concept WeightSlotLike = detail::IsWeightSlot<std::remove_cvref_t<W>>::value;

/// Calls f with the weight itself, whether it is a slot or not.
template <class W, class F>
auto with_weight(const W& weight, const F& f) {
  if constexpr (WeightSlotLike<W>) {
    return weight.select(f);
  } else {
    return f(weight);
  }
}

/// Whether a bias, say, is there at all: a slot may be empty, a tensor without values counts as none.
template <class W>
bool present(const W& weight) {
  return static_cast<bool>(weight);
}

}  // namespace veneer
