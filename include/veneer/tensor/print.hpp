// SPDX-License-Identifier: Apache-2.0
/// \file print.hpp
/// Prints tensors in readable form, for users and for the messages of failed tests.
#pragma once

#include <ostream>

#include "veneer/tensor/tensor.hpp"

namespace veneer {

/// Prints element type, shape and the leading elements: "float32 (2, 3) [1, 2, 3, ...]".
template <Scalar T, ShapeLike S, Backend B>
std::ostream& operator<<(std::ostream& out, const Tensor<T, S, B>& x) {
  constexpr std::size_t shown = 12;
  out << scalar_name<T>() << ' ' << to_string(x.shape());
  if (!x) return out << " without values";
  out << " [";
  const std::vector<T> values = to_host(x);
  for (std::size_t i = 0; i < values.size() && i < shown; ++i) {
    if (i > 0) out << ", ";
    if constexpr (std::is_integral_v<T> || std::is_same_v<T, double>) {
      out << +values[i];  // prints a byte as a number
    } else {
      out << static_cast<float>(values[i]);
    }
  }
  return out << (values.size() > shown ? ", ...]" : "]");
}

}  // namespace veneer
