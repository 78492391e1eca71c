// SPDX-License-Identifier: Apache-2.0
/// \file apply.hpp
/// apply(op, xs...) runs an op and, on a tape, records its pullback.
///
/// An op is a struct with
///   forward(xs...)                        on tensors; returns y, or Forward{y, kept} if pullbacks need more than y
///   pullback(Wrt<I>, dy, kept, xs...)     one overload per operand: the gradient with respect to operand I, or
///   pullbacks(wanted, dy, kept, xs...)    all at once, as a tuple, if they share work (NoGradient where not wanted)
///   reads(wanted)                         optional: which of (kept, xs...) the pullbacks read; the others are released
/// `kept` is y unless forward returns a Forward. Pullbacks use only tensors and verbs, so they run on every backend. A
/// gradient has the storage type of its operand, or is returned in its compute_t and rounded once by the tape. Operands
/// that are not values (a layout, a packed weight) are passed through and have no gradient.
#pragma once

#include <array>
#include <tuple>
#include <type_traits>
#include <utility>

#include "veneer/autograd/tape.hpp"

namespace veneer {

/// A tag for operand I: selects the gradient with respect to it.
template <int I>
struct Wrt {};

/// The entry of a tuple of gradients for a gradient that was not requested.
struct NoGradient {};

/// A result together with the values that its pullbacks need.
template <class Y, class Kept>
struct Forward {
  Y value;
  Kept kept;
};
template <class Y, class Kept>
Forward(Y, Kept) -> Forward<Y, Kept>;

/// The set of operands whose gradients are requested.
template <std::size_t N>
using RequiresGrad = std::array<bool, N>;

/// The set of values that pullbacks read, returned by Op::reads.
struct Reads {
  unsigned bits = 0;
  static constexpr Reads result() { return {1u}; }
  static constexpr Reads operand(int i) { return {2u << i}; }
  static constexpr Reads nothing() { return {0u}; }
  static constexpr Reads everything() { return {~0u}; }
  constexpr Reads operator|(Reads other) const { return {bits | other.bits}; }
  constexpr Reads when(bool condition) const { return condition ? *this : nothing(); }
  constexpr bool has(Reads part) const { return (bits & part.bits) != 0; }
};

/// True if X may require a gradient. This depends on the type only: no pullback is instantiated for a frozen operand.
template <class X>
concept Differentiable = ParameterLike<X> || (VariableLike<X> && Stored<typename std::remove_cvref_t<X>::scalar>);

namespace detail {

template <class X>
bool wants_gradient(const X& x) {
  if constexpr (ParameterLike<X>) {
    return true;
  } else if constexpr (VariableLike<X>) {
    return x.wanted();
  } else {
    return false;
  }
}

template <class X>
auto slot_of(const X& x) {
  if constexpr (VariableLike<X> || ParameterLike<X>) {
    return x.slot();
  } else {
    return NoGradient{};
  }
}

template <class X, class... Rest>
Tape& tape_of(const X& x, const Rest&... rest) {
  if constexpr (VariableLike<X>) {
    return x.tape();
  } else {
    return tape_of(rest...);
  }
}

/// Throws for an operand without values: a weight that was never assigned would be read at address zero.
template <class X>
void expect_values(const X& x) {
  if constexpr (ValueLike<X>) {
    if (!value_of(x) && x.shape().count() != 0)
      throw ArgumentError("veneer::apply(op, ...): an operand of shape " + to_string(x.shape()) + " has no values");
  }
}

/// Throws for a variable of another tape: its history would not be replayed, and its gradient would be incomplete.
template <class X>
void expect_on(const Tape& tape, const X& x) {
  if constexpr (VariableLike<X>) {
    expects(&x.tape() == &tape, "veneer::apply(op, ...): the operands are on two tapes; a step has one tape");
  }
}

template <class X>
X keep_if(bool read, const X& x) {
  if constexpr (TensorLike<X>) {
    return read ? x : x.shape_only();
  } else {
    return x;
  }
}

/// Adds to a gradient. The contribution has the storage type of its operand, or its compute_t, and is then
/// rounded here, once.
template <class Slot, class Gradient>
void contribute(Slot& slot, Gradient&& gradient) {
  using Given = std::remove_cvref_t<Gradient>;
  if constexpr (!std::is_same_v<Given, NoGradient>) {
    using Kept = std::remove_cvref_t<decltype(slot->gradient)>;
    using T = typename Kept::scalar;
    if constexpr (std::is_same_v<typename Given::scalar, T>) {
      slot->add(Kept(std::forward<Gradient>(gradient)));
    } else {
      static_assert(std::is_same_v<typename Given::scalar, compute_t<T>>,
                    "veneer::apply(op, ...): a gradient must have the storage of its operand or its compute_t");
      slot->add(Kept(convert<T>(gradient)));
    }
  }
}

/// The record of one op on the tape: operands and gradients; calling it propagates the gradient of the result.
template <class Op, class OutputSlot, class Kept, class Values, class Slots, class Mask, std::size_t N>
struct Entry {
  Op op;
  OutputSlot output;
  RequiresGrad<N> wanted;
  Kept kept;
  Values values;  // tuple of tensors and others
  Slots slots;    // tuple of gradients, NoGradient if the type is frozen

  void operator()() {
    if (!output->gradient) return;  // no later op contributed a gradient
    const auto dy = std::move(output->gradient);
    output->gradient = {};
    accumulate(dy, std::make_index_sequence<N>{});
  }

  template <class Dy, std::size_t... I>
  void accumulate(const Dy& dy, std::index_sequence<I...>) {
    if constexpr (requires { op.pullbacks(wanted, dy, kept, std::get<I>(values)...); }) {
      auto gradients = op.pullbacks(wanted, dy, kept, std::get<I>(values)...);
      (add_given<I>(std::get<I>(gradients)), ...);
    } else {
      (add_computed<I>(dy), ...);
    }
  }

  template <std::size_t I, class Gradient>
  void add_given(Gradient& gradient) {
    if constexpr (std::tuple_element_t<I, Mask>::value) {
      if (std::get<I>(wanted)) contribute(std::get<I>(slots), std::move(gradient));
    }
  }

  template <std::size_t I, class Dy>
  void add_computed(const Dy& dy) {
    if constexpr (std::tuple_element_t<I, Mask>::value) {
      if (std::get<I>(wanted)) {
        contribute(
            std::get<I>(slots),
            std::apply([&](const auto&... xs) { return op.pullback(Wrt<static_cast<int>(I)>{}, dy, kept, xs...); },
                       values));
      }
    }
  }
};

template <std::size_t N, class Op>
constexpr Reads reads_of(const RequiresGrad<N>& wanted) {
  if constexpr (requires { Op::reads(wanted); }) {
    return Op::reads(wanted);
  } else {
    return Reads::everything();
  }
}

template <class Result>
struct Split {  // forward returned y alone: pullbacks get y
  static const Result& value(const Result& result) { return result; }
  static const Result& kept(const Result& result) { return result; }
};
template <class Y, class Kept>
struct Split<Forward<Y, Kept>> {
  static const Y& value(const Forward<Y, Kept>& result) { return result.value; }
  static const Kept& kept(const Forward<Y, Kept>& result) { return result.kept; }
};

template <class Op, class Result, std::size_t... I, class... Xs>
auto record(const Op& op, const Result& result, std::index_sequence<I...>, const Xs&... xs) {
  constexpr std::size_t n = sizeof...(Xs);
  const auto& y = Split<Result>::value(result);
  using Y = std::remove_cvref_t<decltype(y)>;
  Tape& tape = tape_of(xs...);
  (expect_on(tape, xs), ...);
  const RequiresGrad<n> wanted{(Differentiable<Xs> && wants_gradient(xs))...};
  const bool any = tape.recording() && (wanted[I] || ...);
  Variable<typename Y::scalar, typename Y::shape_type, typename Y::backend> out(y, tape, any);
  if constexpr ((Differentiable<Xs> || ...)) {
    if (any) {
      if constexpr ((ParameterLike<Xs> || ...)) tape.note_parameters();
      const Reads reads = reads_of<n, Op>(wanted);
      auto kept = keep_if(reads.has(Reads::result()), Split<Result>::kept(result));
      auto values = std::tuple{keep_if(reads.has(Reads::operand(static_cast<int>(I))), value_of(xs))...};
      auto slots = std::tuple{slot_of(xs)...};
      using Mask = std::tuple<std::bool_constant<Differentiable<Xs>>...>;
      tape.record(
          Entry<Op, std::remove_cvref_t<decltype(out.slot())>, decltype(kept), decltype(values), decltype(slots), Mask,
                n>{op, out.slot(), wanted, std::move(kept), std::move(values), std::move(slots)});
    }
  }
  return out;
}

}  // namespace detail

/// Runs `op`. The result is a Tensor if no operand is a Variable, else a Variable on their tape.
/// \throws ArgumentError when an operand has no values, or when the operands are on two tapes
template <class Op, class... Xs>
auto apply(const Op& op, const Xs&... xs) {
  static_assert((VariableLike<Xs> || ...) || (TensorLike<Xs> || ...) || !(ParameterLike<Xs> || ...),
                "veneer::apply(op, parameter): parameters alone are on no tape and their gradient would be lost; use "
                "on_tape(parameter, tape)");
  (detail::expect_values(xs), ...);
  auto result = op.forward(value_of(xs)...);
  if constexpr ((VariableLike<Xs> || ...)) {
    return detail::record(op, result, std::index_sequence_for<Xs...>{}, xs...);
  } else {
    return detail::Split<decltype(result)>::value(result);
  }
}

}  // namespace veneer
