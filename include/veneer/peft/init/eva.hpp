// SPDX-License-Identifier: Apache-2.0
/// \file eva.hpp
/// EVA: initialises A with the directions of largest variance of a layer's inputs, and redistributes ranks accordingly.
///
///   A = V_r: (rank, in), the r leading right singular vectors of the layer's inputs, centred      B = 0
///   ranks: of all directions of all layers, at most rho r per layer, as many as the sum of the ranks are kept, those
///   that explain the largest fractions of the variance of their layer's inputs. alpha is scaled with the rank, so that
///   the scaling is the same. The base does not change.
///
///   const ExplainedVariance found = explained_variance(model, config, batches, forward);
///   attach(model, found.config, {.directions = &found.directions});
/// Paischer et al., "One Initialization to Rule Them All: Fine-tuning via Explained Variance Adaptation",
/// arXiv:2410.07170, section 3. PEFT repeats its data until all directions have converged; here each batch is used
/// once, and the rest is skipped after all have converged.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/peft/attach.hpp"
#include "veneer/peft/init/input_directions.hpp"
#include "veneer/peft/init/observer.hpp"

namespace veneer {

/// What explained_variance found.
struct ExplainedVariance {
  AdapterConfig config;  // with rank_pattern and alpha_pattern, and without the modules that get no rank
  FirstDirections directions;
  index_t batches = 0;   // that were looked at
  bool settled = false;  // all directions that are used had settled
};

namespace detail {

/// The statistics of all modules; those that are given the same values share theirs.
struct EvaSearch {
  struct Site {
    AdaptedModule module;
    std::string same_as;  // the module whose inputs are these; its own name if none comes before
    InputDirections inputs;
    index_t rank = 0;  // that it would have now
    bool settled = false;
  };
  std::map<std::string, Site> sites;
  std::vector<std::string> order;  // of the first batch
  std::shared_ptr<const void>
      last{};  // the values of the last input: while this handle lives, no other has its address
  std::string last_name{};
  std::vector<index_t> rows{};  // that count; empty: all
  index_t budget = 0;

  template <Real T, Backend B>
  HostMatrix counted(const Matrix<T, B>& x) const {
    const HostMatrix all = to_host_matrix(x);
    if (rows.empty()) return all;
    HostMatrix some(static_cast<index_t>(rows.size()), all.columns);
    for (index_t i = 0; i < some.rows; ++i) {
      const index_t row = rows[static_cast<std::size_t>(i)];
      expects(row >= 0 && row < all.rows, "veneer::explained_variance: row " + std::to_string(row) + " of a layer's " +
                                              std::to_string(all.rows) + " inputs: rows are those of the batch");
      std::copy_n(all.row(row), all.columns, some.row(i));
    }
    return some;
  }

  /// The first pass: who shares inputs with whom.
  template <Real T, Backend B>
  void group(const std::string& name, const Matrix<T, B>& x) {
    const bool same = last != nullptr && last == std::shared_ptr<const void>(x.share());
    if (!sites.at(name).same_as.empty()) return;  // a layer that runs twice
    order.push_back(name);
    sites.at(name).same_as = same ? sites.at(last_name).same_as : name;
    last = x.share(), last_name = name;
  }

  template <Real T, Backend B>
  void observe(const std::string& name, const Matrix<T, B>& x) {
    Site& site = sites.at(name);
    if (site.same_as == name && !site.settled) site.inputs.add(counted(x));
  }

  Site& source(const std::string& name) { return sites.at(sites.at(name).same_as); }

  /// Gives out the budget. False as long as a module has no directions.
  bool distribute() {
    std::vector<std::pair<double, std::string>> shares;
    for (const std::string& name : order) {
      const InputDirections& inputs = source(name).inputs;
      if (!inputs.fitted()) return false;
      for (std::size_t k = 0; k < inputs.values().size(); ++k) shares.emplace_back(inputs.ratio(k), name);
      sites.at(name).rank = 0;
    }
    std::stable_sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    shares.resize(std::min(shares.size(), static_cast<std::size_t>(budget)));
    for (const auto& [share, name] : shares) ++sites.at(name).rank;
    return true;
  }

  /// Whether all directions that are used moved by less than tau allows.
  bool all_settled(double tau) {
    bool all = true;
    for (const std::string& name : order) {
      Site& site = sites.at(name);
      if (site.same_as != name) continue;
      index_t used = 0;
      for (const std::string& other : order) {
        if (sites.at(other).same_as == name) used = std::max(used, sites.at(other).rank);
      }
      const std::vector<double>& similarity = site.inputs.similarity();
      site.settled = std::all_of(similarity.begin(), similarity.begin() + static_cast<std::ptrdiff_t>(used),
                                 [&](double cosine) { return cosine >= tau; });
      all = all && site.settled;
    }
    return all;
  }
};

/// A copy of the model, of handles, whose targets tell `f(name, x)` what they are given.
template <class M, class F>
M observed(const M& model, const AdapterPlan& plan, const F& f) {
  M watched = model;
  using Observer = InputObserver<typename site_t<M>::backend, typename site_t<M>::scalar>;
  for (const auto& site : sites(watched)) {
    site->clear();
    if (find_module(plan, site->name) == nullptr || site->kind == ModuleKind::embedding) continue;
    const std::any observer = Observer{[f, name = site->name](const auto& x) { f(name, x); }};
    expects(site->takes(observer), "veneer::explained_variance: the slot of " + site->name +
                                       " does not take an InputObserver: list it in its AdapterSlot");
    site->place(observer);
  }
  return watched;
}

/// The config with the ranks that were found, and the directions.
inline ExplainedVariance eva_result(const AdapterConfig& asked, const AdapterPlan& plan, EvaSearch& search) {
  const EvaConfig eva = asked.eva_config.value_or(EvaConfig{});
  ExplainedVariance found{asked, {}};
  found.config.init_lora_weights = "eva", found.config.eva_config = eva;
  found.config.rank_pattern.clear(), found.config.alpha_pattern.clear();
  std::vector<std::string> kept;
  for (const AdaptedModule& module : plan.modules) {
    const bool looked_at = search.sites.contains(module.name);
    const index_t rank = looked_at ? search.sites.at(module.name).rank : module.rank;
    if (rank == 0) continue;
    kept.push_back(module.name);
    const double alpha = eva.adjust_scaling_factors
                             ? module.alpha * static_cast<double>(rank) / static_cast<double>(module.rank)
                             : module.alpha;
    if (rank != asked.r) found.config.rank_pattern.emplace_back(module.name, rank);
    if (alpha != asked.lora_alpha) found.config.alpha_pattern.emplace_back(module.name, alpha);
    if (!looked_at) continue;
    const InputDirections& inputs = search.source(module.name).inputs;
    HostMatrix& first = found.directions[module.name];
    first = {rank, module.in, inputs.right().values};
    first.values.resize(static_cast<std::size_t>(rank * module.in));
    for (std::size_t i = 0; eva.whiten && i < first.values.size(); ++i)
      first.values[i] /= std::sqrt(inputs.values()[i / static_cast<std::size_t>(module.in)]);
  }
  if (kept.size() != plan.modules.size()) found.config.target_modules = ModuleChoice(kept);
  return found;
}

}  // namespace detail

/// Runs batches through the base and finds first values and ranks for the modules that a config adapts.
/// \param batches  a range; one batch after another is given to
/// \param forward  forward(model, batch), which runs the model and gives back nothing
/// \param rows     rows(batch): the numbers of the tokens of a batch that count; none: all do
/// \throws ArgumentError when there is no batch of as many tokens as a layer may get directions, when a target is not
///         run, and as plan_adapter
template <class M, class Batches, class Forward, class Batch = typename Batches::value_type>
ExplainedVariance explained_variance(const M& model, const AdapterConfig& config, const Batches& batches,
                                     const Forward& forward,
                                     const std::function<std::vector<index_t>(const Batch&)>& rows = {}) {
  M base = model;
  detach(base);
  const AdapterPlan plan = plan_adapter(base, config);
  const EvaConfig eva = config.eva_config.value_or(EvaConfig{});
  expects(std::holds_alternative<Lora>(config.method), "veneer::explained_variance: EVA is for LoRA and DoRA");
  expects(!batches.empty(), "veneer::explained_variance: there are no batches");
  detail::EvaSearch search;
  for (const auto& site : sites(base)) {
    const AdaptedModule* module = find_module(plan, site->name);
    if (module != nullptr && site->kind != ModuleKind::embedding) search.sites[site->name].module = *module;
  }
  for (const auto& [name, site] : search.sites) search.budget += site.module.rank;
  forward(detail::observed(base, plan, [&](const std::string& name, const auto& x) { search.group(name, x); }),
          *batches.begin());
  std::map<std::string, index_t> most;
  for (auto& [name, site] : search.sites) {
    expects(!site.same_as.empty(), "veneer::explained_variance: " + name + " was not run by forward(model, batch)");
    const auto own = static_cast<index_t>(std::lround(eva.rho * static_cast<double>(site.module.rank)));
    most[site.same_as] = std::max(most[site.same_as], std::min(own, site.module.in));
  }
  for (const auto& [name, components] : most) search.sites.at(name).inputs = detail::InputDirections(components);

  index_t looked = 0;
  bool settled = false, complete = false;
  const M watched =
      detail::observed(base, plan, [&](const std::string& name, const auto& x) { search.observe(name, x); });
  for (const Batch& batch : batches) {
    if (settled) break;
    if (rows) search.rows = rows(batch);
    if (rows && search.rows.empty()) continue;  // nothing in it counts
    forward(watched, batch);
    ++looked;
    complete = search.distribute();
    settled = complete && looked > 1 && search.all_settled(eva.tau);
  }
  expects(complete,
          "veneer::explained_variance: no batch has as many tokens that count as a layer may get directions "
          "(rho * rank): give longer batches, or lower the rank");
  ExplainedVariance found = detail::eva_result(config, plan, search);
  found.batches = looked, found.settled = settled;
  return found;
}

}  // namespace veneer
