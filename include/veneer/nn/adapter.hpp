// SPDX-License-Identifier: Apache-2.0
/// \file adapter.hpp
/// The seam. An adapter is a function (weight, x) -> y of a layer's frozen weight, with one law:
///
///   linear(x, adapter.merged(w)) == adapter(w, x)
///
/// The bias of a layer is added behind it; an adapter that changes that too has a merged_bias(b).
/// NoAdapter is linear itself. AdapterSlot<A, B, ...> is an adapter that starts as NoAdapter and may be filled at run
/// time with one
/// of the listed kinds: layers never ask whether they are adapted, attach() fills slots.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"

namespace veneer {

/// The frozen layer. An empty class: it costs nothing.
struct NoAdapter {
  auto operator()(const auto& w, const auto& x) const { return linear(x, w); }
  auto merged(const auto& w) const { return copy(decode(value_of(w))); }
  static constexpr auto fields = std::tuple<>{};
};

/// The frozen embedding.
struct NoEmbeddingAdapter {
  auto operator()(const auto& table, const auto& ids) const { return embedding(ids, table); }
  auto merged(const auto& table) const { return copy(decode(value_of(table))); }
  static constexpr auto fields = std::tuple<>{};
};

namespace detail {

/// An adapter that changes the bias of its layer too.
template <class A, class C>
concept ChangesBias = requires(const A& adapter, const C& b) { adapter.merged_bias(b); };

/// The bias of a layer in the compute type, beside y: on the tape of y, if y is on one.
template <class Y, class C>
auto bias_beside(const Y& y, const C& b) {
  if constexpr (!VariableLike<Y>) {
    return decode(value_of(b));
  } else if constexpr (ParameterLike<C>) {
    return on_tape(b, y.tape());
  } else {
    return y.tape().input(decode(b));
  }
}

/// y + b, or what the adapter makes of b.
template <class A, class Y, class C>
auto add_bias(const A& adapter, const Y& y, const C& b) {
  if constexpr (requires { adapter.add_bias(y, b); }) {
    return adapter.add_bias(y, b);  // a slot
  } else if constexpr (ChangesBias<A, decltype(bias_beside(y, b))>) {
    return add_row(y, adapter.merged_bias(bias_beside(y, b)));
  } else {
    return add_row(y, b);
  }
}

}  // namespace detail

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

  auto operator()(const auto& w, const auto& x) const {
    return with_held<0>(held_, [&](const auto& adapter) { return adapter(w, x); });
  }
  auto merged(const auto& w) const {
    return with_held<0>(held_, [&](const auto& adapter) { return adapter.merged(w); });
  }

  auto add_bias(const auto& y, const auto& b) const {
    return with_held<0>(held_, [&](const auto& adapter) { return detail::add_bias(adapter, y, b); });
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
  void look(const F& f) {
    with_held<0>(held_, f);
  }
  template <class F>
  void look(const F& f) const {
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
