// SPDX-License-Identifier: Apache-2.0
/// \file named_adapters.hpp
/// NamedAdapters: one frozen model and any number of named adapters for it.
///
///   NamedAdapters adapters(load_llama(folder));
///   load_adapter(adapters, "dates", "out/iso");
///   auto model = adapters.with("dates");                 // PEFT's set_adapter
///   auto both = adapters.sum({"dates", "french"});       // outputs add: w x + s_1 B_1 A_1 x + s_2 B_2 A_2 x
///   auto rows = adapters.mixed({"dates", "__base__"});   // one adapter per sequence
///   auto base = adapters.base();
/// Each of these is a separate model made of handles: weights and factors are shared and not copied, and the models do
/// not depend on each other. Switching is an assignment. Training one changes its factors for all. Frozen is a type: an
/// optimizer over `with(name)` gets the parameters of that adapter, over a sum those of the one named by `learning`,
/// over the other models none.
#pragma once

#include <algorithm>
#include <any>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/peft/merge.hpp"
#include "veneer/peft/mixed_batch.hpp"

namespace veneer {

/// The name that stands for no adapter, as in PEFT.
inline constexpr const char* base_adapter = "__base__";

namespace detail {

/// The SumAdapter, or the MixedAdapter, that a slot takes; void where it takes none.
template <class... A>
struct FirstSum {
  using type = void;
};
template <class A, class... Rest>
struct FirstSum<A, Rest...> : FirstSum<Rest...> {};
template <class None, class B, class T, class L, class... Rest>
struct FirstSum<SumAdapter<None, B, T, L>, Rest...> {
  using type = SumAdapter<None, B, T, L>;
};
template <class... A>
struct FirstMixed {
  using type = void;
};
template <class A, class... Rest>
struct FirstMixed<A, Rest...> : FirstMixed<Rest...> {};
template <class None, class B, class T, class W, class... Rest>
struct FirstMixed<MixedAdapter<None, B, T, W>, Rest...> {
  using type = MixedAdapter<None, B, T, W>;
};

/// Where the values of a frozen weight lie.
template <class W>
const void* place_of(const W& weight) {
  if constexpr (WeightSlotLike<W>) {
    return std::visit(
        [](const auto& stored) -> const void* {
          if constexpr (requires { stored.share(); }) {
            return stored.share().get();
          } else {
            return nullptr;
          }
        },
        weight.stored());
  } else {
    return weight.data();
  }
}

/// Whether two frozen weights are one, or have the same values.
template <class W>
bool same_weight(W mine, W other) {
  if (!present(mine) || place_of(mine) == place_of(other)) return true;
  if constexpr (WeightSlotLike<W>) mine.freeze(), other.freeze();
  if (mine.count() != other.count()) return false;  // another vocabulary
  const auto values = dense_values(mine), old = dense_values(other);
  return !values || !old || largest_distance(values, old) == 0.0;
}

template <class... A>
struct SeveralOf {
  using sum = typename FirstSum<A...>::type;
  using mixed = typename FirstMixed<A...>::type;
};
template <class None, class... A>
SeveralOf<A...> several_of(const BasicAdapterSlot<None, A...>& slot);

}  // namespace detail

template <class Model>
class NamedAdapters {
 public:
  /// One adapter of the model.
  struct Entry {
    Model model;  // with this adapter alone
    LoraConfig config;
    AdapterPlan plan;
    std::any file;                            // what a reader keeps for the writer
    std::map<std::string, std::any> slots{};  // of `model`, by module
    std::string own_base{};                   // a weight of the base that it replaces, if it does
  };

  /// \throws ArgumentError when the model has an adapter already
  explicit NamedAdapters(Model model) : base_(std::move(model)) {
    detail::visit_adaptable(base_, [](const std::string& name, auto& layer, const auto&, ModuleKind) {
      expects(!layer.adapter, "veneer::NamedAdapters(model): " + name +
                                  " has an adapter already: detach(model) first, or add that model under a name");
    });
  }

  /// The model without adapters: every bit as it came.
  const Model& base() const { return base_; }

  /// \throws ArgumentError as veneer::attach, and for a name that is taken
  AdapterPlan attach(const std::string& name, const LoraConfig& config, const AttachOptions& options = {}) {
    check_new(name);
    Model adapted = base_;
    AdapterPlan plan = veneer::attach(adapted, config, options);
    add(name, std::move(adapted), config, plan);
    return plan;
  }

  /// Takes a copy of base() with an adapter attached.
  /// \throws ArgumentError for a name that is taken
  void add(const std::string& name, Model adapted, LoraConfig config, AdapterPlan plan, std::any file = {}) {
    check_new(name);
    Entry entry{std::move(adapted), std::move(config), std::move(plan), std::move(file)};
    detail::visit_adaptable(entry.model, [&](const std::string& module, auto& layer, const auto&, ModuleKind) {
      if (layer.adapter) entry.slots.emplace(module, layer.adapter);
    });
    entry.own_base = replaced_weight(entry.model);
    names_.push_back(name);
    entries_.emplace(name, std::move(entry));
  }

  /// \throws ArgumentError for an unknown name
  void erase(const std::string& name) {
    at(name);
    entries_.erase(name);
    names_.erase(std::find(names_.begin(), names_.end(), name));
  }

  /// \throws ArgumentError for a name that is taken, or that means no adapter
  void check_new(const std::string& name) const {
    expects(!name.empty() && name != base_adapter,
            "veneer::NamedAdapters: an adapter needs a name, and \"__base__\" stands for none");
    expects(!contains(name), "veneer::NamedAdapters: an adapter is named \"" + name + "\" already: erase it first");
  }

  /// In the order in which they came.
  const std::vector<std::string>& names() const { return names_; }
  bool contains(const std::string& name) const { return entries_.count(name) == 1; }
  /// \throws ArgumentError for an unknown name; it lists those there are
  const Entry& at(const std::string& name) const {
    const auto found = entries_.find(name);
    expects(found != entries_.end(), "veneer::NamedAdapters: no adapter is named \"" + name + "\"; there are " +
                                         (names_.empty() ? "none" : detail::listed(names_, ", ")));
    return found->second;
  }

  /// The model with one adapter, or for "__base__" with none. The adapter's parameters learn where somebody trains it.
  /// \throws ArgumentError for an unknown name
  Model with(const std::string& name) const { return name == base_adapter ? base_ : at(name).model; }

  /// The model with the sum of several, frozen but for the one that is `learning`.
  /// \throws ArgumentError for a name that is unknown or there twice; for an adapter that is no low-rank term (DoRA,
  /// IA3); for one other than LoRA that is to learn; when two bring trained weights (modules_to_save, biases)
  Model sum(const std::vector<std::string>& names, const std::string& learning = "") const {
    check_sum(names, learning);
    Model model = start(names, learning);
    detail::visit_adaptable(model, [&](const std::string& module, auto& layer, const auto&, ModuleKind) {
      using Slot = std::remove_cvref_t<decltype(layer.adapter)>;
      using Sum = typename decltype(detail::several_of(std::declval<Slot>()))::sum;
      static_assert(!std::is_void_v<Sum>, "veneer::NamedAdapters::sum: the slots of this model do not list SumAdapter");
      layer.adapter.clear();
      Sum total;
      for (const std::string& name : names) {
        const Slot* slot = slot_of<Slot>(at(name), module);
        if (slot != nullptr && name == learning) total.learner = learner_of(*slot, total.learner, name, module);
        if (slot != nullptr && name != learning) total.frozen.push_back(term_of(*slot, layer.weight, name, module));
      }
      if (total.frozen.empty() && total.learner.down) layer.adapter = total.learner;
      if (!total.frozen.empty()) layer.adapter = std::move(total);
    });
    return model;
  }

  /// The model with an adapter a sequence, "__base__" for none. Inference only.
  /// \throws ArgumentError for an unknown name; for an adapter with trained weights, or of IA3
  MixedBatch<Model> mixed(const std::vector<std::string>& of_sequence) const {
    using B = typename Model::backend;
    std::vector<std::string> names;
    std::vector<index_t> numbers;
    for (const std::string& name : of_sequence) numbers.push_back(number_in(names, name));
    for (const std::string& name : names) check_mixed(name);
    Model model = start(names, "");
    const auto choice = std::make_shared<RowChoice<B>>(static_cast<index_t>(names.size()), model.device);
    detail::visit_adaptable(model, [&](const std::string& module, auto& layer, const auto&, ModuleKind) {
      using Slot = std::remove_cvref_t<decltype(layer.adapter)>;
      using Mixed = typename decltype(detail::several_of(std::declval<Slot>()))::mixed;
      static_assert(!std::is_void_v<Mixed>,
                    "veneer::NamedAdapters::mixed: the slots of this model do not list MixedAdapter");
      Mixed mixed(choice, {});
      for (std::size_t i = 0; i < names.size(); ++i) {
        const Slot* slot = slot_of<Slot>(at(names[i]), module);
        if (slot == nullptr) continue;
        mixed.parts.push_back(part_of<typename Mixed::Part>(*slot, layer.weight, names[i]));
        mixed.parts.back().adapter = static_cast<index_t>(i);
      }
      if (!mixed.parts.empty()) layer.adapter = std::move(mixed);
    });
    return MixedBatch<Model>(std::move(model), choice, std::move(numbers));
  }

 private:
  void check_sum(const std::vector<std::string>& names, const std::string& learning) const {
    for (std::size_t i = 0; i < names.size(); ++i) {
      at(names[i]);
      expects(std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) ==
                  names.begin() + static_cast<std::ptrdiff_t>(i),
              "veneer::NamedAdapters::sum: \"" + names[i] + "\" is there twice");
    }
    expects(learning.empty() || std::find(names.begin(), names.end(), learning) != names.end(),
            "veneer::NamedAdapters::sum: \"" + learning + "\" is to learn, and is not in the sum");
  }

  void check_mixed(const std::string& name) const {
    const Entry& entry = at(name);
    if (entry.plan.trained.empty()) return;
    throw ArgumentError("veneer::NamedAdapters::mixed: \"" + name + "\" brings a trained " +
                        entry.plan.trained[0].name +
                        ", which all rows of a batch would share: run its rows alone, by with(name)");
  }

  /// The number of a name in a list, which it joins; none for the base.
  index_t number_in(std::vector<std::string>& names, const std::string& name) const {
    if (name == base_adapter) return RowChoice<typename Model::backend>::base;
    at(name);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return names.push_back(name), static_cast<index_t>(names.size()) - 1;
    return static_cast<index_t>(found - names.begin());
  }

  /// The base, or the model of the one adapter that brings trained weights; frozen unless that one is to learn.
  Model start(const std::vector<std::string>& names, const std::string& learning) const {
    const Entry* trained = nullptr;
    std::string trains;
    for (const std::string& name : names) {
      const Entry& entry = at(name);
      expects(entry.own_base.empty(), "veneer::NamedAdapters: \"" + name + "\" brings another " + entry.own_base +
                                          " than the model has: it can be used alone, by with(name)");
      if (entry.plan.trained.empty()) continue;
      if (trained != nullptr) {
        throw ArgumentError("veneer::NamedAdapters: \"" + trains + "\" brings a trained " +
                            trained->plan.trained[0].name + " and \"" + name + "\" a trained " +
                            entry.plan.trained[0].name +
                            ": only one active adapter may have modules_to_save or biases");
      }
      trained = &entry, trains = name;
    }
    Model model = trained == nullptr ? base_ : trained->model;
    if (trained != nullptr && trains != learning) freeze_values(model);
    if constexpr (detail::HasHead<Model>) {
      for (const std::string& name : names) {
        Model other = at(name).model;
        if (present(other.output_head().weight)) model.untie();
      }
    }
    return model;
  }

  /// What trained becomes a weight like the others.
  static void freeze_values(Model& model) {
    visit(model, [](const std::string&, WeightSlotLike auto& slot) {
      if (slot.trainable()) slot = std::remove_cvref_t<decltype(slot)>(slot.parameter().value());
    });
  }

  /// The name of a frozen weight that is not the base's: one that a file brought, or that first values changed.
  std::string replaced_weight(Model& adapted) const {
    Model reference = base_;
    if constexpr (detail::HasHead<Model>) {
      if (present(adapted.output_head().weight)) reference.untie();
    }
    std::map<std::string, std::any> weights;
    detail::visit_adaptable(reference, [&](const std::string& name, auto& layer, const auto&, ModuleKind) {
      weights.emplace(name, layer.weight);
    });
    std::string replaced;
    detail::visit_adaptable(adapted, [&](const std::string& name, auto& layer, const auto&, ModuleKind) {
      using Weight = std::remove_cvref_t<decltype(layer.weight)>;
      if (!detail::same_weight(layer.weight, std::any_cast<const Weight&>(weights.at(name))))
        replaced = name + ".weight";
    });
    return replaced;
  }

  template <class Slot>
  static const Slot* slot_of(const Entry& entry, const std::string& module) {
    const auto found = entry.slots.find(module);
    return found == entry.slots.end() ? nullptr : std::any_cast<Slot>(&found->second);
  }

  template <class Slot, class Learner>
  static Learner learner_of(const Slot& slot, const Learner&, const std::string& name, const std::string& module) {
    const Learner* found = slot.template get<Learner>();
    expects(found != nullptr, "veneer::NamedAdapters::sum: \"" + name + "\" is to learn, and its adapter of " + module +
                                  " is not LoRA: only LoRA learns in a sum");
    return *found;
  }

  template <class Slot, class W>
  static auto term_of(const Slot& slot, const W& weight, const std::string& name, const std::string& module) {
    using Layer = W;
    LowRankFactors<compute_t<typename Layer::scalar>, typename Layer::backend> term;
    slot.look([&](const auto& adapter) {
      if constexpr (FoldsToLowRank<std::remove_cvref_t<decltype(adapter)>, W>) {
        term = adapter.factors(weight);
      } else {
        throw ArgumentError("veneer::NamedAdapters: the adapter \"" + name + "\" of " + module +
                            " scales the weight itself (DoRA, IA3) or replaces rows of it (trainable tokens), so it is "
                            "no term of a sum: use it alone, or merge "
                            "it into the base first");
      }
    });
    return term;
  }

  template <class Part, class Slot, class W>
  static Part part_of(const Slot& slot, const W& weight, const std::string& name) {
    Part part;
    slot.look([&](const auto& adapter) {
      using A = std::remove_cvref_t<decltype(adapter)>;
      if constexpr (FoldsToLowRank<A, W>) {
        part.term = adapter.factors(weight);
      } else if constexpr (!std::is_assignable_v<decltype(part.whole)&, const A&>) {
        throw ArgumentError(
            "veneer::NamedAdapters::mixed: \"" + name +
            "\" is no low-rank term and not the adapter that a mixed batch computes whole (DoRA is, IA3 is "
            "not): run its rows alone, by with(name)");
      } else {
        part.whole = adapter;
      }
    });
    return part;
  }

  Model base_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
};

template <class Model>
NamedAdapters(Model) -> NamedAdapters<Model>;

}  // namespace veneer
