// SPDX-License-Identifier: Apache-2.0
/// \file adalora.hpp
/// AdaLoraAdapter: y = w x + s / n B (E * A x), with w frozen, and triplets that are masked during training.  (AdaLoRA)
///
///   w: (out, in)   A, `lora_A`: (rank, in)   E, `lora_E`: (rank, 1)   B, `lora_B`: (out, rank)
///   s = alpha, or the rank if alpha <= 0      n = init_r + 1e-5, also for a layer that keeps fewer
/// Zhang et al., "AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", arXiv:2303.10512, eq. 3; s
/// and n are PEFT's. E is initially 0. The optimizer selects the kept triplets (optim/rank_allocator.hpp); a file has
/// only these, and a rank of 0 is an unchanged layer.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"

namespace veneer {

/// Which triplets of each module stay, under "<module>.lora_E".
using RankMasks = std::vector<std::pair<std::string, std::vector<bool>>>;

/// How the sum of ranks falls from init_r to target_r a module.
struct BudgetSchedule {
  index_t target_r = 8, init_r = 12;
  index_t tinit = 0, tfinal = 0, total_step = 0;  // steps: before the first mask, after the last, in all
  index_t delta_t = 1;                            // steps from mask to mask
  double beta1 = 0.85, beta2 = 0.85;              // of the averages of sensitivity and uncertainty
  double orth_reg_weight = 0.5;                   // of || A Aᵀ - I ||_F and || Bᵀ B - I ||_F in the loss
  bool operator==(const BudgetSchedule&) const = default;

  /// \throws ArgumentError when it cannot be kept
  void check() const {
    expects(init_r >= 1, "init_r: found " + std::to_string(init_r) + ", expected a rank of at least 1");
    expects(target_r >= 0 && target_r < init_r, "target_r: found " + std::to_string(target_r) +
                                                    ", expected at least 0 and less than init_r, " +
                                                    std::to_string(init_r));
    expects(total_step >= 1, "total_step: AdaLoRA needs the number of steps of the whole training");
    expects(tinit >= 0 && tfinal >= 0 && tinit < total_step - tfinal,
            "tinit, tfinal: " + std::to_string(tinit) + " steps before the first mask and " + std::to_string(tfinal) +
                " after the last leave none of " + std::to_string(total_step) + " in between");
    expects(delta_t >= 1, "deltaT: expected at least 1 step");
    expects(beta1 > 0 && beta1 < 1 && beta2 > 0 && beta2 < 1, "beta1, beta2: expected numbers between 0 and 1");
    expects(orth_reg_weight >= 0, "orth_reg_weight: expected at least 0");
  }
};

struct AdaLora;

template <Backend B, Real T = float>
class AdaLoraAdapter {
 public:
  Parameter<T, Shape<dyn, dyn>, B> down, singular, up;  // A, E, B
  double scaling = 1.0;
  double rank_number = 0.0;  // n without its 1e-5
  double dropout_probability = 0.0;
  BudgetSchedule schedule{};
  /// Whether each triplet stays; empty before the first mask. Shared by all handles.
  std::shared_ptr<std::vector<bool>> kept = std::make_shared<std::vector<bool>>();

  index_t rank() const { return down.extent(0); }
  double factor() const { return scaling / (rank_number + 1e-5); }

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    if (rank() == 0) return add_bias(linear(x, w), b);
    if constexpr (VariableLike<decltype(x)>) {
      const auto a = scale_rows(on_tape(down, x.tape()), singular);  // (rank, in)
      if (const double p = dropout_probability; p > 0.0)
        return add_bias(add(linear(x, w), scale(linear(linear(dropout(x, p), a), up), factor())), b);
      return add_bias(low_rank_linear(x, w, a, up, factor()), b);
    } else {
      return add_bias(low_rank_linear(x, w, scale_rows(down.value(), singular.value()), up, factor()), b);
    }
  }

  /// E * A, B and s / n, as they are now.
  LowRankFactors<T, B> factors(const auto&) const {
    if (rank() == 0) return {down.value(), up.value(), factor(), {}};
    return {scale_rows(down.value(), singular.value()), up.value(), factor(), {}};
  }

  /// The change of the weight; the bias does not change.    (out, in)
  Affine<Matrix<T, B>, Vector<T, B>> delta() const {
    Matrix<T, B> change = zeros<T>(Shape<dyn, dyn>(up.extent(0), down.extent(1)), down.device());
    if (rank() > 0) ops::matmul<false, false>(change, up.value(), scale_rows(down.value(), singular.value()), factor());
    return {std::move(change), {}};
  }
  auto merged(const auto& w, const auto& b) const { return Affine{add(decode(value_of(w)), delta().weight), b}; }

  /// Adds what is masked to a configuration that is to be written.
  void record(const std::string& module, auto& config) const {
    if (kept->empty()) return;
    auto& pattern = std::get<AdaLora>(config.method).rank_pattern;
    if (!pattern) pattern.emplace();
    pattern->emplace_back(module + ".lora_E", *kept);
  }

  /// Cuts the masked triplets out of this handle, as a file has it.
  void trim() {
    if (kept->empty()) return;
    down = cut(down, true), singular = cut(singular, true), up = cut(up, false);
    kept = std::make_shared<std::vector<bool>>();
  }

  static constexpr auto fields =
      std::tuple{field("lora_A", &AdaLoraAdapter::down), field("lora_E", &AdaLoraAdapter::singular),
                 field("lora_B", &AdaLoraAdapter::up)};

 private:
  Parameter<T, Shape<dyn, dyn>, B> cut(const Parameter<T, Shape<dyn, dyn>, B>& p, bool rows) const {
    const std::vector<T> values = to_host(p.value());
    const auto columns = static_cast<std::size_t>(p.extent(1));
    std::vector<T> left;
    for (std::size_t i = 0; i < values.size(); ++i)
      if ((*kept)[rows ? i / columns : i % columns]) left.push_back(values[i]);
    const index_t rank = std::count(kept->begin(), kept->end(), true);
    const Shape<dyn, dyn> shape(rows ? rank : p.extent(0), rows ? p.extent(1) : rank);
    return Parameter(from_host(shape, left, p.device()));
  }
};

namespace detail {
template <class A>
struct IsAdaLora : std::false_type {};
template <Backend B, Real T>
struct IsAdaLora<AdaLoraAdapter<B, T>> : std::true_type {};
}  // namespace detail

/// An adapter of AdaLoRA.
template <class A>
concept AdaLoraLike = detail::IsAdaLora<A>::value;

/// AdaLoRA as a method.
struct AdaLora : BudgetSchedule {
  std::optional<RankMasks> rank_pattern{};  // of an adapter that was masked

  static constexpr const char *peft_type = "ADALORA", *name = "AdaLoRA";
  static constexpr auto shares = all_of_lora;
  static constexpr auto settings = std::tuple{
      setting("init_r", &AdaLora::init_r, "init-rank", "initial rank of every module"),
      setting("target_r", &AdaLora::target_r, "target-rank", "final mean rank"),
      setting("tinit", &AdaLora::tinit, "tinit", "steps before the first mask"),
      setting("tfinal", &AdaLora::tfinal, "tfinal", "steps after the last mask"),
      setting("total_step", &AdaLora::total_step),
      setting("deltaT", &AdaLora::delta_t, "delta-t", "steps between masks"),
      setting("beta1", &AdaLora::beta1, "beta1-ema", "decay of the average of sensitivities"),
      setting("beta2", &AdaLora::beta2, "beta2-ema", "decay of the average of uncertainties"),
      setting("orth_reg_weight", &AdaLora::orth_reg_weight, "orth-weight", "weight of the orthogonality term"),
      setting("rank_pattern", &AdaLora::rank_pattern)};
  template <Backend B, Real T>
  using linear = AdaLoraAdapter<B, T>;
  bool operator==(const AdaLora&) const = default;

  void check(const auto& config) const {
    BudgetSchedule::check();
    expects(!config.lora_bias, "lora_bias: does not work with AdaLoRA");
    for (const auto& [key, mask] : rank_pattern.value_or(RankMasks()))
      expects(static_cast<index_t>(mask.size()) == init_r, "rank_pattern: \"" + key + "\" has " +
                                                               std::to_string(mask.size()) +
                                                               " entries, expected init_r, " + std::to_string(init_r));
  }

  /// \param steps  of the whole run; 0: not known, as in a plan
  void fit(index_t steps) { total_step = steps > 0 ? steps : tinit + tfinal + 1; }

  void describe(AdaptedModule& adapted, const auto& matcher) const {
    const double alpha = matcher.config().lora_alpha;
    adapted.rank = init_r;
    if (const std::vector<bool>* mask = mask_of(adapted.name))
      adapted.rank = std::count(mask->begin(), mask->end(), true);
    adapted.alpha = alpha;
    adapted.scaling = alpha > 0 ? alpha : static_cast<double>(init_r);
    adapted.untrained = 1;  // n, which PEFT counts
  }

  template <Real T, Backend B, class Config>
  linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) const {
    const index_t rank = site.module.rank;
    const Shape<dyn, dyn> a(rank, site.module.in), e(rank, 1), b(site.module.out, rank);
    const RandomStream second{site.source.seed, ~site.source.stream};
    const bool plain = site.config.init_lora_weights != "false";  // else all are standard normal
    linear<B, T> adapter;
    const auto draw = [&](auto of, RandomStream source) {
      return normal<T>(of, source, plain ? 0.02 : 1.0, site.device);
    };
    adapter.down = site.parameter(a, [&] { return draw(a, site.source); });
    adapter.up = site.parameter(b, [&] { return draw(b, second); });
    adapter.singular = site.parameter(e, [&] {
      return plain ? zeros<T>(e, site.device) : draw(e, {site.source.seed + 1, site.source.stream});
    });
    adapter.scaling = site.module.scaling;
    adapter.rank_number = static_cast<double>(init_r);
    adapter.dropout_probability = site.config.lora_dropout;
    adapter.schedule = *this;
    return adapter;
  }

 private:
  const std::vector<bool>* mask_of(const std::string& module) const {
    if (!rank_pattern) return nullptr;
    for (const auto& [key, mask] : *rank_pattern)
      if (key == module + ".lora_E") return &mask;
    return nullptr;
  }
};

}  // namespace veneer
