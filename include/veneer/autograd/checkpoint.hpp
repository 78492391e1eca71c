// SPDX-License-Identifier: Apache-2.0
/// \file checkpoint.hpp
/// Two ways to compute f(x) without keeping the intermediate values of f on the tape.
///
///   checkpoint(f, x)           keeps x, and recomputes f(x) in the backward pass
///   gradient_in_forward(f, x)  f(x) is one value: keeps its gradient, computed in the forward pass
///
/// Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174; the second as in Hsu et al., "Liger
/// Kernel", arXiv:2410.10989, section 3.2. f takes a variable and returns one; parameters used in
/// it receive their gradients. Dropout in f draws the same masks both times.
#pragma once

#include <utility>

#include "veneer/autograd/tape.hpp"

namespace veneer {

namespace ops {
/// Multiplies by one value of the device.
template <Stored T, Real C>
struct TimesValueBody {
  T* x;
  const C* factor;
  VENEER_HD void operator()(index_t i) const { x[i] = static_cast<T>(x[i] * static_cast<compute_t<T>>(*factor)); }
};
}  // namespace ops

namespace detail {

/// Records f(x) = out, to be recomputed in the backward pass.
template <class F, class X, class Out>
void record_checkpoint(Tape& tape, F f, const X& x, const Out& out, std::uint64_t drawn) {
  tape.record([f = std::move(f), input = x.value(), before = x.slot(), after = out.slot(),
               randomness = tape.randomness(), drawn] {
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
}

}  // namespace detail

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
    detail::record_checkpoint(tape, std::move(f), x, out, drawn);
    return out;
  }
}

/// Returns f(x). The gradient is that of f(x) times the incoming one. If f uses parameters, their gradients depend on
/// the incoming one, and this is checkpoint(f, x).
/// \throws ShapeError when f(x) has more than one value
template <class F, ValueLike X>
auto gradient_in_forward(F f, const X& x) {
  if constexpr (!VariableLike<X>) {
    return f(x);
  } else {
    Tape& tape = x.tape();
    if (!tape.recording()) return f(x);
    const std::uint64_t drawn = tape.drawn();
    Tape inner = Tape::replaying(tape.randomness(), drawn);
    const auto again = x.wanted() ? inner.variable(x.value()) : inner.input(x.value());
    auto result = f(again);
    tape.skip_to(inner.drawn());

    using Y = decltype(result);
    Y out(result.value(), tape, result.wanted());
    if (inner.uses_parameters()) {
      detail::record_checkpoint(tape, std::move(f), x, out, drawn);
    } else if (result.wanted()) {
      backward(result);
      tape.record([gradient = again.gradient(), before = x.slot(), after = out.slot()]() mutable {
        if (!after->gradient || !gradient) return;
        if (!gradient.unique()) gradient = copy(gradient);
        using T = typename X::scalar;
        using C = typename Y::scalar;
        gradient.device().for_each(gradient.count(),
                                   ops::TimesValueBody<T, C>{gradient.data(), after->gradient.data()});
        before->add(std::move(gradient));
      });
    }
    return out;
  }
}

}  // namespace veneer
