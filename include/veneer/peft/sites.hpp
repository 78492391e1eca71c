// SPDX-License-Identifier: Apache-2.0
/// \file sites.hpp
/// sites(model): the layers of a model that can be adapted, a flat list of one type, made from `fields`.
///
///   for (const auto& site : sites(model))
///     if (site->kind == ModuleKind::linear) std::cout << site->name << ' ' << to_string(site->shape) << '\n';
///
/// A site refers to a layer with a weight and an adapter slot, whatever the layer's type. Its functions are compiled
/// once per type of layers, and loops over sites (attach, merge, convert, export) once per scalar and backend.
/// A site is valid while the model exists and is neither moved nor resized.
#pragma once

#include <any>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/nn/linear.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/peft/init/first_factors.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/module_choice.hpp"

namespace veneer {

/// \tparam T  what the layer computes in: float, or double
template <Real T, Backend B>
class Site {
 public:
  using scalar = T;
  using backend = B;
  using Weight = WeightSlot<T, Shape<dyn, dyn>, B>;
  using Bias = WeightSlot<T, Shape<dyn>, B>;
  using Stored = StoredWeight<T, Shape<dyn, dyn>, B>;
  using Change = Affine<Matrix<T, B>, Vector<T, B>>;

  std::string name;                // "model.layers.0.self_attn.q_proj"
  ModuleKind kind;                 // linear, embedding or output_head
  Shape<dyn, dyn> shape;           // (out, in); of an embedding (vocabulary, features)
  bool takes_any_storage = false;  // whether the layer's weight is a WeightSlot

  virtual ~Site() = default;

  /// Handles on the weight and the bias; empty where the layer has none, as a tied head.
  virtual Weight weight() const = 0;
  virtual Bias bias() const = 0;
  /// Replaces the weight or the bias. The layer keeps its type: one that is no WeightSlot takes its own storage only.
  virtual void set_weight(const Weight& weight) = 0;
  virtual void set_bias(const Bias& bias) = 0;
  /// The device of the weight, or the default one.
  B device() const {
    const Weight w = weight();
    return w ? w.select_stored([](const auto& stored) -> B { return value_of(stored).device(); }) : B{};
  }

  /// Whether an adapter is in the slot.
  virtual bool adapted() const = 0;
  /// A copy of the adapter in the slot: handles. Empty where there is none.
  virtual std::any adapter() const = 0;
  /// Whether the slot takes adapters of this type.
  virtual bool takes(const std::any& adapter) const = 0;
  /// The number of values that train in an adapter that the slot takes.
  virtual index_t parameters(const std::any& adapter) const = 0;
  /// Fills the slot with an adapter that it takes.
  virtual void place(const std::any& adapter) = 0;
  virtual void clear() = 0;

  /// The adapter's change as one low-rank term, if it is one.
  virtual std::optional<LowRankFactors<T, B>> factors() const = 0;
  /// What the adapter adds to weight and bias, if it adds.
  virtual std::optional<Change> delta() const = 0;
  /// The adapter's law.
  virtual Change merged(const Stored& weight, const Vector<T, B>& bias) const = 0;
  /// Whether the adapter borrows its values from that of another layer, as a tied head does.
  virtual bool follows() const = 0;

  /// The low-rank part of the adapter: LoRA, or the direction of DoRA.
  struct LowRankPart {
    Matrix<T, B> down, up;
    double scaling = 1.0;
    TakenOut<T, B>* taken = nullptr;  // null: there is no such part
  };
  virtual LowRankPart low_rank() = 0;
  /// Replaces its parameters by new ones of these values.
  virtual void replace_factors(const Matrix<T, B>& down, const Matrix<T, B>& up) = 0;

 protected:
  Site(std::string of, ModuleKind what, Shape<dyn, dyn> extents, bool any_storage)
      : name(std::move(of)), kind(what), shape(extents), takes_any_storage(any_storage) {}
};

namespace detail {

template <class M>
concept WeightedModule = Module<M> && requires(M& layer) { layer.weight; };

template <class M>
concept AdaptableModule = WeightedModule<M> && requires(M& layer) { layer.adapter; };

template <class M>
concept BiasedModule = requires(const M& layer) { layer.bias.shape(); };

/// A layer whose slot is filled at run time.
template <class M>
concept SlottedModule = AdaptableModule<M> && requires(M& layer) { layer.adapter.clear(); };

template <class A>
concept EmbeddingSlot = std::is_same_v<typename std::remove_cvref_t<A>::Unfilled, NoEmbeddingAdapter>;

/// An adapter that adds to the weight and the bias.
template <class A>
concept AddsDelta = requires(const A& adapter) { adapter.delta(); };

/// An adapter that may follow that of another layer.
template <class A>
concept FollowsAnother = requires(const A& adapter) { adapter.follows(); };

/// A model whose head may share the weight of its embedding.
template <class M>
concept HasHead = requires(M& model) {
  model.output_head();
  model.tied_shape();
  model.untie();
};

/// Calls f(low_rank) for an adapter that has A and B, or for the direction of DoRA.
template <class Adapter, class F>
void visit_factors(Adapter& adapter, const F& f) {
  if constexpr (requires { adapter.down, adapter.up, adapter.taken; }) {
    f(adapter);
  } else if constexpr (requires { adapter.direction.down, adapter.direction.up, adapter.direction.taken; }) {
    f(adapter.direction);
  }
}

/// A weight of a layer as a slot of handles, and back.
template <class Slot, class W>
Slot as_slot(const W& weight) {
  if constexpr (std::is_same_v<Slot, W>) {
    return weight;
  } else {
    const bool nothing = Slot::shape_type::rank == 1 ? !present(weight) : weight.shape().count() == 0;
    return nothing ? Slot() : Slot(weight);
  }
}
template <class W, class Slot>
void assign_slot(W& weight, const Slot& values) {
  if constexpr (std::is_same_v<Slot, W>) {
    weight = values;
  } else {
    values.select_stored([&]<class Kept>(const Kept& kept) {
      if constexpr (std::is_constructible_v<W, const Kept&>) {
        weight = W(kept);
      } else {
        throw ArgumentError("veneer::Site: the type of a layer's weight fixes its storage, and this is another");
      }
    });
  }
}

template <class Layer>
using layer_scalar = compute_t<typename std::remove_cvref_t<decltype(std::declval<Layer&>().weight)>::scalar>;
template <class Layer>
using layer_backend = typename std::remove_cvref_t<decltype(std::declval<Layer&>().weight)>::backend;

template <class Layer>
class SiteOf final : public Site<layer_scalar<Layer>, layer_backend<Layer>> {
 public:
  using T = layer_scalar<Layer>;
  using B = layer_backend<Layer>;
  using Base = Site<T, B>;
  using typename Base::Bias;
  using typename Base::Change;
  using typename Base::LowRankPart;
  using typename Base::Stored;
  using typename Base::Weight;

  SiteOf(std::string of, ModuleKind what, Shape<dyn, dyn> extents, Layer& layer)
      : Base(std::move(of), what, extents, WeightSlotLike<decltype(layer.weight)>), layer_(layer) {}

  Weight weight() const override { return as_slot<Weight>(layer_.weight); }
  void set_weight(const Weight& weight) override { assign_slot(layer_.weight, weight); }
  Bias bias() const override {
    if constexpr (BiasedModule<Layer>) return as_slot<Bias>(layer_.bias);
    return {};
  }
  void set_bias(const Bias& bias) override {
    if constexpr (BiasedModule<Layer>) assign_slot(layer_.bias, bias);
  }

  bool adapted() const override { return static_cast<bool>(layer_.adapter); }
  std::any adapter() const override {
    std::any held;
    if (adapted()) layer_.adapter.visit_content([&](const auto& one) { held = one; });
    return held;
  }
  bool takes(const std::any& adapter) const override {
    return with_kind<0>(adapter, [](const auto&) {});
  }
  index_t parameters(const std::any& adapter) const override {
    index_t count = 0;
    with_kind<0>(adapter, [&](const auto& one) {
      visit(one, [&](const std::string&, const ParameterLike auto& p) { count += p.slot() ? p.count() : 0; });
    });
    return count;
  }
  void place(const std::any& adapter) override {
    expects(with_kind<0>(adapter, [&](const auto& one) { layer_.adapter = one; }),
            "veneer::Site::place: the slot of " + this->name + " does not take adapters of this type");
  }
  void clear() override { layer_.adapter.clear(); }

  std::optional<LowRankFactors<T, B>> factors() const override {
    std::optional<LowRankFactors<T, B>> found;
    layer_.adapter.visit_content([&](const auto& one) {
      if constexpr (FoldsToLowRank<std::remove_cvref_t<decltype(one)>, decltype(layer_.weight)>)
        found = one.factors(layer_.weight);
    });
    return found;
  }
  std::optional<Change> delta() const override {
    std::optional<Change> found;
    layer_.adapter.visit_content([&](const auto& one) {
      if constexpr (AddsDelta<std::remove_cvref_t<decltype(one)>>) found = one.delta();
    });
    return found;
  }
  Change merged(const Stored& weight, const Vector<T, B>& bias) const override {
    Change sum;
    layer_.adapter.visit_content([&](const auto& one) {
      if constexpr (requires { one.merged(weight, bias); }) {
        const auto both = one.merged(weight, bias);
        sum.weight = both.weight, sum.bias = both.bias;
      } else {
        throw ArgumentError("veneer::merge: the adapter of " + this->name + " has no merged(weight, bias)");
      }
    });
    return sum;
  }
  bool follows() const override {
    bool found = false;
    layer_.adapter.visit_content([&](const auto& one) {
      if constexpr (FollowsAnother<std::remove_cvref_t<decltype(one)>>) found = one.follows();
    });
    return found;
  }

  LowRankPart low_rank() override {
    LowRankPart part;
    layer_.adapter.visit_content([&](auto& one) {
      visit_factors(one, [&](auto& low) {
        part.down = std::as_const(low.down).value(), part.up = std::as_const(low.up).value();
        part.scaling = low.scaling, part.taken = &low.taken;
      });
    });
    return part;
  }
  void replace_factors(const Matrix<T, B>& down, const Matrix<T, B>& up) override {
    const auto replace = []<class P>(P& parameter, const Matrix<T, B>& values) {
      parameter = P(typename P::value_type(values));
    };
    layer_.adapter.visit_content(
        [&](auto& one) { visit_factors(one, [&](auto& low) { replace(low.down, down), replace(low.up, up); }); });
  }

 private:
  /// Calls f with the adapter as its own type, if that is one that the slot takes.
  template <std::size_t I, class F>
  static bool with_kind(const std::any& adapter, const F& f) {
    using Slot = std::remove_cvref_t<decltype(std::declval<Layer&>().adapter)>;
    if constexpr (I < std::tuple_size_v<typename Slot::held_types>) {
      using A = std::tuple_element_t<I, typename Slot::held_types>;
      if constexpr (!std::is_same_v<A, typename Slot::Unfilled>) {
        if (const A* found = std::any_cast<A>(&adapter)) return f(*found), true;
      }
      return with_kind<I + 1>(adapter, f);
    }
    return false;
  }

  Layer& layer_;
};

/// The site type of the first weight among the parts of a model.
template <class Parts>
struct FirstSite;
template <class M, class... P>
struct FirstSite<PartTypes<M, P...>> : FirstSite<PartTypes<P...>> {};
template <class M, class... P>
  requires WeightedModule<M>
struct FirstSite<PartTypes<M, P...>> {
  using type = Site<layer_scalar<M>, layer_backend<M>>;
};

}  // namespace detail

template <class M>
using site_t =
    typename detail::FirstSite<typename detail::WithParts<detail::PartTypes<>, std::remove_const_t<M>>::type>::type;

/// The list, in the order of `fields`. A head that shares the weight of the embedding has the shape of that.
template <class M>
std::vector<std::shared_ptr<site_t<M>>> sites(M& model) {
  std::vector<std::shared_ptr<site_t<M>>> all;
  visit(model, [&]<detail::SlottedModule Layer>(const std::string& name, Layer& layer) {
    static_assert(std::is_base_of_v<site_t<M>, detail::SiteOf<Layer>>,
                  "veneer::sites(model): the layers of a model compute in one type, on one backend");
    ModuleKind kind = detail::EmbeddingSlot<decltype(layer.adapter)> ? ModuleKind::embedding : ModuleKind::linear;
    Shape<dyn, dyn> shape(0, 0);
    if constexpr (detail::HasHead<M>) {
      if (static_cast<const void*>(&layer) == static_cast<const void*>(&model.output_head()))
        kind = ModuleKind::output_head;
      shape = present(layer.weight) ? Shape<dyn, dyn>(layer.weight.shape()) : Shape<dyn, dyn>(model.tied_shape());
    } else {
      shape = Shape<dyn, dyn>(layer.weight.shape());
    }
    all.push_back(std::make_shared<detail::SiteOf<Layer>>(name, kind, shape, layer));
  });
  return all;
}

/// The site of this name in a list, or null.
template <class Site>
std::shared_ptr<Site> find_site(const std::vector<std::shared_ptr<Site>>& list, const std::string& name) {
  for (const std::shared_ptr<Site>& site : list)
    if (site->name == name) return site;
  return nullptr;
}

/// The number of values in the weights and biases of the base, each counted once.
template <class M>
index_t base_count(M& model) {
  index_t count = 0;
  visit(model, [&](const std::string&, detail::WeightedModule auto& part) {
    if (present(part.weight)) count += part.weight.shape().count();
    if constexpr (detail::BiasedModule<std::remove_cvref_t<decltype(part)>>) {
      if (present(part.bias)) count += part.bias.shape().count();
    }
  });
  return count;
}

}  // namespace veneer
