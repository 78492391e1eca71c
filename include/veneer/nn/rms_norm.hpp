// SPDX-License-Identifier: Apache-2.0
/// \file rms_norm.hpp
/// RmsNorm: the layer that holds the gains of ops/rms_norm.hpp.    weight: (features)
#pragma once

#include <tuple>

#include "veneer/nn/module.hpp"
#include "veneer/nn/weight_slot.hpp"
#include "veneer/ops/rms_norm.hpp"

namespace veneer {

template <class Weight>
struct RmsNorm {
  Weight weight{};  // (features)
  double epsilon = 1e-6;

  auto operator()(const auto& x) const {
    return with_weight(weight, [&](const auto& w) { return rms_norm(x, w, epsilon); });
  }

  static constexpr auto fields = std::tuple{field("weight", &RmsNorm::weight)};
};

}  // namespace veneer
