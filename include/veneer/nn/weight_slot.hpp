// SPDX-License-Identifier: Apache-2.0
/// \file weight_slot.hpp
/// WeightSlot: a weight whose storage is known when a checkpoint has been read: float, bfloat16 or half as stored, a
/// matrix in 4 bits, or nothing (a bias that a model lacks); frozen until `train` puts a trainable copy in front.
///
/// What is stored is one type to the ops, StoredWeight, whatever its format: products read it as it is. Where a program
/// fixes its storage, a layer takes a Tensor instead.
#pragma once

#include <optional>
#include <tuple>
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

namespace ops {

/// The elements of a matrix of any storage by their flat index.
struct StoredElements {
  Storage storage = Storage::float32;
  const void* data = nullptr;
  PackedView packed{};
  VENEER_HD double operator()(index_t i) const {
    switch (storage) {
      case Storage::float64: return static_cast<const double*>(data)[i];
      case Storage::float32: return static_cast<double>(static_cast<const float*>(data)[i]);
      case Storage::bfloat16: return static_cast<double>(static_cast<float>(static_cast<const bfloat16*>(data)[i]));
      case Storage::float16: return static_cast<double>(static_cast<float>(static_cast<const half*>(data)[i]));
      default: return static_cast<double>(packed(i));
    }
  }
};

}  // namespace ops

/// A frozen weight in the storage that it came in: one type for every layer.
template <Real T, ShapeLike S, Backend B>
class StoredWeight {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  using storage_type = typename detail::StoredKinds<T, S, B>::type;

  StoredWeight() = default;
  template <class W>
    requires(std::is_constructible_v<storage_type, W> && !std::is_same_v<std::remove_cvref_t<W>, StoredWeight>)
  explicit StoredWeight(W&& weight) : storage_(std::forward<W>(weight)) {}

  const storage_type& storage() const { return storage_; }
  storage_type& storage() { return storage_; }
  bool empty() const { return std::holds_alternative<std::monostate>(storage_); }

  /// Calls f with the weight as its own type. The result must not depend on which.
  /// \throws ArgumentError when there is none
  template <class F>
  auto visit(const F& f) const {
    return visit_from<1>(f);
  }

  S shape() const {
    return visit([](const auto& w) { return S(w.shape()); });
  }
  index_t extent(int axis) const { return shape()[axis < 0 ? S::rank + axis : axis]; }
  B device() const {
    return visit([](const auto& w) { return w.device(); });
  }
  /// Whether there are values, and not a shape alone.
  explicit operator bool() const {
    return !empty() && visit([](const auto& w) { return static_cast<bool>(w); });
  }
  /// The memory of the values, by which handles of one weight are known.
  std::shared_ptr<const void> share() const {
    return visit([](const auto& w) { return std::shared_ptr<const void>(w.share()); });
  }
  ops::StoredElements view() const {
    return visit([](const auto& w) {
      if constexpr (NF4TensorLike<decltype(w)>) {
        return ops::StoredElements{Storage::coded, nullptr, w.view()};
      } else {
        return ops::StoredElements{storage_of<typename std::remove_cvref_t<decltype(w)>::scalar>, w.data(), {}};
      }
    });
  }

 private:
  template <std::size_t I, class F>
  auto visit_from(const F& f) const {
    if (const auto* w = std::get_if<I>(&storage_)) return f(*w);
    if constexpr (I + 1 < std::variant_size_v<storage_type>) return visit_from<I + 1>(f);
    throw ArgumentError("veneer::WeightSlot: the slot holds no weight");
  }

  storage_type storage_;
};

/// The dense values in the compute type.
template <Real T, ShapeLike S, Backend B>
Tensor<T, S, B> decode(const StoredWeight<T, S, B>& w) {
  return w.visit([](const auto& stored) { return Tensor<T, S, B>(decode(stored)); });
}

/// How a product reads it, transposed if asked.
template <Real T, ShapeLike S, Backend B>
Operand operand(const StoredWeight<T, S, B>& w, bool transposed) {
  return w.visit([&](const auto& stored) { return operand(stored, transposed); });
}

/// Rows by number, in the compute type.
template <Real T, ShapeLike S, Backend B, ValueLike I>
auto gather_rows(const StoredWeight<T, S, B>& w, const I& ids) {
  return w.visit([&](const auto& stored) { return embedding(ids, stored); });
}

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
  using stored_type = typename StoredWeight<T, S, B>::storage_type;
  using held_types = std::tuple<Parameter<T, S, B>>;

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
  explicit operator bool() const { return trained_.has_value() || !stored_.empty(); }
  bool trainable() const { return trained_.has_value(); }

  S shape() const { return trained_ ? trained_->shape() : stored_.shape(); }
  index_t extent(int axis) const { return shape()[axis < 0 ? S::rank + axis : axis]; }
  index_t count() const { return shape().count(); }

  /// Puts a trainable copy in front. What was stored stays, for unmerging and for the base alone, unless `drop_stored`.
  void train(bool drop_stored = false) {
    if (trained_) return;
    trained_ = Parameter<T, S, B>(dense_copy());
    if (drop_stored) stored_ = {};
  }
  /// Freezes: what was stored counts again, or, where that was dropped, the trained values.
  void freeze() {
    if (trained_ && stored_.empty()) stored_ = StoredWeight<T, S, B>(trained_->value());
    trained_.reset();
  }
  /// Stores the weight in the compute type from now on, which keeps every value, also below a trainable copy. A weight
  /// in 4 bits stays as it is.
  void widen() {
    WeightSlot base = *this;
    base.freeze();
    if (base && packed() == nullptr) stored_ = StoredWeight<T, S, B>(base.dense_copy());
  }
  Parameter<T, S, B>& parameter() { return *trained_; }
  const Parameter<T, S, B>& parameter() const { return *trained_; }

  const stored_type& stored() const { return stored_.storage(); }
  stored_type& stored() { return stored_.storage(); }
  /// The weight in 4 bits that is stored, or nothing.
  const NF4Tensor<S, B, T>* packed() const {
    if constexpr (S::rank == 2) return std::get_if<NF4Tensor<S, B, T>>(&stored());
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
        stored());
  }

  /// The values in the compute type, in memory of their own; without values where there are none yet.
  Tensor<T, S, B> dense_copy() const {
    return select_stored([](const auto& w) {
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

  /// Calls f with the active weight: the trainable copy if there is one, else what is stored, a matrix as a
  /// StoredWeight and a vector in the compute type. The result must not depend on which.
  /// \throws ArgumentError when the slot is empty
  template <class F>
  auto select(const F& f) const {
    if (trained_) return f(*trained_);
    if constexpr (S::rank == 2) {
      return f(stored_);
    } else {
      return f(decode(stored_));
    }
  }
  /// The same with what is stored as its own type, Tensor or NF4Tensor.
  template <class F>
  auto select_stored(const F& f) const {
    if (trained_) return f(*trained_);
    return stored_.visit(f);
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
  StoredWeight<T, S, B> stored_;
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

/// The same with a stored weight as its own type.
template <class W, class F>
auto with_stored(const W& weight, const F& f) {
  if constexpr (WeightSlotLike<W>) {
    return weight.select_stored(f);
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
