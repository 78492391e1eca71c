// SPDX-License-Identifier: Apache-2.0
/// \file mixed_batch.hpp
/// MixedBatch: a language model in which each sequence of a batch has its own adapter.
///
///   const auto model = adapters.mixed({"first", "__base__", "second"});   // NamedAdapters, peft/named_adapters.hpp
///   model(ids, AttentionLayout::packed(lengths));                         // three sequences
///   generate(model, {prompt, prompt, prompt});
/// Layers process rows, not sequences. The assignment of rows follows from the spans of the layout or, with a cache,
/// from the positions of a span's keys in it, and is set for all layers before the first one runs. So one MixedBatch
/// processes one batch at a time; use one per thread, which costs only handles.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/nn/attention.hpp"
#include "veneer/peft/mixed_adapter.hpp"

namespace veneer {

/// \tparam Model  Llama, or another model with hidden(ids, context) and head(rows)
template <class Model>
class MixedBatch : private Model {
 public:
  using T = typename Model::T;
  using backend = typename Model::backend;
  bool computes_in_bfloat16() const
    requires requires(const Model& base) { base.computes_in_bfloat16(); }
  {
    return Model::computes_in_bfloat16();
  }
  using Model::check_ids;
  using Model::config;
  using Model::context;
  using Model::device;
  using Model::model;

  /// \param adapted      the model, its slots filled with MixedAdapters of `choice`
  /// \param of_sequence  the adapter of each sequence, or RowChoice::base
  MixedBatch(Model adapted, std::shared_ptr<RowChoice<backend>> choice, std::vector<index_t> of_sequence)
      : Model(std::move(adapted)), choice_(std::move(choice)), of_sequence_(std::move(of_sequence)) {}

  /// \throws ArgumentError when the batch has another number of sequences
  template <class Ids>
  auto hidden(const Ids& ids, const ForwardContext<T, backend>& batch) const {
    choose(batch, ids.extent(0));
    return Model::hidden(ids, batch);
  }

  /// Logits of all rows of the last batch, or of one row of each of its sequences.
  template <class H>
  auto head(const H& h) const {
    const auto sequences = static_cast<index_t>(of_span_->size());
    if (h.extent(0) == sequences && sequences != choice_->count()) choice_->set(*of_span_);
    return Model::head(h);
  }

  template <class Ids>
  auto operator()(const Ids& ids, std::shared_ptr<const AttentionLayout> layout) const {
    check_ids(ids);
    return head(hidden(ids, context(std::move(layout), ids.extent(0))));
  }

 private:
  void choose(const ForwardContext<T, backend>& batch, index_t tokens) const {
    const std::vector<SequenceRange>& spans = batch.layout->spans;
    const std::size_t sequences = batch.cache == nullptr ? spans.size() : batch.cache->lengths.size();
    expects(sequences == of_sequence_.size(), "veneer::MixedBatch: adapters were named for " +
                                                  std::to_string(of_sequence_.size()) +
                                                  " sequences, and the batch has " + std::to_string(sequences));
    std::vector<index_t> of_row(static_cast<std::size_t>(tokens), RowChoice<backend>::base);
    of_span_->clear();
    for (std::size_t i = 0; i < spans.size(); ++i) {
      const std::size_t sequence =
          batch.cache == nullptr ? i : static_cast<std::size_t>(spans[i].key / batch.cache->capacity);
      of_span_->push_back(of_sequence_.at(sequence));
      for (index_t row = 0; row < spans[i].queries; ++row)
        of_row.at(static_cast<std::size_t>(spans[i].query + row)) = of_span_->back();
    }
    choice_->set(of_row);
  }

  std::shared_ptr<RowChoice<backend>> choice_;
  std::shared_ptr<std::vector<index_t>> of_span_ = std::make_shared<std::vector<index_t>>();
  std::vector<index_t> of_sequence_;
};

}  // namespace veneer
