// SPDX-License-Identifier: Apache-2.0
/// \file combine.hpp
/// combine(adapters, name, parts, options): combines several LoRA adapters into a new one,
/// like PEFT's add_weighted_adapter.
///
///   adapter i: s_i B_i A_i with weight w_i, c_i = w_i s_i      A: (rank, in)   B: (out, rank)
///   linear             A = sum sign(c_i) sqrt|c_i| A_i,  B = sum sqrt|c_i| B_i       all ranks equal
///   cat                A = rows of c_i A_i,  B = columns of B_i                      rank = the sum of ranks
///   svd                B A = the best approximation of its rank to sum c_i B_i A_i
///   ties, dare_linear, dare_ties, magnitude_prune: the rule of task_arithmetic.hpp for the A and for the B, with
///                      the square roots of `linear` as weights                       all ranks equal
///   ..._svd            B A = the best approximation to the rule applied to the s_i B_i A_i with weights w_i
/// Only `cat` is sum c_i B_i A_i, the sum of the outputs; `svd` approximates it as well as the rank allows. `linear`,
/// and the rules on A and B separately, multiply every A_i with every B_j: two adapters also give sqrt(c_1 c_2) (B_1
/// A_2 + B_2 A_1). The new adapter has alpha = r and no rsLoRA, so its scale is 1. (In PEFT 0.21.2 it inherits
/// use_rslora, and the result is sqrt(r) times too large.) Weights of an adapter may be negative.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/peft/fold.hpp"
#include "veneer/peft/named_adapters.hpp"
#include "veneer/peft/task_arithmetic.hpp"
#include "veneer/peft/truncated_svd.hpp"

namespace veneer {

enum class Combination {
  linear,
  cat,
  svd,
  ties,
  ties_svd,
  dare_linear,
  dare_linear_svd,
  dare_ties,
  dare_ties_svd,
  magnitude_prune,
  magnitude_prune_svd,
};

/// PEFT's names, in the order of Combination.
inline constexpr std::array<std::string_view, 11> combination_names{"linear",
                                                                    "cat",
                                                                    "svd",
                                                                    "ties",
                                                                    "ties_svd",
                                                                    "dare_linear",
                                                                    "dare_linear_svd",
                                                                    "dare_ties",
                                                                    "dare_ties_svd",
                                                                    "magnitude_prune",
                                                                    "magnitude_prune_svd"};

inline std::string_view combination_name(Combination type) { return combination_names[static_cast<std::size_t>(type)]; }

/// \throws ArgumentError for a name that none has; it lists them
inline Combination combination_named(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < combination_names.size(); ++i) {
    if (combination_names[i] == name) return static_cast<Combination>(i);
    known += (i == 0 ? "" : ", ") + std::string(combination_names[i]);
  }
  throw ArgumentError("veneer::combine: no combination is called \"" + std::string(name) + "\"; there are " + known);
}

/// An adapter, and how much of it.
struct WeightedAdapter {
  std::string name;
  double weight = 1.0;
};

struct CombineOptions {
  Combination type = Combination::svd;
  index_t rank = 0;      // of svd and ..._svd; 0: the largest of the adapters
  double density = 1.0;  // of what is kept: ties, dare, magnitude_prune
  MajoritySign majority_sign = MajoritySign::total;
  std::uint64_t seed = 0;  // of what dare drops
};

namespace detail {

/// One adapter's part in one module, on the host.
struct WeightedTerm {
  double weight, scaling;
  HostMatrix up, down;
};

struct CombinationKind {
  bool svd = false;  // the rule is applied to whole changes
  TaskRule rule = TaskRule::linear;
};

inline CombinationKind kind_of(Combination type) {
  switch (type) {
    case Combination::svd: return {true, TaskRule::linear};
    case Combination::ties: return {false, TaskRule::ties};
    case Combination::ties_svd: return {true, TaskRule::ties};
    case Combination::dare_linear: return {false, TaskRule::dare_linear};
    case Combination::dare_linear_svd: return {true, TaskRule::dare_linear};
    case Combination::dare_ties: return {false, TaskRule::dare_ties};
    case Combination::dare_ties_svd: return {true, TaskRule::dare_ties};
    case Combination::magnitude_prune: return {false, TaskRule::magnitude_prune};
    case Combination::magnitude_prune_svd: return {true, TaskRule::magnitude_prune};
    default: return {};
  }
}

/// All terms as one product: columns of up_i, rows of c_i down_i.
inline TruncatedSvd concatenated(const std::vector<WeightedTerm>& terms) {
  index_t rank = 0;
  for (const WeightedTerm& term : terms) rank += term.down.rows;
  TruncatedSvd sum{HostMatrix(terms[0].up.rows, rank), HostMatrix(rank, terms[0].down.columns), {}};
  index_t first = 0;
  for (const WeightedTerm& term : terms) {
    for (index_t k = 0; k < term.down.rows; ++k) {
      for (index_t r = 0; r < term.up.rows; ++r) sum.up.at(r, first + k) = term.up.at(r, k);
      for (index_t c = 0; c < term.down.columns; ++c)
        sum.down.at(first + k, c) = term.weight * term.scaling * term.down.at(k, c);
    }
    first += term.down.rows;
  }
  return sum;
}

/// The new up and down of one module, unpadded.
inline TruncatedSvd combined_term(const std::vector<WeightedTerm>& terms, const CombineOptions& options, index_t rank,
                                  RandomStream source) {
  const CombinationKind kind = kind_of(options.type);
  if (options.type == Combination::cat) return concatenated(terms);
  if (options.type == Combination::svd) {
    const TruncatedSvd sum = concatenated(terms);
    return truncated_svd(sum.up, sum.down, rank);
  }
  const HostMatrix &first_up = terms[0].up, &first_down = terms[0].down;
  std::vector<std::vector<double>> ups, downs;
  std::vector<double> up_weights, down_weights;
  for (const WeightedTerm& term : terms) {
    const double factor = term.weight * term.scaling, root = std::sqrt(std::abs(factor));
    if (kind.svd) {
      HostMatrix change = matmul(term.up, term.down);
      for (double& value : change.values) value *= term.scaling;
      ups.push_back(std::move(change.values));
      up_weights.push_back(term.weight);
    } else {
      ups.push_back(term.up.values), downs.push_back(term.down.values);
      up_weights.push_back(root), down_weights.push_back(factor >= 0.0 ? root : -root);
    }
  }
  const auto apply_rule = [&](std::vector<std::vector<double>> tasks, const std::vector<double>& weights,
                              std::uint64_t stream) {
    return combine_tasks(kind.rule, std::move(tasks), weights, options.density, options.majority_sign,
                         {source.seed, source.stream + stream});
  };
  if (kind.svd) {
    return truncated_svd(HostMatrix(first_up.rows, first_down.columns, apply_rule(std::move(ups), up_weights, 0)),
                         rank);
  }
  return {HostMatrix(first_up.rows, first_up.columns, apply_rule(std::move(ups), up_weights, 0)),
          HostMatrix(first_down.rows, first_down.columns, apply_rule(std::move(downs), down_weights, terms.size())),
          {}};
}

/// The largest rank of an adapter's modules.
inline index_t largest_rank(const AdapterPlan& plan) {
  index_t rank = 0;
  for (const AdaptedModule& module : plan.modules) rank = std::max(rank, module.rank);
  return rank;
}

/// Refuses what no rule is defined for.
template <class Model>
void check_combination(const NamedAdapters<Model>& adapters, const std::vector<WeightedAdapter>& parts,
                       const CombineOptions& options) {
  expects(!parts.empty(), "veneer::combine: expected at least one adapter");
  expects(options.rank >= 0, "veneer::combine: the rank must be at least 1, or 0 for the largest of the adapters");
  for (const WeightedAdapter& part : parts) {
    const auto& entry = adapters.at(part.name);
    expects(std::isfinite(part.weight), "veneer::combine: the weight of \"" + part.name + "\" must be finite");
    expect_plain_base(entry.config, "veneer::combine: \"" + part.name + "\"");
    expects(!entry.config.lora_bias, "veneer::combine: lora_B of \"" + part.name +
                                         "\" has a bias, for which there is no rule: add the outputs, by sum(names)");
    expects(entry.plan.trained.empty() && entry.own_base.empty(),
            "veneer::combine: \"" + part.name +
                "\" brings weights of the base (modules_to_save, biases, embeddings), " +
                "for which there is no rule: combine adapters without them");
  }
}

/// Modules whose names the choices of all parts have, or else all names in full.
template <class Model>
AdapterConfig combined_config(const NamedAdapters<Model>& adapters, const std::vector<WeightedAdapter>& parts,
                              const std::vector<std::string>& modules, index_t rank) {
  AdapterConfig config = folded_config(adapters.at(parts[0].name).config, rank, static_cast<double>(rank));
  std::vector<std::string> names;
  bool lists = true;
  for (const WeightedAdapter& part : parts) {
    const AdapterConfig& own = adapters.at(part.name).config;
    lists = lists && own.target_modules.kind == ModuleChoice::Kind::names && !own.layers_to_transform &&
            own.exclude_modules.kind == ModuleChoice::Kind::none;
    for (const std::string& name : own.target_modules.names)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  config.target_modules = ModuleChoice(lists ? names : modules);
  config.exclude_modules = {};
  config.layers_to_transform.reset(), config.layers_pattern.clear();
  return config;
}

}  // namespace detail

/// Makes a new adapter out of some and adds it under a name. A single one is scaled, whatever the type. Modules that
/// some of the adapters leave alone are combined out of the others. Values are computed in double and rounded once.
/// \throws ArgumentError for names that are unknown or taken; for ranks that differ where they must not; for adapters
///         that are no low-rank term (DoRA, IA3), or bring a bias of B or weights of the base
template <class Model>
AdapterPlan combine(NamedAdapters<Model>& adapters, const std::string& name, const std::vector<WeightedAdapter>& parts,
                    CombineOptions options = {}) {
  adapters.check_new(name);
  detail::check_combination(adapters, parts, options);
  if (parts.size() == 1) options.type = Combination::linear;
  const bool cat = options.type == Combination::cat, svd = detail::kind_of(options.type).svd;

  std::vector<std::string> modules;
  std::map<std::string, std::vector<detail::WeightedTerm>> terms;
  index_t rank = 0;
  for (const WeightedAdapter& part : parts) {
    Model model = adapters.at(part.name).model;
    const index_t own = detail::largest_rank(adapters.at(part.name).plan);
    rank = cat ? rank + own : std::max(rank, own);
    for (const auto& site : sites(model)) {
      if (!site->adapted()) continue;
      const std::string& module = site->name;
      const auto term = detail::low_rank_term(*site, "veneer::combine: the adapter \"" + part.name + "\" of " + module +
                                                         " scales the weight itself (DoRA, IA3): it can't be combined");
      std::vector<detail::WeightedTerm>& all = terms[module];
      if (all.empty()) modules.push_back(module);
      expects(cat || svd || all.empty() || all[0].down.rows == term.rank(),
              "veneer::combine: " + module + " has rank " + std::to_string(term.rank()) + " in \"" + part.name +
                  "\" and " + std::to_string(all.empty() ? 0 : all[0].down.rows) + " in another: " +
                  std::string(combination_name(options.type)) + " needs equal ranks; cat and the svd forms do not");
      all.push_back({part.weight, term.scaling, to_host_matrix(term.up), to_host_matrix(term.down)});
    }
  }
  if (svd && options.rank > 0) rank = options.rank;

  AdapterConfig config = detail::combined_config(adapters, parts, modules, rank);
  Model model = adapters.base();
  AdapterPlan plan = plan_adapter(model, config, false);
  if (plan.modules.size() != modules.size()) config.target_modules = ModuleChoice(modules);
  plan = attach(model, config, {.strict = false, .initialise = false});
  for (const auto& site : sites(model)) {
    if (!site->adapted()) continue;
    using T = typename site_t<Model>::scalar;
    const TruncatedSvd made =
        detail::combined_term(terms.at(site->name), options, rank, {options.seed, detail::name_hash(site->name)});
    const LowRankFactors<T, typename Model::backend> term{
        from_host_matrix<T>(made.down, model.device), from_host_matrix<T>(made.up, model.device), 1.0, {}};
    detail::place_lora(*site, term, rank, config.lora_dropout);
  }
  adapters.add(name, std::move(model), config, plan);
  return plan;
}

}  // namespace veneer
