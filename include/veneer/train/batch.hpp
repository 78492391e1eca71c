// SPDX-License-Identifier: Apache-2.0
/// \file batch.hpp
/// Batch: concatenated sequences without padding, and for every token the next token as its target.
///
///   ids: (tokens)   lengths: one per sequence   targets: (tokens), the next label; ignored_label at the end
///                                               of a sequence and for ignored labels
/// Labels are unshifted, as in datasets: labels[i] belongs to ids[i], so targets[i] = labels[i + 1].
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

#include "veneer/core/shape.hpp"
#include "veneer/ops/attention.hpp"
#include "veneer/ops/cross_entropy.hpp"

namespace veneer {

/// A sequence with a label for each token; -100 is ignored.
template <class E>
concept LabelledSequence = requires(const E& e) {
  { e.ids } -> std::convertible_to<std::span<const std::int32_t>>;
  { e.labels } -> std::convertible_to<std::span<const std::int32_t>>;
};

/// The unit of a batch: a sequence, or several, such as the segments of a packed row.
template <class R>
concept BatchRow =
    LabelledSequence<R> || (std::ranges::input_range<const R> && LabelledSequence<std::ranges::range_value_t<const R>>);

/// A data set: rows by index, in memory or not.
template <class D>
concept BatchRows = requires(const D& data, std::size_t number) {
  { data.size() } -> std::convertible_to<std::size_t>;
  requires BatchRow<std::remove_cvref_t<decltype(data[number])>>;
};

struct Batch {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> targets;
  std::vector<index_t> lengths;
  index_t counted = 0;  // number of active targets

  template <LabelledSequence E>
  void add(const E& example) {
    const std::size_t length = example.ids.size();
    for (std::size_t i = 0; i < length; ++i) {
      const std::int32_t target = i + 1 < length ? example.labels[i + 1] : ignored_label;
      ids.push_back(example.ids[i]);
      targets.push_back(target);
      counted += target != ignored_label ? 1 : 0;
    }
    if (length > 0) lengths.push_back(static_cast<index_t>(length));
  }

  /// Adds several sequences, which do not attend to each other.
  template <BatchRow R>
    requires(!LabelledSequence<R>)
  void add(const R& row) {
    for (const auto& sequence : row) add(sequence);
  }

  index_t tokens() const { return static_cast<index_t>(ids.size()); }
  std::shared_ptr<const AttentionLayout> layout() const { return AttentionLayout::packed(lengths); }
};

}  // namespace veneer
