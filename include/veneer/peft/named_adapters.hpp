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

#include "veneer/peft/fold.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/peft/mixed_batch.hpp"

namespace veneer {

/// The name that stands for no adapter, as in PEFT.
inline constexpr const char* base_adapter = "__base__";

namespace detail {

/// The memory of the values of a frozen weight.
template <WeightSlotLike W>
const void* place_of(const W& weight) {
  return std::visit(
      [](const auto& stored) -> const void* {
        if constexpr (requires { stored.share(); }) {
          return stored.share().get();
        } else {
          return nullptr;
        }
      },
      weight.stored());
}

/// Whether two frozen weights are one, or have the same values.
template <WeightSlotLike W>
bool same_weight(W mine, W other) {
  if (!mine || place_of(mine) == place_of(other)) return true;
  mine.freeze(), other.freeze();
  if (mine.count() != other.count()) return false;  // another vocabulary
  const auto values = dense_values(mine), old = dense_values(other);
  return !values || !old || largest_distance(values, old) == 0.0;
}

}  // namespace detail

template <class Model>
class NamedAdapters {
 public:
  /// One adapter of the model.
  struct Entry {
    Model model;  // with this adapter alone
    AdapterConfig config;
    AdapterPlan plan;
    std::any file;           // what a reader keeps for the writer
    std::string own_base{};  // a weight of the base that it replaces, if it does
  };

  /// \throws ArgumentError when the model has an adapter already
  explicit NamedAdapters(Model model) : base_(std::move(model)) {
    for (const auto& site : sites(base_))
      expects(!site->adapted(), "veneer::NamedAdapters(model): " + site->name +
                                    " has an adapter already: detach(model) first, or add that model under a name");
  }

  /// The model without adapters: every bit as it came.
  const Model& base() const { return base_; }

  /// \throws ArgumentError as veneer::attach, and for a name that is taken
  AdapterPlan attach(const std::string& name, const AdapterConfig& config, const AttachOptions& options = {}) {
    check_new(name);
    Model adapted = base_;
    AdapterPlan plan = veneer::attach(adapted, config, options);
    add(name, std::move(adapted), config, plan);
    return plan;
  }

  /// Takes a copy of base() with an adapter attached.
  /// \throws ArgumentError for a name that is taken
  void add(const std::string& name, Model adapted, AdapterConfig config, AdapterPlan plan, std::any file = {}) {
    check_new(name);
    Entry entry{std::move(adapted), std::move(config), std::move(plan), std::move(file)};
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
    const std::vector<Part> parts = parts_of(names);
    for (const auto& site : sites(model)) {
      site->clear();
      if (site->kind == ModuleKind::embedding) {
        place_sum<SumAdapter<NoEmbeddingAdapter, B, T, LowRankEmbeddingAdapter<B, dyn, T>>>(*site, parts, learning);
      } else {
        place_sum<SumAdapter<NoAdapter, B, T, LowRankAdapter<B, dyn, T>>>(*site, parts, learning);
      }
    }
    return model;
  }

  /// The model with an adapter a sequence, "__base__" for none. Inference only.
  /// \throws ArgumentError for an unknown name; for an adapter with trained weights, or of IA3
  MixedBatch<Model> mixed(const std::vector<std::string>& of_sequence) const {
    std::vector<std::string> names;
    std::vector<index_t> numbers;
    for (const std::string& name : of_sequence) numbers.push_back(number_in(names, name));
    for (const std::string& name : names) check_mixed(name);
    Model model = start(names, "");
    const auto choice = std::make_shared<RowChoice<B>>(static_cast<index_t>(names.size()), model.device);
    const std::vector<Part> parts = parts_of(names);
    for (const auto& site : sites(model)) {
      if (site->kind == ModuleKind::embedding) {
        place_mixed(*site, parts, MixedAdapter<NoEmbeddingAdapter, B, T, DoraEmbeddingAdapter<B, dyn, T>>(choice, {}));
      } else {
        place_mixed(*site, parts, MixedAdapter<NoAdapter, B, T, DoraAdapter<B, dyn, T>>(choice, {}));
      }
    }
    return MixedBatch<Model>(std::move(model), choice, std::move(numbers));
  }

 private:
  using B = typename site_t<Model>::backend;
  using T = typename site_t<Model>::scalar;

  /// A copy of an adapter's model, of handles, and its sites.
  struct Part {
    std::string name;
    std::shared_ptr<Model> model;
    std::vector<std::shared_ptr<Site<T, B>>> sites;

    /// The site of a module where this adapter has one, or null.
    std::shared_ptr<Site<T, B>> adapted(const std::string& module) const {
      const auto found = find_site(sites, module);
      return found != nullptr && found->adapted() ? found : nullptr;
    }
  };
  std::vector<Part> parts_of(const std::vector<std::string>& names) const {
    std::vector<Part> parts;
    for (const std::string& name : names) {
      const auto model = std::make_shared<Model>(at(name).model);
      parts.push_back({name, model, veneer::sites(*model)});
    }
    return parts;
  }

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
    const auto mine = sites(adapted), others = sites(reference);
    std::string replaced;
    for (std::size_t i = 0; i < mine.size(); ++i)
      if (!detail::same_weight(mine[i]->weight(), others[i]->weight())) replaced = mine[i]->name + ".weight";
    return replaced;
  }

  template <class Sum>
  static void place_sum(Site<T, B>& site, const std::vector<Part>& parts, const std::string& learning) {
    Sum total;
    for (const Part& part : parts) {
      const auto adapted = part.adapted(site.name);
      if (adapted == nullptr) continue;
      if (part.name == learning) {
        const std::any held = adapted->adapter();
        const auto* learner = std::any_cast<decltype(total.learner)>(&held);
        expects(learner != nullptr, "veneer::NamedAdapters::sum: \"" + part.name +
                                        "\" is to learn, and its adapter of " + site.name +
                                        " is not LoRA: only LoRA learns in a sum");
        total.learner = *learner;
      } else {
        total.frozen.push_back(detail::low_rank_term(
            *adapted, "veneer::NamedAdapters: the adapter \"" + part.name + "\" of " + site.name +
                          " scales the weight itself (DoRA, IA3) or replaces rows of it (trainable tokens), so it is "
                          "no term of a sum: use it alone, or merge it into the base first"));
      }
    }
    if (total.frozen.empty() && total.learner.down) site.place(total.learner);
    if (!total.frozen.empty()) site.place(total);
  }

  template <class Mixed>
  static void place_mixed(Site<T, B>& site, const std::vector<Part>& parts, Mixed mixed) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto adapted = parts[i].adapted(site.name);
      if (adapted == nullptr) continue;
      typename Mixed::Part part{static_cast<index_t>(i), {}, {}};
      if (const auto term = adapted->factors()) {
        part.term = *term;
      } else {
        const std::any held = adapted->adapter();
        const auto* whole = std::any_cast<typename decltype(part.whole)::value_type>(&held);
        expects(whole != nullptr, "veneer::NamedAdapters::mixed: \"" + parts[i].name +
                                      "\" is no low-rank term and not the adapter that a mixed batch computes whole "
                                      "(DoRA is, IA3 is not): run its rows alone, by with(name)");
        part.whole = *whole;
      }
      mixed.parts.push_back(std::move(part));
    }
    if (!mixed.parts.empty()) site.place(mixed);
  }

  Model base_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
};

template <class Model>
NamedAdapters(Model) -> NamedAdapters<Model>;

}  // namespace veneer
