// SPDX-License-Identifier: Apache-2.0
/// \file observer.hpp
/// InputObserver: the frozen layer y = w x, which passes x to a callback for statistics of the inputs.
#pragma once

#include <functional>

#include "veneer/nn/adapter.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct InputObserver {
  std::function<void(const Matrix<T, B>&)> seen{};  // x: (tokens, in)

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    if (seen) seen(Matrix<T, B>(convert<T>(value_of(x))));
    return NoAdapter{}(w, b, x);
  }
  auto merged(const auto& w, const auto& b) const { return NoAdapter{}.merged(w, b); }
  static constexpr auto fields = std::tuple<>{};
};

}  // namespace veneer
