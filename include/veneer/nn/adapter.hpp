// SPDX-License-Identifier: Apache-2.0
/// \file adapter.hpp
/// An adapter is a function (weight, bias, x) -> y of a layer's frozen weight and bias, with one law:
///
///   adapter(w, b, x) == linear(x, w') + b'      {w', b'} = adapter.merged(w, b)
///
/// w: (out, in)   b: (out), NoBias, or without values where the layer has none   x: (tokens, in)
/// NoAdapter is the frozen layer itself. AdapterSlot<A, B, ...> starts as NoAdapter and may be filled at run time with
/// one of the listed adapters: layers do not ask whether they are adapted, attach() fills slots.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "veneer/autograd/tape.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

/// The bias of a layer that has none.
struct NoBias {
  explicit operator bool() const { return false; }
};

/// y + b; y where b is NoBias or has no values.    y: (tokens, out)   b: (out)
template <class Y, class C>
Y add_bias(const Y& y, const C& b) {
  if constexpr (!std::is_same_v<C, NoBias>) {
    if (value_of(b)) return Y(add_row(y, b));
  }
  return y;
}

/// A parameter next to x: a variable on the tape of x if x is on one, else its value.
template <class X, ParameterLike P>
auto parameter_for(const X& x, const P& parameter) {
  if constexpr (VariableLike<X>) {
    return on_tape(parameter, x.tape());
  } else {
    return parameter.value();
  }
}

/// A weight and a bias: what an adapter merges into, or the change of both.
template <class W, class C>
struct Affine {
  W weight;  // (out, in)
  C bias;    // (out), without values where there is none
};
template <class W, class C>
Affine(W, C) -> Affine<W, C>;

/// The sum of two biases, of which either may have no values.    (out)
template <class C, TensorLike X>
auto sum_of_biases(const C& b, const X& change) {
  if constexpr (std::is_same_v<C, NoBias>) {
    return change;
  } else {
    return !change ? b : b ? C(add(b, change)) : C(change);
  }
}

/// The frozen layer. An empty class: it costs nothing.
struct NoAdapter {
  auto operator()(const auto& w, const auto& b, const auto& x) const { return add_bias(linear(x, w), b); }
  auto merged(const auto& w, const auto& b) const { return Affine{copy(decode(value_of(w))), b}; }
  static constexpr auto fields = std::tuple<>{};
};

/// The frozen embedding. Its bias is NoBias.
struct NoEmbeddingAdapter {
  auto operator()(const auto& table, NoBias, const auto& ids) const { return embedding(ids, table); }
  auto merged(const auto& table, const auto& b) const { return Affine{copy(decode(value_of(table))), b}; }
  static constexpr auto fields = std::tuple<>{};
};

/// \tparam None  what an unfilled slot does
template <class None, class... Adapters>
class BasicAdapterSlot {
 public:
  using Unfilled = None;  // what the slot does while it is empty
  using held_types = std::tuple<None, Adapters...>;

  BasicAdapterSlot() = default;
  template <class A>
    requires(std::is_same_v<std::remove_cvref_t<A>, Adapters> || ...)
  BasicAdapterSlot(A&& adapter) : held_(std::forward<A>(adapter)) {}

  /// Whether an adapter is in the slot.
  explicit operator bool() const { return held_.index() != 0; }
  void clear() { held_ = None{}; }

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    return with_held<0>(held_, [&](const auto& adapter) { return adapter(w, b, x); });
  }
  auto merged(const auto& w, const auto& b) const {
    return with_held<0>(held_, [&](const auto& adapter) { return adapter.merged(w, b); });
  }

  template <class A>
  A* get() {
    return std::get_if<A>(&held_);
  }
  template <class A>
  const A* get() const {
    return std::get_if<A>(&held_);
  }

  template <class F>
  void visit_content(const F& f) {
    with_held<0>(held_, f);
  }
  template <class F>
  void visit_content(const F& f) const {
    with_held<0>(held_, f);
  }

 private:
  /// f of what is held, as std::visit gives it, at a fifth of the functions to compile.
  template <std::size_t I>
  static auto with_held(auto& held, const auto& f) {
    if (auto* adapter = std::get_if<I>(&held)) return f(*adapter);
    if constexpr (I < sizeof...(Adapters)) return with_held<I + 1>(held, f);
    throw std::bad_variant_access();
  }

  std::variant<None, Adapters...> held_;
};

/// A slot of a linear layer.
template <class... Adapters>
using AdapterSlot = BasicAdapterSlot<NoAdapter, Adapters...>;

/// A slot of an embedding.
template <class... Adapters>
using EmbeddingAdapterSlot = BasicAdapterSlot<NoEmbeddingAdapter, Adapters...>;

}  // namespace veneer
