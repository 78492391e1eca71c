// SPDX-License-Identifier: Apache-2.0
/// \file checkpoint.hpp
/// checkpoint(f, x): computes f(x) and keeps x only. Intermediate values of f are discarded and recomputed in
/// the backward pass.
///
/// Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
/// f takes a variable and returns one; parameters used in it receive their gradients. Dropout in f draws the same
/// masks both times.
#pragma once

#include <utility>

#include "veneer/autograd/tape.hpp"

namespace veneer {

/// Returns f(x); on a tensor nothing is recorded. `f` is copied, and must remain callable until the backward pass:
/// capture models by reference.
template <class F, ValueLike X>
auto checkpoint(F f, const X& x) {
  static_assert(!ParameterLike<X>,
                "veneer::checkpoint(f, x): a parameter is on no tape and its gradient would be lost; use "
                "on_tape(parameter, tape)");
  if constexpr (!VariableLike<X>) {
    return f(x);
  } else {
    Tape& tape = x.tape();
    if (!tape.recording()) return f(x);
    const RandomStream randomness = tape.randomness();
    const std::uint64_t drawn = tape.drawn();
    Tape outer = Tape::forgetful(randomness, drawn);
    const auto y = f(outer.input(x.value())).value();
    tape.skip_to(outer.drawn());

    using Y = std::remove_cvref_t<decltype(y)>;
    Variable<typename Y::scalar, typename Y::shape_type, typename Y::backend> out(y, tape, true);
    tape.record([f = std::move(f), input = x.value(), before = x.slot(), after = out.slot(), randomness, drawn] {
      if (!after->gradient) return;
      Tape inner = Tape::replaying(randomness, drawn);
      const auto again = before ? inner.variable(input) : inner.input(input);
      const auto result = f(again);
      if (!result.wanted()) return;
      result.slot()->add(std::move(after->gradient));
      after->gradient = {};
      inner.replay();
      if (before && again.gradient()) before->add(again.gradient());
    });
    return out;
  }
}

}  // namespace veneer
