// SPDX-License-Identifier: Apache-2.0
/// \file mixed_adapter.hpp
/// MixedAdapter: applies to every row of a batch the adapter chosen for it, or none.
///
///   y_i = a_{c(i)}(w, x_i)      x: (rows, in)   w: (out, in)   y: (rows, out)   c(i): the adapter of row i, or none
/// The matmul with w is computed once for all rows. Then the rows of each adapter are gathered, its low-rank term
/// is added, and they are scattered, as in PEFT's mixed batches. An adapter that is not a low-rank term (DoRA)
/// computes its rows completely. A RowChoice, shared by all layers and set before each batch, assigns rows to
/// adapters. Inference only.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/nn/adapter.hpp"
#include "veneer/ops/put.hpp"
#include "veneer/peft/low_rank_factors.hpp"

namespace veneer {

namespace ops {

/// to[i] = from[at[i]].
template <Scalar T>
struct PickBody {
  T* to;
  const T* from;
  const std::int32_t* at;
  VENEER_HD void operator()(index_t i) const { to[i] = from[at[i]]; }
};

}  // namespace ops

/// The assignment of the rows of a batch to adapters. Layers have handles to one choice, so there is one batch
/// at a time.
template <Backend B>
class RowChoice {
 public:
  static constexpr index_t base = -1;  // no adapter

  RowChoice() = default;
  /// \param count  number of adapters
  explicit RowChoice(index_t count, B device = {})
      : device_(std::move(device)), rows_(static_cast<std::size_t>(count)) {}

  /// \param adapter_of_row  one per row: an index in [0, count), or `base`
  /// \throws ArgumentError for another index; the choice is then unchanged
  void set(const std::vector<index_t>& adapter_of_row) {
    std::vector<std::vector<std::int32_t>> of(rows_.size());
    for (std::size_t row = 0; row < adapter_of_row.size(); ++row) {
      const index_t adapter = adapter_of_row[row];
      expects(adapter >= base && adapter < static_cast<index_t>(of.size()),
              "veneer::RowChoice::set: row " + std::to_string(row) + " asks for adapter " + std::to_string(adapter) +
                  "; there are " + std::to_string(of.size()) + ", and RowChoice::base is none");
      if (adapter != base) of[static_cast<std::size_t>(adapter)].push_back(static_cast<std::int32_t>(row));
    }
    for (std::size_t i = 0; i < of.size(); ++i)
      rows_[i] = from_host(Shape<dyn>(static_cast<index_t>(of[i].size())), of[i], device_);
    count_ = static_cast<index_t>(adapter_of_row.size());
  }

  /// Returns the number of rows of the batch.
  index_t count() const { return count_; }
  index_t adapters() const { return static_cast<index_t>(rows_.size()); }
  /// Returns the rows of one adapter, in ascending order.
  const Vector<std::int32_t, B>& rows(index_t adapter) const { return rows_.at(static_cast<std::size_t>(adapter)); }

 private:
  B device_{};
  std::vector<Vector<std::int32_t, B>> rows_;
  index_t count_ = 0;
};

/// \tparam None   the layer without adapters: NoAdapter, NoEmbeddingAdapter
/// \tparam Whole  an adapter that is not a low-rank term and computes its rows completely: DoRA
template <class None, Backend B, Real T, class Whole>
class MixedAdapter {
 public:
  /// The part of one adapter of the choice in this layer: a term, or, if there is a `whole`, the complete layer.
  struct Part {
    index_t adapter = 0;
    LowRankFactors<T, B> term;
    std::optional<Whole> whole;
  };

  MixedAdapter() = default;
  MixedAdapter(std::shared_ptr<const RowChoice<B>> of, std::vector<Part> adapters)
      : choice(std::move(of)), parts(std::move(adapters)) {}

  /// \throws ArgumentError when the choice has another number of rows, and on a tape
  auto operator()(const auto& w, const auto& b, const auto& x) const {
    auto y = None{}(w, NoBias{}, x);
    if constexpr (VariableLike<decltype(x)>) {
      throw ArgumentError(
          "veneer::MixedAdapter: a mixed batch is inference only: train on NamedAdapters::with(names, learning)");
    } else {
      expects(choice->count() == x.extent(0),
              "veneer::MixedAdapter: the rows were chosen for a batch of " + std::to_string(choice->count()) +
                  " rows, and this one has " + std::to_string(x.extent(0)) + ": call RowChoice::set before each batch");
      for (const Part& part : parts) {
        const auto& rows = choice->rows(part.adapter);
        if (rows.count() > 0) put(y, compute(part, w, picked(x, rows), y, rows), rows);
      }
    }
    return add_bias(y, b);
  }

  /// \throws ArgumentError always
  auto merged(const auto& w, const auto& b) const {
    refuse_merging();
    return None{}.merged(w, b);
  }

  std::shared_ptr<const RowChoice<B>> choice;
  std::vector<Part> parts;
  static constexpr auto fields = std::tuple<>{};  // it has no trainable part

 private:
  static void refuse_merging() {
    throw ArgumentError(
        "veneer::MixedAdapter: rows of a mixed batch have adapters of their own, so there is no one "
        "weight to merge into: merge NamedAdapters::with(name)");
  }

  auto compute(const Part& part, const auto& w, const auto& x, const auto& y, const auto& rows) const {
    using Rows = Matrix<typename std::remove_cvref_t<decltype(y)>::scalar, B>;
    if (part.whole) return Rows((*part.whole)(w, NoBias{}, x));
    return part.term.added_to(Rows(picked(y, rows)), x);
  }

  /// Returns rows of a matrix, or entries of a vector.
  template <TensorLike X>
  static auto picked(const X& x, const Vector<std::int32_t, B>& rows) {
    using U = typename X::scalar;
    if constexpr (X::rank == 1) {
      Vector<U, B> some(Shape<dyn>(rows.count()), x.device());
      some.device().for_each(rows.count(), ops::PickBody<U>{some.data(), x.data(), rows.data()});
      return some;
    } else {
      return gather_rows(x, rows);
    }
  }

  template <Stored U>
  static void put(auto& y, const Matrix<U, B>& some, const Vector<std::int32_t, B>& rows) {
    ops::store_rows(y, ops::RowsLoad<U>{some.data(), some.extent(1)}, rows);
  }
};

}  // namespace veneer
