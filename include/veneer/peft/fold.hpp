// SPDX-License-Identifier: Apache-2.0
/// \file fold.hpp
/// fold_to_lora(model, config, plan): converts an adapter to plain LoRA of the same function, with one rank and one
/// alpha for all modules.
///
///   s B A = B' A'      A': A padded with rows of zeros, (r, in)      B': s B padded with columns of zeros, (out, r)
/// r is the largest rank of a module and alpha = r, so the scale is 1 whether a tool divides alpha by the r of the file
/// or by the rank of the tensors, and whether it supports patterns or not. So tools that support only LoRA can read
/// rsLoRA, rank and alpha patterns, AdaLoRA and VeRA. A plain adapter is not changed. Each value of B' is rounded once.
/// Hu et al., arXiv:2106.09685, eq. 3.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/peft/attach.hpp"

namespace veneer {

/// A model whose adapter is plain LoRA, with what save_adapter wants to know of it.
template <class Model>
struct FoldedAdapter {
  Model model;
  AdapterConfig config;
  AdapterPlan plan;
  bool rewritten = false;  // false: it was plain, and the factors are the very same ones
};

namespace detail {

/// values: (rows, columns) in the first rows and columns of a larger matrix of zeros, times a factor.
template <Real T, Backend B>
Matrix<T, B> padded(const Matrix<T, B>& values, index_t rows, index_t columns, double factor) {
  const std::vector<T> from = to_host(values);
  std::vector<T> to(static_cast<std::size_t>(rows * columns), T(0));
  for (index_t r = 0; r < values.extent(0); ++r) {
    for (index_t c = 0; c < values.extent(1); ++c) {
      const T value = from[static_cast<std::size_t>(r * values.extent(1) + c)];
      to[static_cast<std::size_t>(r * columns + c)] = static_cast<T>(factor * static_cast<double>(value));
    }
  }
  return from_host(Shape<dyn, dyn>(rows, columns), to, values.device());
}

/// Puts a term into the slot of a site as LoRA of this rank with a scale of 1.
template <Real T, Backend B>
void place_lora(Site<T, B>& site, const LowRankFactors<T, B>& term, index_t rank, double dropout) {
  const auto fill = [&](auto adapter) {
    adapter.down = Parameter<T, Shape<dyn, dyn>, B>(padded(term.down, rank, term.down.extent(1), 1.0));
    adapter.up = Parameter<T, Shape<dyn, dyn>, B>(padded(term.up, term.up.extent(0), rank, term.scaling));
    if constexpr (requires { adapter.bias; }) {
      adapter.dropout_probability = dropout;
      if (term.bias) adapter.bias = Parameter<T, Shape<dyn>, B>(term.scaled_bias());
    }
    site.place(adapter);
  };
  if (site.kind == ModuleKind::embedding) {
    fill(LowRankEmbeddingAdapter<B, dyn, T>());
  } else {
    fill(LowRankAdapter<B, dyn, T>());
  }
}

/// Refuses an adapter that stands on another base than the one that readers have.
inline void expect_plain_base(const AdapterConfig& config, const std::string& call) {
  expects(!initialization_named(config.init_lora_weights).changes_base(),
          call + ": init_lora_weights \"" + config.init_lora_weights +
              "\" changed the base too, so the factors alone say another function: merge it into the model instead, or "
              "take what save_adapter, and PEFT, convert it to");
}

/// The settings of plain LoRA with one rank and alpha, the rest as it was.
inline AdapterConfig folded_config(AdapterConfig config, index_t rank, double alpha) {
  std::visit(
      [&](const auto& own) {
        if constexpr (requires { own.dropout(); }) config.lora_dropout = own.dropout();
      },
      config.method);
  config.r = rank, config.lora_alpha = alpha;
  config.use_rslora = config.use_dora = false;
  config.rank_pattern.clear(), config.alpha_pattern.clear();
  config.loftq_config.reset();
  config.init_lora_weights = "true";
  config.method = Lora{};
  return config;
}

/// The term of an adapted site.
/// \throws ArgumentError, in the words of `refusal`, when the adapter is no such term
template <Real T, Backend B>
LowRankFactors<T, B> low_rank_term(const Site<T, B>& site, const std::string& refusal) {
  const auto term = site.factors();
  expects(term.has_value(), refusal);
  return *term;
}

}  // namespace detail

/// \param adapted  a model with an adapter, by attach or load_adapter, with its settings and plan
/// \throws ArgumentError for an adapter that is no low-rank term (DoRA, IA3), or whose first values changed the base
template <class Model>
FoldedAdapter<Model> fold_to_lora(const Model& adapted, const AdapterConfig& config, const AdapterPlan& plan) {
  FoldedAdapter<Model> folded{adapted, config, plan, false};
  expects(!plan.modules.empty(), "veneer::fold_to_lora: the plan names no module: there is no adapter to fold");
  detail::expect_plain_base(config, "veneer::fold_to_lora");
  const AdaptedModule& first = plan.modules.front();
  index_t rank = 1;
  bool plain = std::holds_alternative<Lora>(config.method) && !config.use_rslora && !config.use_dora;
  for (const AdaptedModule& module : plan.modules) {
    rank = std::max(rank, module.rank);
    plain = plain && module.rank == first.rank && module.alpha == first.alpha;
  }
  folded.rewritten = !plain;
  folded.config = detail::folded_config(config, rank, plain ? first.alpha : static_cast<double>(rank));
  for (const auto& site : sites(folded.model)) {
    if (!site->adapted()) continue;
    const auto term =
        detail::low_rank_term(*site, "veneer::fold_to_lora: the adapter of " + site->name +
                                         " scales the weight itself (DoRA, IA3) or replaces rows of it (trainable "
                                         "tokens), which no LoRA can say: merge it into the model instead");
    if (!plain) detail::place_lora(*site, term, rank, folded.config.lora_dropout);
  }
  folded.plan = plan_adapter(folded.model, folded.config, false);
  return folded;
}

}  // namespace veneer
