// SPDX-License-Identifier: Apache-2.0
/// \file train_data.hpp
/// TrainData: the batches of a training run and its held-out data.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/example_rows.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/train/order.hpp"

#include "train_inputs.hpp"

namespace veneer::program {

class TrainData {
 public:
  /// Reads the data of the settings, and determines the number of steps. `in` must outlive this.
  explicit TrainData(const TrainInputs& in) : in_(in), settings_(in.settings) {
    const LlamaConfig config = in.config();
    tokenization_ = settings_.tokenization.options(settings_.model, in.tokenizer, &config);
    tokenization_.max_length = static_cast<std::size_t>(settings_.seq);
    tokenization_.cut = !settings_.packing;
    read();
    plan_order();
  }

  const ExampleOptions& tokenization() const { return tokenization_; }
  const ExampleRows& evaluation() const { return evaluation_; }
  index_t steps() const { return steps_; }

  /// Returns the micro-batches of a step, from 0.
  std::vector<Batch> batches(index_t step) {
    std::vector<Batch> all;
    for (index_t i = 0; i < settings_.grad_accum; ++i) all.push_back(micro_batch(step * settings_.grad_accum + i));
    return all;
  }

  /// Returns the first micro-batches, at most one pass over the data.
  std::vector<Batch> first_batches(index_t count) {
    std::vector<Batch> all;
    const index_t known = static_cast<index_t>(fresh_.size());
    for (index_t i = 0; i < std::min(count, std::max<index_t>(1, known / settings_.batch)); ++i)
      all.push_back(micro_batch(i));
    return all;
  }

 private:
  Batch micro_batch(index_t number) { return batch_of(*order_, number, fresh_, replayed_); }

  void read() {
    const auto data = read_examples(settings_.data);
    ChosenExamples chosen;
    if (!settings_.eval.empty()) {
      evaluation_ = ExampleRows::whole(read_examples(settings_.eval), {}, tokenization_.max_length);
    } else if (settings_.eval_split > 0) {
      HeldOut rows = hold_out(data->size(), settings_.eval_split, settings_.seed);
      evaluation_ = ExampleRows::whole(data, std::move(rows.out), tokenization_.max_length);
      chosen = std::move(rows.kept);
    }
    fresh_ = rows_of(data, std::move(chosen));
    if (fresh_.empty())
      throw ArgumentError("--eval-split " + std::to_string(settings_.eval_split) + " leaves no training data");
    if (!settings_.replay.empty()) replayed_ = rows_of(read_examples(settings_.replay), {});
  }

  /// Returns the rows counted by --batch: lines, or packed rows.
  ExampleRows rows_of(std::shared_ptr<const ExampleStore> data, ChosenExamples chosen) const {
    const std::size_t length = tokenization_.max_length;
    if (!settings_.packing) return ExampleRows::whole(std::move(data), std::move(chosen), length);
    const ExampleRows all = ExampleRows::packed(std::move(data), length, std::move(chosen));
    ExampleRows rows = all.learned();
    in_.say("packed into " + std::to_string(all.size()) + " rows of " + std::to_string(length) + " tokens" +
            (rows.size() < all.size()
                 ? "; rows without trained tokens: " + std::to_string(all.size() - rows.size()) + ", which are skipped"
                 : ""));
    if (!all.empty() && rows.empty())
      throw FormatError("--packing --seq " + std::to_string(length) + ": no row has a trained token");
    return rows;
  }

  std::shared_ptr<const ExampleStore> read_examples(const std::string& path) const {
    const auto store = std::make_shared<ExampleStore>();
    const DatasetReport report = store_examples(path, in_.tokenizer ? &*in_.tokenizer : nullptr, tokenization_, *store);
    if (store->empty()) throw FormatError(path + ": no line has a trained token");
    in_.say(path + ": " + std::to_string(report.examples) + " sequences, " + std::to_string(report.tokens) +
            " tokens, " + std::to_string(report.learned) + " of them trained on" +
            (report.truncated > 0
                 ? "; " + std::to_string(report.truncated) + " cut to --seq " + std::to_string(settings_.seq)
                 : "") +
            (report.unlearned.count() > 0
                 ? "; " + std::to_string(report.unlearned.count()) + " dropped, without trained tokens"
                 : ""));
    if (const DatasetNotes& empty = report.warnings; empty.count() > 0) {
      in_.say("warning: " + path + ": the model learns to give an empty reply; " + counted(empty.count(), "record") +
              " with one, the first on line " + std::to_string(empty.first().front().line));
    }
    return store;
  }

  /// Determines the order of the data, and the resulting number of steps.
  void plan_order() {
    const auto lines = static_cast<index_t>(fresh_.size());
    const auto all = static_cast<index_t>(std::ceil(settings_.epochs * static_cast<double>(lines) * (1 - 1e-12)));
    order_.emplace(lines, settings_.batch, settings_.shuffle, settings_.seed, static_cast<index_t>(replayed_.size()),
                   replayed_.empty() ? 0.0 : settings_.replay_share, settings_.steps > 0 ? 0 : all);
    const index_t per_step = order_->fresh_per_batch() * settings_.grad_accum;
    steps_ = settings_.steps > 0 ? settings_.steps : ceil_div(all, per_step);
  }

  const TrainInputs& in_;
  const TrainSettings& settings_;
  ExampleOptions tokenization_;
  ExampleRows fresh_, replayed_, evaluation_;
  std::optional<DataOrder> order_;
  index_t steps_ = 0;
};

}  // namespace veneer::program
