// SPDX-License-Identifier: Apache-2.0
/// \file rms_norm.hpp
/// RmsNorm: the layer of ops/rms_norm.hpp with its weight.    weight: (features)
#pragma once

#include <tuple>

#include "veneer/nn/module.hpp"
#include "veneer/nn/weight_slot.hpp"
#include "veneer/ops/rms_norm.hpp"

namespace veneer {

template <class Weight>
struct RmsNorm {
  Weight weight{};  // (features), or (d) if it is applied to every head
  double epsilon = 1e-6;
  double offset = 0.0;  // added to the weight: 1 in Gemma
  bool absent = false;  // the model has no such norm: the input is returned

  /// Normalises x: (tokens, groups * features).
  auto operator()(const auto& x) const {
    using Y = decltype(normalised(x));
    return absent ? Y(x) : normalised(x);
  }

  static constexpr auto fields = std::tuple{field("weight", &RmsNorm::weight)};

 private:
  auto normalised(const auto& x) const {
    return with_weight(weight, [&](const auto& w) { return grouped_rms_norm(x, w, epsilon, offset); });
  }
};

}  // namespace veneer
