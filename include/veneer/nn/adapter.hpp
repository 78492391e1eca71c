// SPDX-License-Identifier: Apache-2.0
/// \file adapter.hpp
/// The seam. An adapter is a function (weight, x) -> y of a layer's frozen weight, with one law:
///
///   linear(x, adapter.merged(w)) == adapter(w, x)
///
/// The bias of a layer is added behind it, unless the adapter has an add_bias(y, b), and a merged_bias(b) beside it.
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
template <class A, class Y, class C>
concept ShapesBias = requires(const A& adapter, const Y& y, const C& b) { adapter.add_bias(y, b); };

/// y + b, or what the adapter makes of b.
template <class A, class Y, class C>
auto add_bias(const A& adapter, const Y& y, const C& b) {
  if constexpr (ShapesBias<A, Y, C>) {
    return adapter.add_bias(y, b);
  } else {
    return add_row(y, b);
  }
}

}  // namespace detail

/// \tparam None  what an unfilled slot does
template <class None, class... Adapters>
class BasicAdapterSlot {
 public:
  BasicAdapterSlot() = default;
  template <class A>
    requires(std::is_same_v<std::remove_cvref_t<A>, Adapters> || ...)
  BasicAdapterSlot(A&& adapter) : held_(std::forward<A>(adapter)) {}

  /// Whether an adapter is in the slot.
  explicit operator bool() const { return held_.index() != 0; }
  void clear() { held_ = None{}; }

  auto operator()(const auto& w, const auto& x) const {
    return std::visit([&](const auto& adapter) { return adapter(w, x); }, held_);
  }
  auto merged(const auto& w) const {
    return std::visit([&](const auto& adapter) { return adapter.merged(w); }, held_);
  }

  auto add_bias(const auto& y, const auto& b) const {
    return std::visit([&](const auto& adapter) { return detail::add_bias(adapter, y, b); }, held_);
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
    std::visit([&](auto& adapter) { f(adapter); }, held_);
  }
  template <class F>
  void look(const F& f) const {
    std::visit([&](const auto& adapter) { f(adapter); }, held_);
  }

 private:
  std::variant<None, Adapters...> held_;
};

/// A slot of a linear layer.
template <class... Adapters>
using AdapterSlot = BasicAdapterSlot<NoAdapter, Adapters...>;

/// A slot of an embedding.
template <class... Adapters>
using EmbeddingAdapterSlot = BasicAdapterSlot<NoEmbeddingAdapter, Adapters...>;

}  // namespace veneer
