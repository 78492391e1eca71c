// SPDX-License-Identifier: Apache-2.0
/// \file ia3.hpp
/// ScalingAdapter: y = l * (w x + b), or in a feed-forward module y = w (l * x) + b, with w frozen.    (IA3)
///
///   w: (out, in)   b: (out)   l, `ia3_l`: (out, 1), feed-forward (1, in); initially 1
/// Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-ForwardContext Learning",
/// arXiv:2205.05638, section 3.3.
#pragma once

#include "veneer/nn/adapter.hpp"
#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/peft/method.hpp"
#include "veneer/peft/module_choice.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct ScalingAdapter {
  Parameter<T, Shape<dyn, dyn>, B> gains;
  bool feedforward = false;

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    return add_bias(feedforward ? linear(scale_columns(x, gains), w) : scale_columns(linear(x, w), gains), scaled(b));
  }
  auto merged(const auto& w, const auto& b) const {
    const auto& dense = decode(value_of(w));
    return Affine{feedforward ? scale_columns(dense, gains) : scale_rows(dense, gains), scaled(b)};
  }

  static constexpr auto fields = std::tuple{field("ia3_l", &ScalingAdapter::gains)};

 private:
  /// l * b; b itself in a feed-forward module, and where the layer has none.
  template <class C>
  C scaled(const C& b) const {
    if constexpr (!std::is_same_v<C, NoBias>) {
      if (!feedforward && value_of(b)) return C(scale_columns(b, gains));
    }
    return b;
  }
};

/// IA3 as a method.
struct Ia3 {
  ModuleChoice feedforward_modules{};  // not set: down_proj, as PEFT has it for the models it has a default for
  bool init_ia3_weights = true;        // start at 1, not at random

  static constexpr const char *peft_type = "IA3", *name = "IA3";
  static constexpr std::array<std::string_view, 2> shares{"exclude_modules", "fan_in_fan_out"};
  static constexpr auto settings = std::tuple{setting("feedforward_modules", &Ia3::feedforward_modules),
                                              setting("init_ia3_weights", &Ia3::init_ia3_weights)};
  template <Backend B, Real T>
  using linear = ScalingAdapter<B, T>;
  bool operator==(const Ia3&) const = default;

  /// These settings with `feedforward_modules` set, as PEFT needs them for a model that it has no default for: of a
  /// list of targets those that are down_proj, since PEFT refuses others.
  Ia3 completed(const ModuleChoice& targets) const {
    Ia3 own = *this;
    if (feedforward_modules.kind != ModuleChoice::Kind::none) return own;
    own.feedforward_modules = {"down_proj"};
    if (targets.kind != ModuleChoice::Kind::names) return own;
    own.feedforward_modules.names = targets.names;
    std::erase_if(own.feedforward_modules.names, [](const auto& target) { return !target.ends_with("down_proj"); });
    return own;
  }

  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const bool inside = ends_in(completed({}).feedforward_modules, site.module.name);
    const auto of = inside ? Shape<dyn, dyn>(1, site.module.in) : Shape<dyn, dyn>(site.module.out, 1);
    return {site.constant(of, 1.0, init_ia3_weights), inside};
  }
};

}  // namespace veneer
