// SPDX-License-Identifier: Apache-2.0
/// \file checked.hpp
/// Overflow-checked size arithmetic: sums, products and alignments of numbers that come from a file.
///
///     Checked<std::size_t> bytes = 1;
///     for (const std::size_t extent : shape) bytes *= extent;     // one test at the end covers the whole chain
///     if (!bytes.ok()) ...                                        // or bytes.value(), which throws OverflowError
///
/// An out-of-range result marks the value as overflowed, and overflow propagates. An example are the extents 4194305 *
/// 4194305 * 211106198978564, whose product is 4 modulo 2^64.
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "veneer/core/error.hpp"

namespace veneer {

/// A size or a count that does not fit its type.
struct OverflowError : ArgumentError {
  using ArgumentError::ArgumentError;
};

/// An unsigned number, or an overflow.
template <std::unsigned_integral T>
class Checked {
 public:
  constexpr Checked(T value) : value_(value) {}  // NOLINT(google-explicit-constructor): used like a number

  /// Returns an overflowed value.
  static constexpr Checked overflow() {
    Checked spoilt(0);
    spoilt.ok_ = false;
    return spoilt;
  }

  /// Converts any integer; negative ones and those beyond `T` are overflows.
  template <std::integral From>
  static constexpr Checked from(From value) {
    if (!std::in_range<T>(value)) return overflow();
    return Checked(static_cast<T>(value));
  }

  constexpr bool ok() const { return ok_; }

  /// Returns the number. Throws `OverflowError` after an overflow; `what` names the quantity.
  T value(const char* what = "a size") const {
    if (!ok_)
      throw OverflowError(std::string("veneer: ") + what + " does not fit " + std::to_string(sizeof(T) * 8) + " bits");
    return value_;
  }

  constexpr std::optional<T> get() const { return ok_ ? std::optional<T>(value_) : std::nullopt; }

  friend constexpr Checked operator+(Checked a, Checked b) {
    if (!a.ok_ || !b.ok_ || b.value_ > std::numeric_limits<T>::max() - a.value_) return overflow();
    return Checked(static_cast<T>(a.value_ + b.value_));
  }
  friend constexpr Checked operator-(Checked a, Checked b) {
    if (!a.ok_ || !b.ok_ || b.value_ > a.value_) return overflow();
    return Checked(static_cast<T>(a.value_ - b.value_));
  }
  friend constexpr Checked operator*(Checked a, Checked b) {
    if (!a.ok_ || !b.ok_ || (a.value_ != 0 && b.value_ > std::numeric_limits<T>::max() / a.value_)) return overflow();
    return Checked(static_cast<T>(a.value_ * b.value_));
  }
  constexpr Checked& operator+=(Checked other) { return *this = *this + other; }
  constexpr Checked& operator-=(Checked other) { return *this = *this - other; }
  constexpr Checked& operator*=(Checked other) { return *this = *this * other; }

  /// Returns the number rounded up to a multiple of `alignment`. An alignment of 0 is an overflow.
  constexpr Checked align_up(T alignment) const {
    if (!ok_ || alignment == 0) return overflow();
    const T rest = static_cast<T>(value_ % alignment);
    return rest == 0 ? *this : *this + Checked(static_cast<T>(alignment - rest));
  }

 private:
  T value_;
  bool ok_ = true;
};

/// Returns `value` as a `To`. Throws `OverflowError` if the cast would change it.
template <std::integral To, std::integral From>
To checked_cast(From value, const char* what = "a number") {
  if (!std::in_range<To>(value)) {
    throw OverflowError(std::string("veneer: ") + what + " is " + std::to_string(value) + ", which is out of range");
  }
  return static_cast<To>(value);
}

}  // namespace veneer
