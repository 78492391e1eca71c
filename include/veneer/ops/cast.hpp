// SPDX-License-Identifier: Apache-2.0
/// \file cast.hpp
/// cast<To>(x): x in another storage type, rounded to nearest even if that is narrower.
///
///   y = round(x)   dx = round(dy), in the storage type of x
#pragma once

#include "veneer/autograd/apply.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

namespace ops {

template <Stored To>
struct Cast {
  auto forward(const auto& x) const { return convert<To>(x); }
  template <TensorLike X>
  auto pullback(Wrt<0>, const auto& dy, const auto&, const X&) const {
    return convert<typename X::scalar>(dy);
  }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

}  // namespace ops

/// Returns x in another storage type; x itself if it already has this type.
template <Stored To, ValueLike X>
auto cast(const X& x) {
  if constexpr (std::same_as<To, typename X::scalar>) {
    return x;
  } else {
    return apply(ops::Cast<To>{}, x);
  }
}

}  // namespace veneer
