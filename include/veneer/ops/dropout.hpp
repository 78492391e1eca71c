// SPDX-License-Identifier: Apache-2.0
/// \file dropout.hpp
/// dropout(x, p): on a tape, each element is 0 with probability p and x / (1 - p) otherwise; on a tensor, x itself.
///
/// Srivastava et al., "Dropout", JMLR 15 (2014), in the inverted form. The mask is never stored: it is element i of a
/// random stream, and the backward pass recomputes it. There is no training mode: dropout applies to Variables.
#pragma once

#include "veneer/autograd/apply.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

namespace ops {

template <Stored T>
struct DropoutValue {
  const T* x;
  RandomStream source;
  float probability;
  compute_t<T> kept_scale;
  VENEER_HD compute_t<T> operator()(index_t i) const {
    return uniform_at(source, static_cast<std::uint64_t>(i)) < probability ? compute_t<T>(0) : x[i] * kept_scale;
  }
};

struct Dropout {
  double probability = 0.0;
  RandomStream source{};

  template <TensorLike X>
  X forward(const X& x) const {
    using T = typename X::scalar;
    X y(x.shape(), x.device());
    const double kept_scale = 1.0 / (1.0 - probability);
    map(y, DropoutValue<T>{x.data(), source, static_cast<float>(probability), static_cast<compute_t<T>>(kept_scale)},
        32);
    return y;
  }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const { return forward(dy); }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

}  // namespace ops

/// \param probability  of a zero, in [0, 1)
/// \throws ArgumentError outside that range
template <ValueLike X>
auto dropout(const X& x, double probability) {
  if (!(probability >= 0.0 && probability < 1.0)) {
    throw ArgumentError("veneer::dropout(x, probability): probability must be in [0, 1); it is " +
                        std::to_string(probability));
  }
  if constexpr (VariableLike<X>) {
    return probability == 0.0 ? x : apply(ops::Dropout{probability, x.tape().draw()}, x);
  } else {
    return x;
  }
}

}  // namespace veneer
