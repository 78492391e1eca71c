// SPDX-License-Identifier: Apache-2.0
/// \file lora.hpp
/// LowRankAdapter: y = w x + s B A x, with w frozen.    (LoRA)
///
///   w: (out, in)   A, `lora_A`: (rank, in)   B, `lora_B`: (out, rank)   s = alpha / rank; rsLoRA: alpha / sqrt(rank)
/// Hu et al., arXiv:2106.09685, eq. 3; rsLoRA: Kalajdzievski, arXiv:2312.03732, eq. 4.
/// Initially B = 0, so that an untrained adapter changes nothing. Dropout applies to the adapter's input, and
/// only on a tape. On an embedding the roles are swapped: y = table[id] + s B A[:, id], with A: (rank,
/// vocabulary), B: (features, rank).
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "veneer/nn/adapter.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/peft/low_rank_factors.hpp"
#include "veneer/peft/method.hpp"

namespace veneer {

/// How strong an adapter is. PEFT's names.
struct LowRankOptions {
  double alpha = 8.0;
  double dropout = 0.0;
  bool use_rslora = false;
};

/// s = alpha / rank, or alpha / sqrt(rank).
inline double low_rank_scaling(double alpha, index_t rank, bool use_rslora) {
  return alpha / (use_rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
}

namespace detail {
inline void expect_rank(const char* name, index_t rank, index_t out, index_t in) {
  if (rank < 1) {
    throw ArgumentError(std::string("veneer::") + name + ": rank must be at least 1; it is " + std::to_string(rank) +
                        " for a weight of (" + std::to_string(out) + ", " + std::to_string(in) + ")");
  }
}
}  // namespace detail

/// \tparam Rank the rank, or `dyn`
/// \tparam T    of the factors; they stay float over 16-bit weights
template <Backend B, index_t Rank = dyn, Real T = float>
class LowRankAdapter {
  static_assert(Rank == dyn || Rank >= 1, "veneer::LowRankAdapter<Backend, Rank>: Rank must be at least 1, or dyn");

 public:
  using Down = Tensor<T, Shape<Rank, dyn>, B>;
  using Up = Tensor<T, Shape<dyn, Rank>, B>;

  LowRankAdapter() = default;

  /// For a weight of (out, in): A uniform in (-1/sqrt(in), 1/sqrt(in)), as PEFT draws it, B zero.
  /// \param rank needed when the type says `dyn`
  /// \throws ArgumentError when the rank is below 1
  template <ShapeLike S>
  explicit LowRankAdapter(const S& weight, LowRankOptions options = {}, RandomStream source = {}, index_t rank = Rank,
                          B device = {}) {
    static_assert(S::rank == 2, "veneer::LowRankAdapter(weight): the shape must be that of a matrix (out, in)");
    detail::expect_rank("LowRankAdapter", rank, weight[0], weight[1]);
    const T bound = static_cast<T>(1.0 / std::sqrt(static_cast<double>(weight[1])));
    down = Parameter(uniform<T>(shape_of<Shape<Rank, dyn>>(rank, weight[1]), source, -bound, bound, device));
    up = Parameter(zeros<T>(shape_of<Shape<dyn, Rank>>(weight[0], rank), device));
    scaling = low_rank_scaling(options.alpha, rank, options.use_rslora);
    dropout_probability = options.dropout;
  }

  /// From given factors.
  LowRankAdapter(Down a, Up b, double scale, double dropout = 0.0)
      : down(std::move(a)), up(std::move(b)), scaling(scale), dropout_probability(dropout) {}

  index_t rank() const { return down.extent(0); }

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    const auto y = [&] {
      if constexpr (VariableLike<decltype(x)>) {
        if (dropout_probability > 0.0) {
          return add(linear(x, w), scale(linear(linear(dropout(x, dropout_probability), down), up), scaling));
        }
      }
      return low_rank_linear(x, w, down, up, scaling);
    }();
    if (!bias) return add_bias(y, b);
    if constexpr (VariableLike<decltype(x)>) {
      return add_bias(add_row(y, scale(on_tape(bias, x.tape()), scaling)), b);
    } else {
      return add_bias(add_row(y, scale(bias.value(), scaling)), b);
    }
  }

  /// A, B and s as constants: handles on the same values.
  LowRankFactors<T, B> factors(const auto&) const { return {down.value(), up.value(), scaling, bias.value()}; }

  /// {s B A, s b_B}, the change of weight and bias.    (out, in), (out)
  Affine<Matrix<T, B>, Vector<T, B>> delta() const {
    Matrix<T, B> change(Shape<dyn, dyn>(up.extent(0), down.extent(1)), down.device());
    ops::matmul<false, false>(change, up.value(), down.value(), scaling);
    return {std::move(change), factors(change).scaled_bias()};
  }

  /// {w + s B A, b + s b_B}, dense.    (out, in), (out)
  template <class C>
  auto merged(const auto& w, const C& b) const {
    auto sum = copy(decode(value_of(w)));
    ops::matmul<false, false>(sum, up.value(), down.value(), scaling, 1.0);
    return Affine{sum, sum_of_biases(b, factors(w).scaled_bias())};
  }

  Parameter<T, Shape<Rank, dyn>, B> down;  // A: (rank, in)
  Parameter<T, Shape<dyn, Rank>, B> up;    // B: (out, rank)
  Parameter<T, Shape<dyn>, B> bias;        // of B: (out), PEFT's lora_bias; usually absent
  double scaling = 1.0;
  double dropout_probability = 0.0;
  TakenOut<T, B> taken{};  // out of w, for the first values of A and B; usually nothing

  static constexpr auto fields =
      std::tuple{field("lora_A.weight", &LowRankAdapter::down), field("lora_B.weight", &LowRankAdapter::up),
                 field("lora_B.bias", &LowRankAdapter::bias)};
};

/// LoRA on the rows of an embedding table.
template <Backend B, index_t Rank = dyn, Real T = float>
class LowRankEmbeddingAdapter {
  static_assert(Rank == dyn || Rank >= 1,
                "veneer::LowRankEmbeddingAdapter<Backend, Rank>: Rank must be at least 1, or dyn");

 public:
  LowRankEmbeddingAdapter() = default;

  /// For a table of (vocabulary, features): A zero, B standard normal, as PEFT draws them.
  /// \throws ArgumentError when the rank is below 1
  template <ShapeLike S>
  explicit LowRankEmbeddingAdapter(const S& table, LowRankOptions options = {}, RandomStream source = {},
                                   index_t rank = Rank, B device = {}) {
    static_assert(S::rank == 2,
                  "veneer::LowRankEmbeddingAdapter(table): the shape must be that of a matrix (vocabulary, features)");
    detail::expect_rank("LowRankEmbeddingAdapter", rank, table[0], table[1]);
    down = Parameter(zeros<T>(shape_of<Shape<Rank, dyn>>(rank, table[0]), device));
    up = Parameter(normal<T>(shape_of<Shape<dyn, Rank>>(table[1], rank), source, 1.0, device));
    scaling = low_rank_scaling(options.alpha, rank, options.use_rslora);
  }

  index_t rank() const { return down.extent(0); }

  auto operator()(const auto& table, NoBias, const auto& ids) const {
    const auto low = gather_columns(down, ids);  // (tokens, rank)
    return add(embedding(ids, table), scale(linear(low, up), scaling));
  }

  /// A, B and s as constants: handles on the same values.
  LowRankFactors<T, B> factors(const auto&) const { return {down.value(), up.value(), scaling, {}}; }

  /// s (B A)ᵀ, the change of the table.    (vocabulary, features)
  Affine<Matrix<T, B>, Vector<T, B>> delta() const {
    Matrix<T, B> change(Shape<dyn, dyn>(down.extent(1), up.extent(0)), down.device());
    ops::matmul<true, true>(change, down.value(), up.value(), scaling);
    return {std::move(change), {}};
  }

  /// The table with s (B A)ᵀ added.    (vocabulary, features)
  auto merged(const auto& table, const auto& b) const {
    auto sum = copy(decode(value_of(table)));
    ops::matmul<true, true>(sum, down.value(), up.value(), scaling, 1.0);
    return Affine{sum, b};
  }

  Parameter<T, Shape<Rank, dyn>, B> down;  // A: (rank, vocabulary)
  Parameter<T, Shape<dyn, Rank>, B> up;    // B: (features, rank)
  double scaling = 1.0;
  TakenOut<T, B> taken{};  // nothing: the table is never changed

  static constexpr auto fields = std::tuple{field("lora_embedding_A", &LowRankEmbeddingAdapter::down),
                                            field("lora_embedding_B", &LowRankEmbeddingAdapter::up)};
};

/// LoRA as a method.
struct Lora {
  static constexpr const char* peft_type = "LORA";
  static constexpr const char* name = "LoRA";
  static constexpr auto shares = all_of_lora;
  static constexpr auto settings = std::tuple<>{};
  template <Backend B, Real T>
  using linear = LowRankAdapter<B, dyn, T>;
  template <Backend B, Real T>
  using embedding = LowRankEmbeddingAdapter<B, dyn, T>;
  bool operator==(const Lora&) const = default;

  static void describe(AdaptedModule& adapted, const auto& matcher) {
    adapted.rank = matcher.rank_for(adapted.name);
    adapted.alpha = matcher.alpha_for(adapted.name);
    adapted.scaling = matcher.scaling_for(adapted.name);
  }

  /// The factors, as init_lora_weights says.
  template <Real T, Backend B, class Config>
  static linear<B, T> make_linear(const AdapterSite<T, B, Config>& site, const auto&) {
    const index_t out = site.module.out, in = site.module.in, rank = site.module.rank;
    const std::string& start = site.config.init_lora_weights;
    const RandomStream second{site.source.seed, ~site.source.stream};
    const Shape<dyn, dyn> a(rank, in), b(out, rank);
    linear<B, T> adapter;
    adapter.down = site.parameter(a, [&] {
      if (site.made != nullptr) return site.made->down;
      const double stddev = 1.0 / static_cast<double>(rank);
      return start == "gaussian" ? normal<T>(a, site.source, stddev, site.device) : site.uniform_in(a, in, site.source);
    });
    adapter.up = site.parameter(b, [&] {
      if (site.made != nullptr) return site.made->up;
      return start == "false" ? site.uniform_in(b, rank, second) : zeros<T>(b, site.device);
    });
    if (site.made != nullptr) adapter.taken = site.made->taken;
    if (site.config.lora_bias)
      adapter.bias = site.parameter(Shape<dyn>(out), [&] { return zeros<T>(Shape<dyn>(out), site.device); });
    adapter.scaling = site.module.scaling;
    adapter.dropout_probability = site.config.lora_dropout;
    return adapter;
  }

  template <Real T, Backend B, class Config>
  static embedding<B, T> make_embedding(const AdapterSite<T, B, Config>& site, const auto&) {
    const Shape<dyn, dyn> a(site.module.rank, site.module.out), b(site.module.in, site.module.rank);
    embedding<B, T> adapter;
    adapter.down = site.parameter(a, [&] { return zeros<T>(a, site.device); });
    adapter.up = site.parameter(b, [&] { return normal<T>(b, site.source, 1.0, site.device); });
    adapter.scaling = site.module.scaling;
    return adapter;
  }
};

}  // namespace veneer
