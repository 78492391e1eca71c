// SPDX-License-Identifier: Apache-2.0
/// \file miss.hpp
/// MissAdapter: y = w x + Dᵀ F x, with w frozen: blocks of the input share one matrix.    (MiSS)
///
///   w: (out, in)   D, `miss_block`: (rank, out), or (rank, mini_r) repeated along out; starts at 0
///   F: (rank, in), F_ji = 1 where i mod rank = j: the sum of the input's blocks of `rank` values
/// Kang and Yin, "Balancing LoRA Performance and Efficiency with Simple Shard Sharing", arXiv:2409.15371.
#pragma once

#include "veneer/ops/dropout.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"
#include "veneer/peft/transposed.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct MissAdapter {
  Parameter<T, Shape<dyn, dyn>, B> block;
  Matrix<T, B> fold;
  index_t out = 0;
  double dropout_probability = 0.0;

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    const auto z = linear(dropout(x, dropout_probability), fold);  // (tokens, rank)
    return add_bias(add(linear(x, w), linear(z, transposed(parameter_for(x, block), out))), b);
  }
  LowRankFactors<T, B> factors(const auto&) const { return {fold, transposed(block.value(), out), 1.0, {}}; }
  auto merged(const auto& w, const auto& b) const { return factors(w).merged(w, b); }

  static constexpr auto fields = std::tuple{field("miss_block", &MissAdapter::block)};
};

/// MiSS as a method.
struct Miss {
  index_t r = 64, mini_r = 1;
  double miss_dropout = 0.0;
  InitSetting init_weights{};  // true: zeros; false: uniform; mini: zeros of (rank, mini_r)

  static constexpr const char *peft_type = "MISS", *name = "MiSS", *bias_only = "MiSS_only";
  static constexpr std::array<std::string_view, 4> shares{"bias", "exclude_modules", "layers_pattern",
                                                          "layers_to_transform"};
  static constexpr auto settings =
      std::tuple{setting("r", &Miss::r, "rank"), setting("miss_dropout", &Miss::miss_dropout, "dropout"),
                 setting("mini_r", &Miss::mini_r, "mini-rank", "columns of D, with --miss-init mini"),
                 setting("init_weights", &Miss::init_weights, "miss-init", "true, false or mini")};
  template <Backend B, Real T>
  using linear = MissAdapter<B, T>;
  bool operator==(const Miss&) const = default;

  double dropout() const { return miss_dropout; }
  void check(const auto&) const {
    expects(r >= 1 && mini_r >= 1, "r, mini_r: expected ranks of at least 1");
    expects(miss_dropout >= 0 && miss_dropout < 1, "miss_dropout: expected a probability of at least 0 and below 1");
    expects(init_weights.name == "true" || init_weights.name == "false" || init_weights.name == "mini",
            "init_weights: \"" + init_weights.name + "\" is not supported; true, false and mini are");
  }
  void describe(AdaptedModule& module, const auto&) const { module.rank = r; }
  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const index_t in = site.module.in, out = site.module.out;
    const bool mini = init_weights.name == "mini";
    expects(r <= in && (!mini || out % mini_r == 0), "veneer::attach: " + site.module.name +
                                                         ": MiSS needs r of at most " + std::to_string(in) +
                                                         ", and mini_r that divides " + std::to_string(out));
    const Shape<dyn, dyn> of(r, mini ? mini_r : out);
    std::vector<T> fold(static_cast<std::size_t>(r * in));
    for (index_t i = 0; i < in; ++i) fold[static_cast<std::size_t>((i % r) * in + i)] = T(1);
    return {site.parameter(of,
                           [&] {
                             return init_weights.name == "false" ? site.uniform_in(of, out, site.source)
                                                                 : zeros<T>(of, site.device);
                           }),
            from_host(Shape<dyn, dyn>(r, in), fold, site.device), out, miss_dropout};
  }
};

}  // namespace veneer
