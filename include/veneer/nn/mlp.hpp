// SPDX-License-Identifier: Apache-2.0
/// \file mlp.hpp
/// GatedMlp: y = down_proj(f(gate_proj(x)) * up_proj(x)),   f: silu, or GELU in its tanh form.
///
///   x, y: (tokens, hidden)   gate_proj, up_proj: (intermediate, hidden)   down_proj: (hidden, intermediate)
///   gate_up_proj: (2 * intermediate, hidden), replaces gate_proj and up_proj if a family stores them as one
/// Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, eq. 6.
#pragma once

#include <tuple>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/llama_config.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

template <class InProjection, class OutProjection, class FusedProjection = InProjection>
struct GatedMlp {
  InProjection gate_proj, up_proj;
  OutProjection down_proj;
  FusedProjection gate_up_proj{{}, true};
  Activation activation = Activation::silu;

  auto operator()(const auto& x) const {
    using Inner = decltype(up_proj(x));
    if (gate_up_proj.absent) return down_proj(gated(gate_proj(x), up_proj(x)));
    const auto both = gate_up_proj(x);
    const index_t inner = both.extent(1) / 2;
    return down_proj(gated(Inner(column_range(both, 0, inner)), Inner(column_range(both, inner, 2 * inner))));
  }

  static constexpr auto fields =
      std::tuple{field("gate_proj", &GatedMlp::gate_proj), field("up_proj", &GatedMlp::up_proj),
                 field("gate_up_proj", &GatedMlp::gate_up_proj), field("down_proj", &GatedMlp::down_proj)};

 private:
  template <class Y>
  Y gated(const Y& gate, const Y& up) const {
    return activation == Activation::silu ? swiglu(gate, up) : geglu(gate, up);
  }
};

}  // namespace veneer
