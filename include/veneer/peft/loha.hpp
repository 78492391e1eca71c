// SPDX-License-Identifier: Apache-2.0
/// \file loha.hpp
/// LohaAdapter: y = (w + s (A_1 B_1) * (A_2 B_2)) x, with w frozen: starts with B_2 = 0.    (LoHa)
///
///   w: (out, in)   A_i, `hada_wi_a`: (out, rank)   B_i, `hada_wi_b`: (rank, in)   s = alpha / rank
/// Hyeon-Woo, Ye-Bin and Oh, "FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning",
/// arXiv:2108.06098, eq. 2. PEFT's rank_dropout and module_dropout act in training only, which is refused with them.
#pragma once

#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"
#include "veneer/peft/transposed.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct LohaAdapter {
  Parameter<T, Shape<dyn, dyn>, B> up1, down1, up2, down2;
  double scaling = 1.0;
  bool trains = true;  // false: with a dropout that is not supported

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    if constexpr (VariableLike<decltype(x)>)
      expects(trains, "LoHa: rank_dropout and module_dropout are not supported in training: set both to 0");
    return add_bias(add(linear(x, w), linear(x, change([&](const auto& p) { return parameter_for(x, p); }))), b);
  }
  /// s (A_1 B_1) * (A_2 B_2).    (out, in)
  Affine<Matrix<T, B>, Vector<T, B>> delta() const {
    return {change([](const auto& p) { return p.value(); }), {}};
  }
  auto merged(const auto& w, const auto& b) const { return Affine{add(decode(value_of(w)), delta().weight), b}; }

  static constexpr auto fields =
      std::tuple{field("hada_w1_a", &LohaAdapter::up1), field("hada_w1_b", &LohaAdapter::down1),
                 field("hada_w2_a", &LohaAdapter::up2), field("hada_w2_b", &LohaAdapter::down2)};

 private:
  auto change(const auto& of) const {
    return scale(multiply(linear(of(up1), transposed(of(down1))), linear(of(up2), transposed(of(down2)))), scaling);
  }
};

/// LoHa as a method.
struct Loha {
  index_t r = 8;
  double alpha = 8.0, rank_dropout = 0.0, module_dropout = 0.0;
  bool init_weights = true, use_effective_conv2d = false;  // false: B_2 is uniform too

  static constexpr const char *peft_type = "LOHA", *name = "LoHa";
  static constexpr std::array<std::string_view, 5> shares{"alpha_pattern", "exclude_modules", "layers_pattern",
                                                          "layers_to_transform", "rank_pattern"};
  static constexpr auto settings = std::tuple{setting("r", &Loha::r, "rank"),
                                              setting("alpha", &Loha::alpha, "alpha"),
                                              setting("rank_dropout", &Loha::rank_dropout),
                                              setting("module_dropout", &Loha::module_dropout),
                                              setting("init_weights", &Loha::init_weights),
                                              setting("use_effective_conv2d", &Loha::use_effective_conv2d)};
  template <Backend B, Real T>
  using linear = LohaAdapter<B, T>;
  bool operator==(const Loha&) const = default;

  void check(const auto&) const { expects(r >= 1, "r: found " + std::to_string(r) + ", expected at least 1"); }
  void describe(AdaptedModule& adapted, const auto& matcher) const {
    adapted.rank = matcher.rank_for(adapted.name, r), adapted.alpha = matcher.alpha_for(adapted.name, alpha);
    adapted.scaling = adapted.alpha / static_cast<double>(adapted.rank);
  }
  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const index_t in = site.module.in, rank = site.module.rank;
    const Shape<dyn, dyn> a(site.module.out, rank), b(rank, in);
    const auto uniform = [&](auto of, index_t fan, std::uint64_t number, bool wanted = true) {
      return site.parameter(of, [&] {
        return wanted ? site.uniform_in(of, fan, {site.source.seed + number, site.source.stream})
                      : zeros<T>(of, site.device);
      });
    };
    return {uniform(a, rank, 0), uniform(b, in, 1),
            uniform(a, rank, 2), uniform(b, in, 3, !init_weights),
            site.module.scaling, rank_dropout == 0.0 && module_dropout == 0.0};
  }
};

}  // namespace veneer
