// SPDX-License-Identifier: Apache-2.0
/// \file weight_slot.hpp
/// WeightSlot: a weight whose storage type is known when a checkpoint is read: float, bfloat16 or half as stored,
/// a quantised matrix, or nothing (a bias that a model lacks). It is frozen until `train` adds a trainable copy
/// that replaces it.
///
/// All storage types are one type to the ops, StoredWeight: matmuls read the stored form. If a program fixes the
/// storage type, a layer has a Tensor instead.
#pragma once

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/autograd/tape.hpp"
#include "veneer/core/error.hpp"
#include "veneer/ops/low_rank_norm.hpp"
#include "veneer/quant/int8_tensor.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace veneer {

/// The quantisation formats of a matrix of a model, by their options. To add a format, add its name here.
using QuantizeOptions = std::variant<NF4Options, Int8Options>;

namespace detail {

template <class T, class S, class B, class Quantised>
struct StoredKinds;
template <class T, class S, class B, class... Options>
struct StoredKinds<T, S, B, std::variant<Options...>> {
  using type = std::variant<std::monostate, Tensor<T, S, B>, Tensor<bfloat16, S, B>, Tensor<half, S, B>,
                            typename Options::template tensor<S, B, T>...>;
};
template <class S, class B, class... Options>
struct StoredKinds<double, S, B, std::variant<Options...>> {
  using type = std::variant<std::monostate, Tensor<double, S, B>, typename Options::template tensor<S, B, double>...>;
};

/// A weight of an n-dimensional shape: a matrix may be quantised.
template <class T, class S, class B>
using stored_kinds_t =
    typename StoredKinds<T, S, B, std::conditional_t<S::rank == 2, QuantizeOptions, std::variant<>>>::type;

}  // namespace detail

namespace ops {

/// The elements of a weight of one of several storage types by their flat index.
template <class... Views>
struct OneOfElements : Views... {
  int which = -1;

  template <class View>
  void set(const View& view) {
    int at = 0;
    ((std::is_same_v<Views, View> ? void(which = at) : void(), ++at), ...);
    static_cast<View&>(*this) = view;
  }
  VENEER_HD double operator()(index_t i) const {
    double value = 0.0;
    int at = 0;
    ((which == at++ ? void(value = static_cast<double>(static_cast<const Views&>(*this)(i))) : void()), ...);
    return value;
  }
};

template <class Kinds>
struct ElementsOf;
template <class... W>
struct ElementsOf<std::variant<std::monostate, W...>> {
  using type = OneOfElements<std::remove_cvref_t<decltype(elements(std::declval<const W&>()))>...>;
};

}  // namespace ops

/// A frozen weight in its original storage type: one type for every layer.
template <Real T, ShapeLike S, Backend B>
class StoredWeight {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  using storage_type = detail::stored_kinds_t<T, S, B>;

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
  /// Returns whether there are values, not only a shape.
  explicit operator bool() const {
    return !empty() && visit([](const auto& w) { return static_cast<bool>(w); });
  }
  /// Returns the memory of the values, which identifies the handles to one weight.
  std::shared_ptr<const void> share() const {
    return visit([](const auto& w) { return std::shared_ptr<const void>(w.share()); });
  }
  /// Returns the elements by their flat index, for device code.
  auto view() const {
    typename ops::ElementsOf<storage_type>::type out;
    visit([&](const auto& w) { return out.set(ops::elements(w)); });
    return out;
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

/// Returns the dense values in the compute type.
template <Real T, ShapeLike S, Backend B>
Tensor<T, S, B> decode(const StoredWeight<T, S, B>& w) {
  return w.visit([](const auto& stored) { return Tensor<T, S, B>(decode(stored)); });
}

/// Returns the weight as an operand of a matmul, optionally transposed.
template <Real T, ShapeLike S, Backend B>
Operand operand(const StoredWeight<T, S, B>& w, bool transposed) {
  return w.visit([&](const auto& stored) { return operand(stored, transposed); });
}

/// Gathers rows, in the compute type.
template <Real T, ShapeLike S, Backend B, ValueLike I>
auto gather_rows(const StoredWeight<T, S, B>& w, const I& ids) {
  return w.visit([&](const auto& stored) { return embedding(ids, stored); });
}

/// Returns a frozen weight with these values in the storage type of `like`, rounded once. A quantised one is
/// far from exact.
template <class W, class X>
W stored_as(const W& like, const X& values) {
  if constexpr (requires { like.with_values(values); }) {
    return like.with_values(values);  // a slot
  } else if constexpr (QuantizedTensorLike<W>) {
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
  /// Constructs a slot with a frozen weight of any supported storage type.
  template <Scalar U, ShapeLike Other>
  WeightSlot(Tensor<U, Other, B> weight) : stored_(Tensor<U, S, B>(weight)) {
    static_assert(Stored<U> && std::is_same_v<compute_t<U>, T>,
                  "veneer::WeightSlot: a slot of float holds float, bfloat16 or half; a slot of double holds double");
  }
  /// Constructs a slot with a frozen weight of a format of QuantizeOptions.
  template <template <ShapeLike, Backend, Real> class Format, ShapeLike Other, Real U>
    requires QuantizedTensorLike<Format<Other, B, U>>
  WeightSlot(Format<Other, B, U> weight) : stored_(Format<S, B, T>(weight)) {
    static_assert(S::rank == 2 && std::is_same_v<U, T>,
                  "veneer::WeightSlot: a slot holds a quantised matrix that decodes to the slot's own type");
  }

  /// Returns whether there is a weight.
  explicit operator bool() const { return trained_.has_value() || !stored_.empty(); }
  bool trainable() const { return trained_.has_value(); }

  S shape() const { return trained_ ? trained_->shape() : stored_.shape(); }
  index_t extent(int axis) const { return shape()[axis < 0 ? S::rank + axis : axis]; }
  index_t count() const { return shape().count(); }

  /// Adds a trainable copy that replaces the stored weight. The stored weight is kept, for unmerging and for the base
  /// alone, unless `drop_stored`.
  void train(bool drop_stored = false) {
    if (trained_) return;
    trained_ = Parameter<T, S, B>(dense_copy());
    if (drop_stored) stored_ = {};
  }
  /// Freezes: the stored weight is active again, or, if it was dropped, the trained values.
  void freeze() {
    if (trained_ && stored_.empty()) stored_ = StoredWeight<T, S, B>(trained_->value());
    trained_.reset();
  }
  /// Converts the stored weight to the compute type, which keeps every value, also with a trainable copy. A quantised
  /// weight is not changed.
  void widen() {
    WeightSlot base = *this;
    base.freeze();
    if (base && !quantised()) stored_ = StoredWeight<T, S, B>(base.dense_copy());
  }
  Parameter<T, S, B>& parameter() { return *trained_; }
  const Parameter<T, S, B>& parameter() const { return *trained_; }

  const stored_type& stored() const { return stored_.storage(); }
  stored_type& stored() { return stored_.storage(); }
  /// Returns whether the stored weight is quantised.
  bool quantised() const {
    return std::visit([](const auto& w) { return QuantizedTensorLike<decltype(w)>; }, stored());
  }

  /// Returns a slot with these values; see stored_as. An empty slot keeps the type of the values.
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

  /// Returns the values in the compute type, in new memory; without values if there are none yet.
  Tensor<T, S, B> dense_copy() const {
    return select_stored([](const auto& w) {
      const auto& kept = value_of(w);
      if (!kept) return Tensor<T, S, B>(kept.shape(), kept.device(), nullptr);
      if constexpr (TensorLike<decltype(kept)> &&
                    std::is_same_v<typename std::remove_cvref_t<decltype(kept)>::scalar, T>) {
        return Tensor<T, S, B>(copy(kept));
      } else {
        return Tensor<T, S, B>(decode(kept));  // already in new memory
      }
    });
  }

  /// Calls f with the active weight: the trainable copy if there is one, else the stored weight, a matrix as a
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
  /// Calls f with the active weight; a stored weight has its own type, a Tensor or a quantised one.
  template <class F>
  auto select_stored(const F& f) const {
    if (trained_) return f(*trained_);
    return stored_.visit(f);
  }

  /// Calls f with the trainable copy, if there is one, for visit.
  template <class F>
  void visit_content(const F& f) {
    if (trained_) f(*trained_);
  }
  template <class F>
  void visit_content(const F& f) const {
    if (trained_) f(*trained_);
  }

 private:
  StoredWeight<T, S, B> stored_;
  std::optional<Parameter<T, S, B>> trained_;
};

template <class W>
concept WeightSlotLike = is_specialization_of<WeightSlot, std::remove_cvref_t<W>>;

/// Returns all formats, with their default options.
inline std::vector<QuantizeOptions> quantized_formats() {
  return []<class... Options>(std::type_identity<std::variant<Options...>>) {
    return std::vector<QuantizeOptions>{Options{}...};
  }(std::type_identity<QuantizeOptions>{});
}

/// Returns the name of a format in programs, such as "nf4".
inline const char* format_name(const QuantizeOptions& options) {
  return std::visit([](const auto& of_format) { return of_format.name; }, options);
}

/// Returns a slot with these values, quantised.
template <WeightSlotLike W, TensorLike X>
W quantised(const X& values, const QuantizeOptions& options) {
  return std::visit(
      [&]<class Options>(const Options& of_format) {
        using Format =
            typename Options::template tensor<typename W::shape_type, typename W::backend, typename W::scalar>;
        return W(Format(values, of_format));
      },
      options);
}

/// Calls f with the weight, whether it is in a slot or not.
template <class W, class F>
auto with_weight(const W& weight, const F& f) {
  if constexpr (WeightSlotLike<W>) {
    return weight.select(f);
  } else {
    return f(weight);
  }
}

/// Calls f with the weight; a stored weight has its own type.
template <class W, class F>
auto with_stored(const W& weight, const F& f) {
  if constexpr (WeightSlotLike<W>) {
    return weight.select_stored(f);
  } else {
    return f(weight);
  }
}

/// Returns whether a weight, such as a bias, exists: a slot may be empty, and a tensor without values is absent.
template <class W>
bool present(const W& weight) {
  return static_cast<bool>(weight);
}

}  // namespace veneer
