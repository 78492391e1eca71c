// SPDX-License-Identifier: Apache-2.0
/// \file shape.hpp
/// Shape<32, 64>, Shape<dyn, 64>(rows): the extents of a tensor, static if the model fixes them.
///
/// Extents are signed and row-major: the last one is contiguous. The constructor takes only the dynamic extents.
/// Conversion from a static to a dynamic extent is implicit; the other direction is explicit and checked, and throws
/// ShapeError. As a rule, features are static, batch and time are `dyn`.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>

#include "veneer/core/error.hpp"

namespace veneer {

/// The type of every count, extent and offset.
using index_t = std::int64_t;

/// Returns n / k rounded up, for n of at least 0 and k of at least 1: the number of pieces of k that n values need.
template <std::integral T>
constexpr T ceil_div(T n, std::type_identity_t<T> k) {
  return (n + k - 1) / k;
}

/// Returns the least multiple of k that is at least n.
template <std::integral T>
constexpr T round_up(T n, std::type_identity_t<T> k) {
  return ceil_div(n, k) * k;
}

/// An extent that is known at run time only.
inline constexpr index_t dyn = -1;

namespace detail {

/// Storage of `Count` run-time extents; an empty class for 0 (std::array<T, 0> is not).
template <int Count>
struct DynamicExtents {
  std::array<index_t, static_cast<std::size_t>(Count)> value{};
};
template <>
struct DynamicExtents<0> {};

}  // namespace detail

/// \tparam Extents one number per axis: its extent, or `dyn`
template <index_t... Extents>
class Shape {
 public:
  static constexpr int rank = sizeof...(Extents);
  static constexpr int dynamic_count = static_cast<int>((0 + ... + (Extents == dyn ? 1 : 0)));
  static constexpr std::array<index_t, sizeof...(Extents) == 0 ? 1 : sizeof...(Extents)> extents{Extents...};
  static_assert(((Extents == dyn || Extents >= 0) && ...), "veneer::Shape: an extent must be dyn or at least 0");

  /// Constructs a shape of static extents; every `dyn` extent is 0.
  constexpr Shape() = default;

  /// Constructs a shape from the `dyn` extents, in order.
  /// \throws ShapeError when one is negative
  template <std::integral... Dynamic>
    requires(sizeof...(Dynamic) == dynamic_count && dynamic_count > 0)
  constexpr explicit Shape(Dynamic... dynamic) : dynamic_{{static_cast<index_t>(dynamic)...}} {
    if (((dynamic < 0) || ...)) throw ShapeError("veneer::Shape: an extent must be at least 0");
  }

  /// Converts a shape of the same rank. Implicit if no dynamic extent becomes static.
  /// \throws ShapeError when a `dyn` extent of `other` differs from the static one of this type
  template <index_t... Others>
    requires(sizeof...(Others) == sizeof...(Extents) && ((Extents == dyn || Others == dyn || Extents == Others) && ...))
  constexpr explicit(((Extents != dyn && Others == dyn) || ...)) Shape(const Shape<Others...>& other) {
    for (int axis = 0, slot = 0; axis < rank; ++axis) {
      if (extents[static_cast<std::size_t>(axis)] == dyn) {
        set(slot++, other[axis]);
      } else if (extents[static_cast<std::size_t>(axis)] != other[axis]) {
        throw ShapeError("veneer::Shape: the type has " + text(*this) + ", the value " + text(other));
      }
    }
  }

  /// Returns the extent of an axis; `axis` is from 0 to rank - 1.
  constexpr index_t operator[](int axis) const {
    const index_t fixed = extents[static_cast<std::size_t>(axis)];
    if constexpr (dynamic_count > 0) {
      if (fixed == dyn) {
        int slot = 0;
        for (int before = 0; before < axis; ++before) slot += extents[static_cast<std::size_t>(before)] == dyn ? 1 : 0;
        return dynamic_.value[static_cast<std::size_t>(slot)];
      }
    }
    return fixed;
  }

  /// Returns the number of elements: the product of all extents, 1 for rank 0.
  /// \throws ShapeError when it does not fit into index_t
  constexpr index_t count() const {
    index_t product = 1;
    for (int axis = 0; axis < rank; ++axis) {
      const index_t extent = (*this)[axis];
      if (extent != 0 && product > std::numeric_limits<index_t>::max() / extent) {
        throw ShapeError("veneer::Shape: the number of elements of " + text(*this) + " overflows");
      }
      product *= extent;
    }
    return product;
  }

  template <index_t... Others>
  friend constexpr bool operator==(const Shape& left, const Shape<Others...>& right) {
    if constexpr (sizeof...(Others) != sizeof...(Extents)) {
      return false;
    } else {
      for (int axis = 0; axis < rank; ++axis) {
        if (left[axis] != right[axis]) return false;
      }
      return true;
    }
  }

  /// Prints a shape as "(2, 64)".
  template <class Any>
  static std::string text(const Any& shape) {
    std::string out = "(";
    for (int axis = 0; axis < Any::rank; ++axis) out += (axis > 0 ? ", " : "") + std::to_string(shape[axis]);
    return out + ")";
  }

 private:
  constexpr void set([[maybe_unused]] int slot, [[maybe_unused]] index_t extent) {
    if constexpr (dynamic_count > 0) dynamic_.value[static_cast<std::size_t>(slot)] = extent;
  }

  [[no_unique_address]] detail::DynamicExtents<dynamic_count> dynamic_{};
};

/// Returns "(2, 64)", for messages.
template <index_t... Extents>
std::string to_string(const Shape<Extents...>& shape) {
  return Shape<Extents...>::text(shape);
}

namespace detail {
template <class T>
struct IsShape : std::false_type {};
template <index_t... Extents>
struct IsShape<Shape<Extents...>> : std::true_type {};
}  // namespace detail

template <class S>
concept ShapeLike = detail::IsShape<std::remove_cvref_t<S>>::value;

/// True if two extents may be equal: they are, or one is dynamic. A concept over values, so that compilers print them.
template <index_t Left, index_t Right>
concept SameExtent = Left == Right || Left == dyn || Right == dyn;

/// The more static of two extents that must agree.
template <index_t Left, index_t Right>
inline constexpr index_t unify = Left == dyn ? Right : Left;

/// The static extent of an axis; negative axes count from the end: extent_of<S, -1> is the last.
template <ShapeLike S, int Axis>
inline constexpr index_t extent_of =
    std::remove_cvref_t<S>::extents[static_cast<std::size_t>(Axis < 0 ? std::remove_cvref_t<S>::rank + Axis : Axis)];

namespace detail {
template <class Left, class Right>
struct UnifyShapes;
template <index_t... Left, index_t... Right>
struct UnifyShapes<Shape<Left...>, Shape<Right...>> {
  static_assert(sizeof...(Left) == sizeof...(Right), "veneer::unify_t: both shapes must have the same rank");
  using type = Shape<unify<Left, Right>...>;
};

template <int Rank>
struct AllDynamic;
template <>
struct AllDynamic<1> {
  using type = Shape<dyn>;
};
template <>
struct AllDynamic<2> {
  using type = Shape<dyn, dyn>;
};
template <>
struct AllDynamic<3> {
  using type = Shape<dyn, dyn, dyn>;
};
template <>
struct AllDynamic<4> {
  using type = Shape<dyn, dyn, dyn, dyn>;
};
}  // namespace detail

/// The shape type of two equal shapes with the static extents of both.
template <ShapeLike Left, ShapeLike Right>
using unify_t = typename detail::UnifyShapes<Left, Right>::type;

/// A shape of the given rank with only dynamic extents.
template <int Rank>
using dynamic_shape = typename detail::AllDynamic<Rank>::type;

/// Constructs a shape from the list of all its extents and checks the static ones.
/// \throws ShapeError when one differs
template <ShapeLike S, std::integral... Extents>
constexpr S shape_of(Extents... all) {
  static_assert(sizeof...(Extents) == S::rank, "veneer::shape_of: expected one extent per axis");
  return S(dynamic_shape<S::rank>(all...));
}

}  // namespace veneer
