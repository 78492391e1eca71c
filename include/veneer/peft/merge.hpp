// SPDX-License-Identifier: Apache-2.0
/// \file merge.hpp
/// merge(model): folds every adapter into the weight that it stands on, and leaves a plain, frozen model.
///
///   w <- round(w + s B A)     b <- round(b + s b_B)     b_B: the bias of B, PEFT's lora_bias
/// Rounding is to the storage type of w, which is kept; float weights are not rounded. Weights and biases that were
/// trained themselves take the place of the stored ones. Hu et al., arXiv:2106.09685, section 4.1.
///
/// A tied model has one weight at both ends. Merging an adapter of the embedding moves the head too, as in PEFT: the
/// merged model then computes another function than the adapted one. A head that has an adapter of its own, or that
/// trained, gets a weight of its own, and the configuration says so.
///
///   Merge done = merge(model, {.keep = true});
///   unmerge(model, done);                          // every bit as it was
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
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
  bool keep = false;  // keep the weights as they were, in memory, for unmerge
};

/// One weight or bias that merging replaced.
struct MergedWeight {
  std::string name;
  double largest_change = 0.0;    // of an element, as it is stored
  double largest_rounding = 0.0;  // distance of an element from the sum that was to be stored
};

/// What merge did, and the way back.
template <class M>
struct Merge {
  std::vector<MergedWeight> weights;
  std::optional<M> before;  // handles, when they were to be kept
};

namespace ops {

/// |x - y|, or infinity where that is not a number.
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

}  // namespace ops

namespace detail {

/// The largest |x - y|; infinity when one is not a number.
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

/// A weight in the compute type: a slot's that counts, or a tensor's.
template <class W>
auto dense_values(const W& weight) {
  return with_weight(weight, [](const auto& w) {
    const auto& values = decode(value_of(w));
    return Tensor<typename std::remove_cvref_t<decltype(values)>::scalar, typename W::shape_type, typename W::backend>(
        values);
  });
}

/// weight + change of the adapter, in the compute type.
template <class A, class W>
auto folded_values(const A& adapter, const W& weight, Rounding rounding) {
  return with_weight(weight, [&](const auto& w) {
    const auto& base = decode(value_of(w));
    using Sum =
        Tensor<typename std::remove_cvref_t<decltype(base)>::scalar, typename W::shape_type, typename W::backend>;
    if constexpr (requires { adapter.delta(); }) {
      using Stored = typename std::remove_cvref_t<decltype(value_of(w))>::scalar;
      const auto change = adapter.delta();
      return Sum(add(base, rounding == Rounding::twice ? decode(convert<Stored>(change)) : change));
    } else {
      return Sum(adapter.merged(w));
    }
  });
}

/// An adapter that changes the bias of its layer, and a layer that may have one.
template <class A, class Layer>
concept MergesBias = requires(const Layer& layer) {
  layer.bias.shape();
  requires A::changes_bias;
};

/// A pass over the layers: with `apply` it puts values in place, without it only checks and reports them.
struct FoldingPass {
  Rounding rounding = Rounding::once;
  bool apply = false;
  std::vector<MergedWeight> weights{};

  /// Puts `sum` in the place of `weight`, in the storage of that.
  template <class W, class X>
  void put(const std::string& name, W& weight, const X& sum) {
    const W fresh = [&] {
      if constexpr (WeightSlotLike<W>) {
        return weight.with_values(sum);
      } else {
        return convert<typename W::scalar>(sum);
      }
    }();
    if (!apply) weights.push_back(report(name, weight, fresh, sum));
    if (apply) weight = fresh;
  }

  template <class W, class X>
  static MergedWeight report(const std::string& name, const W& weight, const W& fresh, const X& sum) {
    const auto stored = dense_values(fresh);
    W before = weight;
    if constexpr (WeightSlotLike<W>) before.freeze();
    const MergedWeight merged{name, largest_distance(stored, dense_values(before)), largest_distance(stored, sum)};
    if (std::isfinite(merged.largest_change) && std::isfinite(merged.largest_rounding)) return merged;
    throw DivergedError("veneer::merge(model): " + name +
                        " would not be finite, or was not: look for such values in the adapter, and for a storage type "
                        "that cannot hold the sum (float16 ends at 65504; bfloat16 and float32 hold more). The model "
                        "is unchanged");
  }

  /// Folds the adapter of a slot that is filled, or settles a weight and a bias that trained.
  template <class Layer>
  void fold(const std::string& name, Layer& layer) {
    bool adapted = false, biased = false;
    if constexpr (requires { layer.adapter.clear(); }) {
      layer.adapter.look([&](const auto& adapter) {
        if constexpr (!std::is_empty_v<std::remove_cvref_t<decltype(adapter)>>) {
          adapted = true;
          biased = fold_bias(name, layer, adapter);
          put(name + ".weight", layer.weight, folded_values(adapter, layer.weight, rounding));
        }
      });
      if (apply) layer.adapter.clear();
    }
    if (!adapted) settle(name + ".weight", layer.weight);
    if constexpr (requires { layer.bias; }) {
      if (!biased) settle(name + ".bias", layer.bias);
    }
  }

  /// Whether the adapter has a bias; it then goes into that of the layer.
  template <class Layer, class A>
  bool fold_bias(const std::string& name, Layer& layer, const A& adapter) {
    if constexpr (MergesBias<A, Layer>) {
      if (!present(layer.bias)) return false;
      put(name + ".bias", layer.bias, adapter.merged_bias(dense_values(layer.bias)));
      return true;
    }
    if constexpr (requires { adapter.bias_change(); }) {
      const auto change = adapter.bias_change();
      if (!change) return false;
      if constexpr (requires { layer.bias.shape(); }) {
        if (present(layer.bias)) {
          const auto before = dense_values(layer.bias);
          put(name + ".bias", layer.bias, std::remove_const_t<decltype(before)>(add(before, change)));
          return true;
        }
      }
      throw ArgumentError("veneer::merge(model): " + name +
                          ": lora_B has a bias, and the layer has none to fold it into: use the adapter unmerged. The "
                          "model is unchanged");
    }
    return false;
  }

  /// Freezes values that trained.
  template <class W>
  void settle(const std::string& name, W& weight) {
    if constexpr (WeightSlotLike<W>) {
      if (weight.trainable()) put(name, weight, weight.dense_copy());
    }
  }

  template <class M>
  void run(M& model) {
    if constexpr (requires { model.untie(), static_cast<bool>(model.output_head().adapter); }) {
      if (model.output_head().adapter) model.untie();
    }
    visit(model, [&](const std::string& name, auto& part) {
      if constexpr (WeightedModule<std::remove_cvref_t<decltype(part)>>) fold(name, part);
    });
  }
};

}  // namespace detail

/// Folds adapters into weights and freezes what trained. Layers whose adapter is fixed by the type are left alone: for
/// these there is `adapter.merged(weight)`. Two passes: nothing changes before all merged values were found to be
/// finite. An optimiser made before holds on to the old values.
/// \returns one entry a weight or bias that changed; none when there was nothing to merge
/// \throws DivergedError when a merged value is not finite, ArgumentError when lora_B has a bias and its layer none;
///         the model is then unchanged
template <class M>
Merge<M> merge(M& model, const MergeOptions& options = {}) {
  Merge<M> done;
  {
    M trial = model;  // handles
    detail::FoldingPass check{.rounding = options.rounding};
    check.run(trial);
    done.weights = std::move(check.weights);
  }
  if (options.keep) done.before = model;
  detail::FoldingPass{.rounding = options.rounding, .apply = true}.run(model);
  if constexpr (requires { model.config.tie_word_embeddings = present(model.output_head().weight); }) {
    if (present(model.output_head().weight)) model.config.tie_word_embeddings = false;
  }
  return done;
}

/// Undoes a merge: weights, adapters and configuration are the very ones from before. `done` is used up.
/// \throws ArgumentError when the merge was not told to keep them
template <class M>
void unmerge(M& model, Merge<M>& done) {
  expects(done.before.has_value(), "veneer::unmerge(model, merge): nothing was kept; merge with {.keep = true}");
  model = std::move(*done.before);
  done.before.reset();
}

}  // namespace veneer
