// SPDX-License-Identifier: Apache-2.0
/// \file start.hpp
/// Weight-dependent initialisation (PiSSA, OLoRA, LoftQ, EVA): one function per layer, preconditions checked before
/// any layer changes.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "veneer/peft/config.hpp"
#include "veneer/peft/init/loftq.hpp"
#include "veneer/peft/init/olora.hpp"
#include "veneer/peft/init/orthogonal.hpp"
#include "veneer/peft/init/pissa.hpp"
#include "veneer/peft/sites.hpp"

namespace veneer {

/// First values of A by module, each (rank, in): what EVA finds (peft/init/eva.hpp).
using FirstDirections = std::map<std::string, HostMatrix>;

/// What attach tells an initialisation.
struct StartOptions {
  bool initialise = true;   // make first values of A and B
  bool change_base = true;  // take out of the base what the method takes
  bool keep_base = false;   // hold on to weights that change, so that detach gives every bit back
  const FirstDirections* directions = nullptr;
};

namespace detail {

/// Puts back what an initialisation took out of the base: every bit where the weight was kept, else B_0 A_0, rounded.
template <Real T, Backend B>
void put_base_back(Site<T, B>& site) {
  const auto part = site.low_rank();
  if (part.taken == nullptr || !*part.taken) return;
  auto weight = site.weight();
  if (part.taken->base != nullptr) {
    weight = *static_cast<const typename Site<T, B>::Weight*>(part.taken->base.get());
  } else {
    add_product(weight, part.taken->up, part.taken->down, part.scaling);
  }
  site.set_weight(weight);
  *part.taken = {};
}

/// w <- w - s B_0 A_0, and the record of it. A 4-bit weight is always kept: it could not be put together again.
template <class W, Real T, Backend B>
void take_out(W& weight, FirstFactors<T, B>& first, double scaling, bool keep_base) {
  first.taken.down = copy(first.down), first.taken.up = copy(first.up);  // the parameters will move
  if (keep_base || packed(weight)) first.taken.base = std::make_shared<W>(weight);
  add_product(weight, first.up, first.down, -scaling);
}

/// The first values of a linear module, and the change of its weight.
/// \param source  named by seed and module
template <class W, class T = compute_t<typename W::scalar>, class B = typename W::backend>
FirstFactors<T, B> start_from(W& weight, const AdapterConfig& config, const AdaptedModule& module, RandomStream source,
                              const StartOptions& options) {
  const Initialization init = initialization_named(config.init_lora_weights);
  const B device = with_stored(weight, [](const auto& w) -> B { return value_of(w).device(); });
  FirstFactors<T, B> first;
  if (init.kind == InitKind::orthogonal)
    return orthogonal_factors<T>(module.out, module.in, module.rank, source, device);
  if (init.kind == InitKind::eva) {
    first.down = from_host_matrix<T>(options.directions->at(module.name), device);
    first.up = zeros<T>(Shape<dyn, dyn>(module.out, module.rank), device);
    return first;
  }
  if (init.kind == InitKind::loftq) {
    if (packed(weight)) return first;  // an adapter that is read, over the base that it was made for
    auto start = loftq_start(weight.dense_copy(), module.rank, module.scaling, config.loftq_config->loftq_iter);
    if (options.keep_base) start.factors.taken.base = std::make_shared<W>(weight);
    weight = W(std::move(start.base));
    return start.factors;
  }
  const auto values = weight.dense_copy();
  first = init.kind == InitKind::pissa ? pissa_factors(values, module.rank, module.scaling, init.iterations, source)
                                       : olora_factors(values, module.rank);
  take_out(weight, first, module.scaling, options.keep_base);
  return first;
}

/// Whether start_from has anything to do.
inline bool starts_apart(const AdapterConfig& config, const StartOptions& options) {
  const Initialization init = initialization_named(config.init_lora_weights);
  const bool own = init.changes_base() || init.kind == InitKind::orthogonal || init.kind == InitKind::eva;
  return own && (options.initialise || (options.change_base && init.changes_base()));
}

/// An adapter that starts from a part of the base is saved as a plain one of twice the rank: with one alpha for all.
inline void expect_plain_form(const AdapterConfig& config) {
  expects(
      !config.use_rslora || (config.rank_pattern.empty() && config.alpha_pattern.empty()),
      "init_lora_weights \"" + config.init_lora_weights +
          "\" with use_rslora and rank_pattern or alpha_pattern cannot be saved as a plain adapter, in PEFT neither: "
          "give all modules one rank and alpha, or leave out use_rslora");
}

/// What must hold of a configuration alone.
inline void check_start(const AdapterConfig& config, const StartOptions& options) {
  const std::string &name = config.init_lora_weights, where = "veneer::attach: init_lora_weights \"" + name + "\" ";
  const Initialization init = initialization_named(name);
  if (options.initialise)
    expects(init.kind != InitKind::unsupported, where +
                                                    "is not supported; true, false, gaussian, orthogonal, pissa, "
                                                    "pissa_niter_N with N from 1 on, olora, loftq and eva are");
  if (!starts_apart(config, options)) return;
  expects(std::holds_alternative<Lora>(config.method), where + "is for LoRA and DoRA");
  if (options.initialise && init.subtracts()) expect_plain_form(config);
  if (init.kind != InitKind::eva) needed_decomposer(name);
  if (init.kind == InitKind::eva)
    expects(options.directions != nullptr, where +
                                               "starts from the inputs of the layers: let explained_variance of "
                                               "veneer/peft/init.hpp find them, and attach with its config and "
                                               "AttachOptions::directions");
  if (init.kind != InitKind::loftq) return;
  expects(config.loftq_config->loftq_bits == 4,
          where + "is there for loftq_bits 4; found " + std::to_string(config.loftq_config->loftq_bits));
  expects(config.loftq_config->loftq_iter >= 1, where + "needs a loftq_iter of at least 1");
}

/// What must hold of one module's shape and settings.
inline void check_start_shape(const AdapterConfig& config, const AdaptedModule& module, const StartOptions& options) {
  const Initialization init = initialization_named(config.init_lora_weights);
  const std::string where =
                        "veneer::attach: " + module.name + ": init_lora_weights \"" + config.init_lora_weights + "\" ",
                    rank = std::to_string(module.rank);
  const index_t most = std::min(module.out, module.in);
  if (init.changes_base()) {
    expects(module.rank <= most, where + "finds at most " + std::to_string(most) + " directions in a weight of (" +
                                     std::to_string(module.out) + ", " + std::to_string(module.in) + "); the rank is " +
                                     rank);
    expects(module.scaling > 0.0, where + "needs an alpha above 0");
  }
  expects(init.kind != InitKind::orthogonal || module.rank % 2 == 0, where + "needs an even rank; it is " + rank);
  if (init.kind != InitKind::eva || !options.initialise) return;
  const auto found = options.directions->find(module.name);
  expects(found != options.directions->end() && found->second.rows == module.rank && found->second.columns == module.in,
          where + "needs directions of (" + rank + ", " + std::to_string(module.in) +
              "); attach with the config that explained_variance returned");
}

/// What must hold of one module's weight: the storage that the method takes, values, and finite ones.
template <Real T, Backend B>
void check_start_weight(const Site<T, B>& site, const AdapterConfig& config, const AdaptedModule& module,
                        const StartOptions& options) {
  const auto weight = site.weight();
  const Initialization init = initialization_named(config.init_lora_weights);
  const std::string where =
      "veneer::attach: " + module.name + ": init_lora_weights \"" + config.init_lora_weights + "\" ";
  if (!init.changes_base() || !weight) return;
  expects(init.kind != InitKind::pissa || !packed(weight),
          where + "needs a weight of 16 or 32 bits, and this one is quantised: load the base without quantising it");
  if (init.kind == InitKind::loftq) {
    expects(site.takes_any_storage,
            where + "puts the weight into 4 bits, and this layer's cannot be: give it a WeightSlot");
    expects(!packed(weight) || (!options.initialise && config.loftq_config->loftq_iter == 1),
            where + "quantises the base itself, and this weight is quantised already: load the base in 16 or 32 bits");
  }
  with_stored(weight, [&](const auto& w) {
    expects(static_cast<bool>(value_of(w)), where +
                                                "starts from values, and the model has shapes only: load its "
                                                "weights first");
    const auto values = to_host(decode(value_of(w)));
    expects(std::all_of(values.begin(), values.end(), [](auto x) { return std::isfinite(x); }),
            where + "needs finite weights, and one is not");
    return 0;
  });
}

}  // namespace detail

}  // namespace veneer
