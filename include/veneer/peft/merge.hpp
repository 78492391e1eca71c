// SPDX-License-Identifier: Apache-2.0
/// \file merge.hpp
/// merge(model): merges every adapter into its weight; the result is a plain, frozen model.
///
///   w <- round(w + s B A)     b <- round(b + s b_B)     b_B: the bias of B, PEFT's lora_bias
/// Results are rounded to the storage type of w, which does not change; float weights are not rounded. Trained weights
/// and biases replace the stored ones. Hu et al., arXiv:2106.09685, section 4.1.
///
/// A quantised w is decoded to the type that it was quantised from, as PEFT does, and the sum is quantised again with
/// the options of w, which is far from exact. The error of each weight is reported, errors above `max_error` are
/// refused, and `dequantize` keeps the sums in 16 or 32 bits instead.
///
/// In a tied model embedding and head share one weight. Merging an adapter of the embedding also changes the head, as
/// in PEFT: the merged model then computes a different function than the adapted one. A head with its own adapter, or a
/// trained one, is untied, also in the configuration.
///
///   Merge done = merge(model, {.keep = true});
///   unmerge(model, done);                          // restores every bit
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/peft/attach.hpp"

namespace veneer {

enum class Rounding {
  once,   // round(w + change): PEFT's merge
  twice,  // round(w + round(change)): PEFT's merge with safe_merge
};

struct MergeOptions {
  Rounding rounding = Rounding::once;
  bool keep = false;                          // keep the original weights in memory, for unmerge
  double max_error = 0.15;                    // largest relative_error of a quantised weight; 0.09 is typical for NF4
  std::optional<QuantizedFrom> dequantize{};  // quantised weights become dense ones of this type, adapted or not
};

/// One weight or bias replaced by merging.
struct MergedWeight {
  std::string name;
  double largest_change = 0.0;    // of a stored element
  double largest_rounding = 0.0;  // of a stored element from the sum
  double relative_error = 0.0;    // || stored - sum || / || sum ||
  bool packed = false;            // quantised
  double change_norm = 0.0;       // || sum - before ||
  double lost_norm = 0.0;         // || stored - sum ||: the part of the change lost by rounding
};

/// Returns the fraction of the change of all dense weights lost by rounding: || stored - sum || / || sum - before ||; 0
/// without rounding. Quantised weights, which have a relative_error each, are excluded.
inline double lost_fraction(const std::vector<MergedWeight>& weights) {
  double lost = 0.0, change = 0.0;
  for (const MergedWeight& weight : weights) {
    if (weight.packed) continue;
    lost += weight.lost_norm * weight.lost_norm;
    change += weight.change_norm * weight.change_norm;
  }
  return change > 0.0 ? std::sqrt(lost / change) : 0.0;
}

/// The result of merge, and the data to undo it.
template <class M>
struct Merge {
  std::vector<MergedWeight> weights;
  std::optional<M> before;  // handles, if they are kept
};

namespace ops {

/// Returns |x - y|, or infinity instead of NaN.
template <Real T>
struct DistanceLoad {
  const T* x;
  const T* y;
  index_t columns;
  T infinite;
  VENEER_HD T operator()(index_t r, index_t c) const {
    const T difference = x[r * columns + c] - y[r * columns + c];
    const T distance = difference < T(0) ? -difference : difference;
    return distance < infinite ? distance : infinite;
  }
};

/// Returns (x - y)^2, or x^2 without y, in double.
template <Real T>
struct SquaredDistanceLoad {
  const T* x;
  const T* y;
  index_t columns;
  VENEER_HD double operator()(index_t r, index_t c) const {
    const double of_y = y == nullptr ? 0.0 : static_cast<double>(y[r * columns + c]);
    const double difference = static_cast<double>(x[r * columns + c]) - of_y;
    return difference * difference;
  }
};

}  // namespace ops

namespace detail {

/// Returns || x - y ||, or || x || if y has no values.
template <Real T, ShapeLike S, Backend B>
double distance_norm(const Tensor<T, S, B>& x, const Tensor<T, S, B>& y) {
  if (x.count() == 0) return 0.0;
  const index_t rows = S::rank == 1 ? 1 : x.extent(0), columns = x.count() / rows;
  Tensor<double, Shape<dyn>, B> of_rows(Shape<dyn>(rows), x.device());
  const ops::SquaredDistanceLoad<T> load{x.data(), y.data(), columns};
  x.device().reduce_rows(Sum<double>{}, rows, columns, load, of_rows.data());
  const std::vector<double> squares = to_host(of_rows);
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

/// Returns the largest |x - y|; infinity if one is NaN.
template <Real T, ShapeLike S, Backend B>
double largest_distance(const Tensor<T, S, B>& x, const Tensor<T, S, B>& y) {
  if (x.count() == 0) return 0.0;
  const index_t rows = S::rank == 1 ? 1 : x.extent(0), columns = x.count() / rows;
  Tensor<T, Shape<dyn>, B> of_rows(Shape<dyn>(rows), x.device());
  const ops::DistanceLoad<T> load{x.data(), y.data(), columns, std::numeric_limits<T>::infinity()};
  x.device().reduce_rows(Maximum<T>{}, rows, columns, load, of_rows.data());
  const std::vector<T> distances = to_host(of_rows);
  return static_cast<double>(*std::max_element(distances.begin(), distances.end()));
}

/// Returns a weight in the compute type: the active one of a slot, or a tensor.
template <class W>
auto dense_values(const W& weight) {
  return with_stored(weight, [](const auto& w) {
    const auto& values = decode(value_of(w));
    return Tensor<typename std::remove_cvref_t<decltype(values)>::scalar, typename W::shape_type, typename W::backend>(
        values);
  });
}

/// Returns the values to which a change is added: the dense values; for a quantised weight that is quantised again, in
/// its original type.
template <class W>
decltype(auto) merge_base(const W& w, [[maybe_unused]] bool stays_packed) {
  if constexpr (QuantizedTensorLike<W>) {
    using T = typename W::scalar;
    if (stays_packed && w.from() == QuantizedFrom::bfloat16) return convert<T>(decode_as<bfloat16>(w));
    if (stays_packed && w.from() == QuantizedFrom::float16) return convert<T>(decode_as<half>(w));
    return decode(w);
  } else {
    return decode(value_of(w));
  }
}

/// Returns the values of a bias in the compute type; none if the layer has no bias.
template <WeightSlotLike W>
auto bias_values(const W& bias) {
  using Values = decltype(dense_values(bias));
  return bias ? dense_values(bias) : Values();
}

/// Returns weight and bias of a site with its adapter merged, in the compute type.
/// \throws ArgumentError when the adapter adds a bias to a layer that has none
template <Real T, Backend B>
Affine<Matrix<T, B>, Vector<T, B>> merged_values(const Site<T, B>& site, const Vector<T, B>& bias,
                                                 const MergeOptions& options) {
  using Values = Affine<Matrix<T, B>, Vector<T, B>>;
  const auto change = site.delta();
  const Values merged = with_stored(site.weight(), [&](const auto& w) {
    const auto& base = merge_base(w, !options.dequantize);
    using Stored = typename Site<T, B>::Stored;
    if (change) {
      using Narrow = typename std::remove_cvref_t<decltype(value_of(w))>::scalar;
      const auto sum =
          add(base, options.rounding == Rounding::twice ? decode(convert<Narrow>(change->weight)) : change->weight);
      return Values{Matrix<T, B>(sum), sum_of_biases(bias, change->bias)};
    } else if constexpr (QuantizedTensorLike<decltype(w)>) {
      return site.merged(Stored(Matrix<T, B>(base)), bias);
    } else {
      return site.merged(Stored(value_of(w)), bias);
    }
  });
  expects(!merged.bias || bias,
          "veneer::merge(model): " + site.name +
              ": lora_B has a bias, and the layer has none to fold it into: use the adapter unmerged. The model is "
              "unchanged");
  return merged;
}

/// Returns values as a frozen dense weight of this type.
template <WeightSlotLike W, TensorLike X>
W dense_weight(const X& values, QuantizedFrom type) {
  using T = typename W::scalar;
  if constexpr (std::is_same_v<T, float>) {
    if (type == QuantizedFrom::bfloat16) return W(convert<bfloat16>(values));
    if (type == QuantizedFrom::float16) return W(convert<half>(values));
  }
  return W(convert<T>(values));
}

/// A pass over the layers: with `apply` it stores values, without it only checks and reports them.
struct FoldingPass {
  MergeOptions options{};
  bool apply = false;
  std::vector<MergedWeight> weights{};

  /// Returns `sum` in the storage type of `weight`, and reports it in a checking pass.
  /// \param any_storage  whether the layer accepts weights of another storage type
  template <WeightSlotLike W, class X>
  W put(const std::string& name, const W& weight, const X& sum, bool any_storage = true) {
    const W fresh = rounded(name, weight, sum, any_storage);
    if (!apply) weights.push_back(report(name, weight, fresh, sum));
    return fresh;
  }

  template <class W, class X>
  W rounded(const std::string& name, const W& weight, const X& sum, bool any_storage) const {
    if (any_storage && weight.quantised() && options.dequantize) return dense_weight<W>(sum, *options.dequantize);
    try {
      return stored_as(weight, sum);
    } catch (const ArgumentError& error) {
      throw ArgumentError("veneer::merge(model): " + name + " can't be quantised again (" + error.what() +
                          "): set dequantize, or merge into the base in 16 or 32 bits. The model is unchanged");
    }
  }

  template <class W, class X>
  static MergedWeight report(const std::string& name, const W& weight, const W& fresh, const X& sum) {
    const auto stored = dense_values(fresh);
    W before = weight;
    before.freeze();
    const auto old = dense_values(before);
    MergedWeight merged{name, largest_distance(stored, old), largest_distance(stored, sum)};
    if (!std::isfinite(merged.largest_change) || !std::isfinite(merged.largest_rounding)) {
      throw DivergedError("veneer::merge(model): " + name +
                          " would not be finite, or was not: look for such values in the adapter, and for a storage "
                          "type that cannot hold the sum (float16 ends at 65504; bfloat16 and float32 hold more). The "
                          "model is unchanged");
    }
    const double size = distance_norm(sum, X{});
    merged.lost_norm = distance_norm(stored, sum);
    merged.change_norm = distance_norm(X(sum), X(old));
    merged.relative_error = size > 0.0 ? merged.lost_norm / size : 0.0;
    merged.packed = fresh.quantised();
    return merged;
  }

  /// Merges the adapter of a site.
  /// \returns whether it changed the bias
  template <Real T, Backend B>
  bool merge_site(Site<T, B>& site) {
    const auto weight = site.weight();
    if (site.follows() && !weight) return false;  // its weight is that of the embedding, which is merged separately
    const auto before = site.bias();
    const auto bias = bias_values(before);
    const auto sum = merged_values(site, bias, options);
    const bool biased = sum.bias.data() != bias.data();
    if (biased) {
      const auto fresh = put(site.name + ".bias", before, sum.bias);
      if (apply) site.set_bias(fresh);
    }
    const auto fresh = put(site.name + ".weight", weight, sum.weight, site.takes_any_storage);
    if (apply) site.set_weight(fresh);
    return biased;
  }

  /// Freezes trained values, and decodes weights that become dense.
  template <class W>
  void settle(const std::string& name, W& weight) {
    if constexpr (WeightSlotLike<W>) {
      if (!weight.trainable() && !(options.dequantize && weight.quantised())) return;
      const W fresh = put(name, weight, weight.dense_copy());
      if (apply) weight = fresh;
    }
  }

  /// \throws ArgumentError when the error of a quantised weight exceeds the limit
  void expect_small_errors() const {
    const MergedWeight* worst = nullptr;
    int count = 0;
    for (const MergedWeight& weight : weights) {
      if (!weight.packed || weight.relative_error <= options.max_error) continue;
      ++count;
      if (worst == nullptr || weight.relative_error > worst->relative_error) worst = &weight;
    }
    if (worst == nullptr) return;
    throw ArgumentError("veneer::merge(model): " + worst->name + " would lose " +
                        std::to_string(worst->relative_error) +
                        " of its size (root mean square) by being quantised again" +
                        (count > 1 ? ", and " + std::to_string(count - 1) + " more weights too much" : "") +
                        "; max_error allows " + std::to_string(options.max_error) +
                        ": merge into the base in 16 or 32 bits, set dequantize to keep the sums dense, or allow "
                        "more. The model is unchanged");
  }

  template <class M>
  void run(M& model) {
    const auto list = sites(model);
    if constexpr (HasHead<M>) {
      for (const auto& site : list)
        if (site->kind == ModuleKind::output_head && site->adapted() && !site->follows()) model.untie();
    }
    visit(model, [&](const std::string& name, WeightedModule auto& part) {
      const auto site = find_site(list, name);
      const bool adapted = site != nullptr && site->adapted();
      const bool biased = adapted && merge_site(*site);
      if (adapted && apply) site->clear();
      if (!adapted) settle(name + ".weight", part.weight);
      if constexpr (BiasedModule<std::remove_cvref_t<decltype(part)>>) {
        if (!biased) settle(name + ".bias", part.bias);
      }
    });
  }
};

}  // namespace detail

/// Merges adapters into weights and freezes trained values. Layers whose adapter is fixed by the type are not changed:
/// use `adapter.merged` for these. There are two passes: nothing changes before all merged values are known to be
/// finite. An existing optimizer keeps the old values.
/// \returns one entry per changed weight or bias; none if there was nothing to merge
/// \throws DivergedError when a merged value is not finite; ArgumentError when lora_B has a bias and its layer none, or
///         when the error of a quantised weight exceeds max_error; the model is then unchanged
template <class M>
Merge<M> merge(M& model, const MergeOptions& options = {}) {
  Merge<M> done;
  {
    M trial = model;  // handles
    detail::FoldingPass check{.options = options};
    check.run(trial);
    check.expect_small_errors();
    done.weights = std::move(check.weights);
  }
  if (options.keep) done.before = model;
  detail::FoldingPass{.options = options, .apply = true}.run(model);
  if constexpr (requires { model.config.tie_word_embeddings = present(model.output_head().weight); }) {
    if (present(model.output_head().weight)) model.config.tie_word_embeddings = false;
  }
  return done;
}

/// Undoes a merge: restores weights, adapters and configuration. `done` is consumed.
/// \throws ArgumentError when the merge did not keep them
template <class M>
void unmerge(M& model, Merge<M>& done) {
  expects(done.before.has_value(), "veneer::unmerge(model, merge): nothing was kept; merge with {.keep = true}");
  model = std::move(*done.before);
  done.before.reset();
}

}  // namespace veneer
