// SPDX-License-Identifier: Apache-2.0
/// \file mlp.hpp
/// GatedMlp: y = down_proj(silu(gate_proj(x)) * up_proj(x)).
///
///   x, y: (tokens, hidden)   gate_proj, up_proj: (intermediate, hidden)   down_proj: (hidden, intermediate)
/// Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, eq. 6.
#pragma once

#include <tuple>

#include "veneer/nn/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

template <class InProjection, class OutProjection>
struct GatedMlp {
  InProjection gate_proj, up_proj;
  OutProjection down_proj;

  auto operator()(const auto& x) const { return down_proj(swiglu(gate_proj(x), up_proj(x))); }

  static constexpr auto fields =
      std::tuple{field("gate_proj", &GatedMlp::gate_proj), field("up_proj", &GatedMlp::up_proj),
                 field("down_proj", &GatedMlp::down_proj)};
};

}  // namespace veneer
