// SPDX-License-Identifier: Apache-2.0
/// \file dora.hpp
/// DoraAdapter: y = (m / n) * (w x + s B A x), with w frozen: separate magnitude and direction of each row.    (DoRA)
///
///   w: (out, in)   A, B, s: as in lora.hpp   m, `lora_magnitude_vector`: (out)   n_o = ||w_o + s B_o A||: (out)
/// Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv:2402.09353, eq. 5; n is a constant to autograd,
/// section 4.3. m is initially n, so that an untrained adapter changes nothing. With dropout, x' = dropout(x), as in
/// PEFT: y = w (x - x') + (m / n) * (w x' + s B A x'). A row with n = 0 gives 0.
/// On an embedding, n is the norm over the vocabulary: y = (m / n) * (table[id] + s B A[:, id]), m, n: (features).
///
/// n is computed without w + s B A (ops/low_rank_norm.hpp) and cached until A, B or w change; ||w_o||^2
/// until w changes.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "veneer/nn/weight_slot.hpp"
#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/low_rank_norm.hpp"
#include "veneer/peft/lora.hpp"

namespace veneer {

namespace ops {
template <Real T>
struct NonZeroBody {
  T* x;
  VENEER_HD void operator()(index_t i) const {
    if (x[i] == T(0)) x[i] = T(1);
  }
};
}  // namespace ops

namespace detail {

/// Storage that a weight shares with its handles, by which it is known again.
template <class W>
concept SharedStorage = !ParameterLike<W> && requires(const W& w) { std::weak_ptr<const void>(w.share()); };

/// n, with 1 in the place of 0, as long as it holds. Shared by all handles of an adapter; many threads may ask.
template <bool Columns, Real T, Backend B>
class NormCache {
 public:
  auto norms(const auto& w, const auto& direction) {
    const std::scoped_lock lock(mutex_);
    const auto& down = direction.down;
    const auto& up = direction.up;
    const bool known = same_weight(w);
    const bool fresh = known && norms_ && down_ == down.slot() && up_ == up.slot() && scaling_ == direction.scaling &&
                       down_version_ == down.slot()->version && up_version_ == up.slot()->version;
    if (fresh) return norms_;
    const auto& values = value_of(w);
    if (!known) squares_ = ops::squared_norms<Columns>(values), remember(w);
    norms_ = low_rank_norms<Columns>(values, squares_, down.value(), up.value(), direction.scaling);
    norms_.device().for_each(norms_.count(), ops::NonZeroBody<T>{norms_.data()});
    down_ = down.slot(), up_ = up.slot(), scaling_ = direction.scaling;
    down_version_ = down_->version, up_version_ = up_->version;
    return norms_;
  }

 private:
  template <class W>
  bool same_weight(const W& w) const {
    if constexpr (SharedStorage<W>) {
      return values_ == static_cast<const void*>(w.share().get()) && !owner_.owner_before(w.share()) &&
             !w.share().owner_before(owner_);
    } else {
      return false;  // it may have changed in place
    }
  }
  template <class W>
  void remember(const W& w) {
    values_ = nullptr, owner_.reset();
    if constexpr (SharedStorage<W>) values_ = w.share().get(), owner_ = w.share();
  }

  std::mutex mutex_;
  const void* values_ = nullptr;
  std::weak_ptr<const void> owner_;  // keeps the address from being used again, not the values
  std::shared_ptr<GradientSlot<T, 2, B>> down_, up_;
  std::uint64_t down_version_ = 0, up_version_ = 0;
  double scaling_ = 0.0;
  Tensor<double, Shape<dyn>, B> squares_;
  Tensor<T, Shape<dyn>, B> norms_;
};

/// Length and direction: what DoRA of a linear module and of an embedding share.
template <bool Columns, Backend B, Real T, class Direction>
class Magnitude {
 public:
  /// m = n: the start.
  void reset(const auto& w, const Direction& direction) {
    const auto& values = value_of(w);
    value = Parameter(low_rank_norms<Columns>(values, ops::squared_norms<Columns>(values), direction.down.value(),
                                              direction.up.value(), direction.scaling));
  }

  /// m / n, on the tape of x if x is on one.
  auto ratio(const auto& w, const auto& x, const Direction& direction) const {
    const auto norms = cache_->norms(w, direction);
    if constexpr (VariableLike<decltype(x)>) {
      return divide(on_tape(value, x.tape()), norms);
    } else {
      return divide(value.value(), norms);
    }
  }

  Parameter<T, Shape<dyn>, B> value;
  static constexpr auto fields = std::tuple{field("lora_magnitude_vector", &Magnitude::value)};

 private:
  std::shared_ptr<NormCache<Columns, T, B>> cache_ = std::make_shared<NormCache<Columns, T, B>>();
};

}  // namespace detail

/// \tparam Rank the rank, or `dyn`
template <Backend B, index_t Rank = dyn, Real T = float>
class DoraAdapter {
 public:
  using Direction = LowRankAdapter<B, Rank, T>;

  DoraAdapter() = default;
  /// Around a direction, with m = n: nothing changes beyond what the direction does to the angles.
  template <Weight W>
  DoraAdapter(const W& w, Direction start) : direction(std::move(start)) {
    magnitude.reset(w, direction);
  }
  /// For a weight of (out, in), on its device, as PEFT starts it.
  template <Weight W>
  explicit DoraAdapter(const W& w, LowRankOptions options = {}, RandomStream source = {}, index_t rank = Rank)
      : DoraAdapter(w, Direction(w.shape(), options, source, rank, value_of(w).device())) {}

  index_t rank() const { return direction.rank(); }

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    const auto g = magnitude.ratio(w, x, direction);
    if constexpr (VariableLike<decltype(x)>) {
      if (const double p = direction.dropout_probability; p > 0.0) {
        const auto dropped = dropout(x, p);
        return add_bias(add(linear(add(x, scale(dropped, -1.0)), w), veneer::scale_columns(through(w, dropped), g)), b);
      }
    }
    return add_bias(veneer::scale_columns(through(w, x), g), b);
  }

  /// {(m / n) * (w + s B A), b}, dense.    (out, in), (out)
  auto merged(const auto& w, const auto& b) const {
    const auto sum = direction.merged(w, b);
    return Affine{scale_rows(sum.weight, magnitude.ratio(w, sum.weight, direction)), sum.bias};
  }

  /// w x + s B A x.
  auto through(const auto& w, const auto& x) const {
    return low_rank_linear(x, w, direction.down, direction.up, direction.scaling);
  }

  Direction direction;
  detail::Magnitude<false, B, T, Direction> magnitude;
  static constexpr auto fields = std::tuple{field("", &DoraAdapter::direction), field("", &DoraAdapter::magnitude)};
};

/// DoRA on the rows of an embedding table; the lengths are those of its columns.
template <Backend B, index_t Rank = dyn, Real T = float>
class DoraEmbeddingAdapter {
 public:
  using Direction = LowRankEmbeddingAdapter<B, Rank, T>;

  DoraEmbeddingAdapter() = default;
  template <Weight W>
  DoraEmbeddingAdapter(const W& table, Direction start) : direction(std::move(start)) {
    magnitude.reset(table, direction);
  }

  index_t rank() const { return direction.rank(); }

  auto operator()(const auto& table, NoBias none, const auto& ids) const {
    return veneer::scale_columns(direction(table, none, ids), magnitude.ratio(table, ids, direction));
  }

  /// (m / n) * (table + s (B A)ᵀ), dense.    (vocabulary, features)
  auto merged(const auto& table, const auto& b) const {
    const auto sum = direction.merged(table, b).weight;
    return Affine{veneer::scale_columns(sum, magnitude.ratio(table, sum, direction)), b};
  }

  Direction direction;
  detail::Magnitude<true, B, T, Direction> magnitude;
  static constexpr auto fields =
      std::tuple{field("", &DoraEmbeddingAdapter::direction), field("", &DoraEmbeddingAdapter::magnitude)};
};

/// DoRA as a method: LoRA's file with use_dora.
struct Dora : Lora {
  static constexpr const char* name = "DoRA";
  using in_file_of = Lora;
  static constexpr bool starts_from_weights = true;
  template <Backend B, Real T>
  using linear = DoraAdapter<B, dyn, T>;
  template <Backend B, Real T>
  using embedding = DoraEmbeddingAdapter<B, dyn, T>;

  template <Real T, Backend B, class Config>
  static linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto& w) {
    return started<linear<B, T>>(site, w, Lora::make_linear(site, w), site.module.out);
  }
  template <Real T, Backend B, class Config>
  static embedding<B, T> make_embedding(const AdapterSite<T, B, Config>& site, const auto& table) {
    return started<embedding<B, T>>(site, table, Lora::make_embedding(site, table), site.module.in);
  }

 private:
  template <class A>
  static A started(const auto& site, const auto& w, auto direction, index_t lengths) {
    A adapter;
    adapter.direction = std::move(direction);
    adapter.magnitude.value = site.parameter(Shape<dyn>(lengths), [&] {
      return with_weight(w, [&](const auto& weight) {
        adapter.magnitude.reset(weight, adapter.direction);
        return adapter.magnitude.value.value();
      });
    });
    return adapter;
  }
};

}  // namespace veneer
