// SPDX-License-Identifier: Apache-2.0
/// \file hira.hpp
/// HiraAdapter: y = (w + w * (B A)) x, with w frozen: an elementwise product with w has any rank.    (HiRA)
///
///   w: (out, in)   A, `hira_A`: (rank, in)   B, `hira_B`: (out, rank)   starts with B = 0; dropout is on the change
/// Huang et al., "HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for Large Language Models", ICLR 2025, eq. 4.
#pragma once

#include "veneer/ops/dropout.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"
#include "veneer/peft/transposed.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct HiraAdapter {
  Parameter<T, Shape<dyn, dyn>, B> down, up;
  double dropout_probability = 0.0;

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    const auto product = linear(parameter_for(x, up), transposed(parameter_for(x, down)));  // (out, in)
    const auto change = multiply(product, decode(value_of(w)));
    return add_bias(add(linear(x, w), linear(dropout(x, dropout_probability), change)), b);
  }
  auto merged(const auto& w, const auto& b) const {
    const auto& dense = decode(value_of(w));
    return Affine{add(dense, multiply(dense, linear(up.value(), transposed(down.value())))), b};
  }

  static constexpr auto fields = std::tuple{field("hira_A", &HiraAdapter::down), field("hira_B", &HiraAdapter::up)};
};

/// HiRA as a method.
struct Hira {
  index_t r = 32;
  double hira_dropout = 0.0;
  InitSetting init_weights{};  // true: A uniform, B zero; gaussian: A normal; false: both standard normal

  static constexpr const char *peft_type = "HIRA", *name = "HiRA";
  static constexpr std::array<std::string_view, 5> shares{"exclude_modules", "fan_in_fan_out", "layers_pattern",
                                                          "layers_to_transform", "rank_pattern"};
  static constexpr auto settings =
      std::tuple{setting("r", &Hira::r, "rank"), setting("hira_dropout", &Hira::hira_dropout, "dropout"),
                 setting("init_weights", &Hira::init_weights, "hira-init", "true, false or gaussian")};
  template <Backend B, Real T>
  using linear = HiraAdapter<B, T>;
  bool operator==(const Hira&) const = default;

  void check(const auto&) const {
    expects(r >= 1, "r: found " + std::to_string(r) + ", expected a rank of at least 1");
    expects(hira_dropout >= 0 && hira_dropout < 1, "hira_dropout: expected a probability of at least 0 and below 1");
    expects(init_weights.name == "true" || init_weights.name == "false" || init_weights.name == "gaussian",
            "init_weights: \"" + init_weights.name + "\" is not supported; true, false and gaussian are");
  }
  void describe(AdaptedModule& adapted, const auto& matcher) const { adapted.rank = matcher.rank_for(adapted.name, r); }
  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const index_t rank = site.module.rank;
    const Shape<dyn, dyn> a(rank, site.module.in), b(site.module.out, rank);
    const RandomStream second{site.source.seed, ~site.source.stream};
    const bool plain = init_weights.name == "true", random = init_weights.name == "false";
    const double stddev = random ? 1.0 : 1.0 / static_cast<double>(rank);
    return {
        site.parameter(a,
                       [&] {
                         return plain ? site.uniform_in(a, site.module.in, site.source)
                                      : normal<T>(a, site.source, stddev, site.device);
                       }),
        site.parameter(b, [&] { return random ? normal<T>(b, second, 1.0, site.device) : zeros<T>(b, site.device); }),
        hira_dropout};
  }
};

}  // namespace veneer
