// SPDX-License-Identifier: Apache-2.0
/// \file vera.hpp
/// VeraAdapter: y = w x + b * B (d * A x), with w, A and B frozen.    (VeRA)
///
///   A: (rank, in)   B: (out, rank)   d, `vera_lambda_d`: (rank), first d_initial   b, `vera_lambda_b`: (out), first 0
/// A and B are the first columns and rows of one random pair shared by all modules. Dropout is applied before A.
/// Kopiczko et al., "VeRA: Vector-based Random Matrix Adaptation", arXiv:2310.11454, eq. 2.
#pragma once

#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"
#include "veneer/peft/shared_projection.hpp"

namespace veneer {

template <Backend B, Real T = float>
struct VeraAdapter {
  Parameter<T, Shape<dyn>, B> d, b;
  std::shared_ptr<SharedProjection<T, B>> projection;
  double dropout_probability = 0.0;

  auto operator()(const auto& w, const auto& bias, const auto& x) const {
    const auto z = veneer::linear(dropout(x, dropout_probability), projection->down(w.shape()[1]));  // (tokens, rank)
    const auto y =
        add(veneer::linear(x, w), scale_columns(veneer::linear(scale_columns(z, d), projection->up(w.shape()[0])), b));
    return add_bias(y, bias);
  }
  /// d * A and b * B, as they are now.
  LowRankFactors<T, B> factors(const auto& w) const {
    return {scale_rows(projection->down(w.shape()[1]), d), scale_rows(projection->up(b.count()), b), 1.0, {}};
  }
  /// w + (b * B) (d * A).    (out, in)
  auto merged(const auto& w, const auto& bias) const { return factors(w).merged(w, bias); }

  template <class F>
  void visit_shared(const F& f) {
    if (projection->saved) f("vera_A", projection->a), f("vera_B", projection->b);
  }
  static constexpr auto fields =
      std::tuple{field("vera_lambda_b", &VeraAdapter::b), field("vera_lambda_d", &VeraAdapter::d)};
};

/// VeRA as a method.
struct Vera {
  index_t r = 256;
  double d_initial = 0.1, vera_dropout = 0.0;
  index_t projection_prng_key = 0;                   // of A and B
  bool save_projection = true, init_weights = true;  // false: d is random and b is 1

  static constexpr const char *peft_type = "VERA", *name = "VeRA";
  static constexpr std::array<std::string_view, 4> shares{"bias", "fan_in_fan_out", "layers_pattern",
                                                          "layers_to_transform"};
  static constexpr auto settings = std::tuple{
      setting("r", &Vera::r, "rank"),
      setting("d_initial", &Vera::d_initial, "d-initial", "initial value of d"),
      setting("vera_dropout", &Vera::vera_dropout, "dropout"),
      setting("projection_prng_key", &Vera::projection_prng_key, "projection-key", "seed of the shared A and B"),
      setting("save_projection", &Vera::save_projection),
      setting("init_weights", &Vera::init_weights)};
  template <Backend B, Real T>
  using linear = VeraAdapter<B, T>;
  bool operator==(const Vera&) const = default;

  void check(const auto&) const {
    expects(r >= 1, "r: found " + std::to_string(r) + ", expected a rank of at least 1");
    expects(vera_dropout >= 0 && vera_dropout < 1, "vera_dropout: expected a probability of at least 0 and below 1");
  }
  double dropout() const { return vera_dropout; }
  void describe(AdaptedModule& module, const auto&) const { module.rank = r; }
  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const auto projection =
        site.template shared<SharedProjection<T, B>>(r, site.largest_out, site.largest_in, projection_prng_key,
                                                     save_projection, site.values || !save_projection, site.device);
    return {site.constant(Shape<dyn>(r), d_initial, init_weights),
            site.constant(Shape<dyn>(site.module.out), init_weights ? 0.0 : 1.0), projection, vera_dropout};
  }
};

}  // namespace veneer
