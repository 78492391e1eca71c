// SPDX-License-Identifier: Apache-2.0
/// \file convert.hpp
/// Conversion between an adapter whose initialisation was subtracted from the base, and a plain one over
/// the original base.
///
///   w - s B_0 A_0 + s B A = w + s B' A'      A' = [A; A_0]: (2 rank, in)      B' = [B, -B_0]: (out, 2 rank)
/// With alpha' = 2 alpha, or sqrt(2) alpha for rsLoRA, the scaling is the same. DoRA keeps its magnitudes, since the
/// sum in the norms is the same. An adapter whose initialisation was not subtracted (an embedding's) gets zeros.
/// As in huggingface/peft, src/peft/tuners/lora/model.py, subtract_mutated_init.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "veneer/peft/attach.hpp"

namespace veneer {

/// The settings of the plain adapter of twice the rank.
/// \throws ArgumentError with use_rslora together with patterns: one factor of alpha would not fit all ranks
inline AdapterConfig plain_config(AdapterConfig config) {
  detail::expect_plain_form(config);
  config.init_lora_weights = "true";
  config.r *= 2;
  config.lora_alpha *= config.use_rslora ? std::sqrt(2.0) : 2.0;
  for (auto& [pattern, rank] : config.rank_pattern) rank *= 2;
  for (auto& [pattern, alpha] : config.alpha_pattern) alpha *= 2.0;
  return config;
}

namespace detail {

/// Whether the adapters of a model were started by taking from the base, and all from weights that can be put together
/// again: what was taken from a weight in 4 bits is not what is missing in it.
template <class M>
bool is_convertible(M& model) {
  bool taken = false, dense = true;
  for (const auto& site : sites(model)) {
    const auto part = site->low_rank();
    if (part.taken == nullptr || !part.taken->down) continue;
    taken = true;
    dense = dense && !packed(site->weight());
  }
  return taken && dense;
}

/// [x, factor y] side by side, or one above the other.
enum class Side { below, beside };
template <Real T, ShapeLike S, ShapeLike Other, Backend B>
Matrix<T, B> joined(const Tensor<T, S, B>& x, const Tensor<T, Other, B>& y, Side side, T factor) {
  const std::vector<T> first = to_host(x), second = y ? to_host(y) : std::vector<T>(first.size(), T(0));
  const auto columns = static_cast<std::size_t>(side == Side::below ? x.count() : x.extent(1));
  std::vector<T> all;
  for (std::size_t begin = 0; begin < first.size(); begin += columns) {
    for (std::size_t i = 0; i < columns; ++i) all.push_back(first[begin + i]);
    for (std::size_t i = 0; i < columns; ++i) all.push_back(y ? factor * second[begin + i] : T(0));
  }
  const index_t rows = x.extent(0), width = x.extent(1);
  return from_host(side == Side::below ? Shape<dyn, dyn>(2 * rows, width) : Shape<dyn, dyn>(rows, 2 * width), all,
                   x.device());
}

/// One of the halves that `joined` put together.
template <Real T, ShapeLike S, Backend B>
Matrix<T, B> half_of(const Tensor<T, S, B>& x, Side side, std::size_t which, T factor) {
  const std::vector<T> both = to_host(x);
  const auto run = static_cast<std::size_t>(side == Side::below ? x.count() : x.extent(1)) / 2;
  std::vector<T> half;
  for (std::size_t begin = which * run; begin < both.size(); begin += 2 * run) {
    for (std::size_t i = 0; i < run; ++i) half.push_back(factor * both[begin + i]);
  }
  const index_t rows = x.extent(0), width = x.extent(1);
  return from_host(side == Side::below ? Shape<dyn, dyn>(rows / 2, width) : Shape<dyn, dyn>(rows, width / 2), half,
                   x.device());
}

/// Gives every adapter of a model, a copy of handles, twice the rank.
template <class M>
void make_plain(M& model) {
  using T = typename site_t<M>::scalar;
  for (const auto& site : sites(model)) {
    const auto part = site->low_rank();
    if (part.taken == nullptr) continue;
    site->replace_factors(joined(part.down, part.taken->down, Side::below, T(1)),
                          joined(part.up, part.taken->up, Side::beside, T(-1)));
    *part.taken = {};
  }
}

/// The way back: a plain adapter becomes the one that it was made of, and its base loses what that took.
template <class M>
void make_split(M& model, bool keep_base) {
  using T = typename site_t<M>::scalar;
  for (const auto& site : sites(model)) {
    const auto part = site->low_rank();
    if (part.taken == nullptr) continue;
    FirstFactors<T, typename site_t<M>::backend> first{half_of(part.down, Side::below, 1, T(1)),
                                                       half_of(part.up, Side::beside, 1, T(-1))};
    site->replace_factors(half_of(part.down, Side::below, 0, T(1)), half_of(part.up, Side::beside, 0, T(1)));
    if (site->kind == ModuleKind::embedding) continue;
    auto weight = site->weight();
    take_out(weight, first, part.scaling, keep_base);
    site->set_weight(weight);
    *part.taken = first.taken;
  }
}

}  // namespace detail

}  // namespace veneer
