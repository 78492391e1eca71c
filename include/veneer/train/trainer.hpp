// SPDX-License-Identifier: Apache-2.0
/// \file trainer.hpp
/// Trainer: runs optimizer steps on a model that returns a loss for a Batch.
///
///   loss of a step = sum of -log p(target) over all micro-batches / number of targets in all micro-batches
/// This is transformers' rule: the division of a step into micro-batches does not change the result. AdaLoRA's
/// orthogonality term is added once.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "veneer/autograd/tape.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/optim/clip.hpp"
#include "veneer/optim/schedule.hpp"
#include "veneer/train/batch.hpp"

namespace veneer {

struct TrainerOptions {
  AdamWOptions optimizer{};
  Schedule schedule{};
  double max_gradient_norm = 1.0;  // 0: no clipping
  std::uint64_t seed = 0;          // of dropout
};

namespace detail {

/// A model whose loss takes ids on the host, which are checked there before they are copied.
template <class Model>
concept TakesHostIds = requires(const Model& model, const Batch& batch) { model.checked_ids(batch.ids); };

/// Returns the loss of a batch on a tape.
template <class Model>
auto loss_of(const Model& model, Tape& tape, const Batch& batch, double scale) {
  if constexpr (TakesHostIds<Model>) {
    return model.loss(tape, batch.ids, batch.layout(), batch.targets, scale);
  } else {
    const auto ids = from_host(Shape<dyn>(batch.tokens()), batch.ids, model.device);
    return model.loss(tape.input(ids), batch.layout(), batch.targets, scale);
  }
}

}  // namespace detail

/// The results of one step.
struct StepReport {
  index_t step = 0;  // from 1
  double loss = 0.0;
  double gradient_norm = 0.0;  // before clipping
  double learning_rate = 0.0;
  index_t tokens = 0;
  index_t targets = 0;
};

template <class Model>
class Trainer {
 public:
  /// \param group  returns the settings of a parameter (learning rate, decay); see AdamW
  /// \throws ArgumentError when nothing is trainable
  explicit Trainer(Model& model, TrainerOptions options = {},
                   const std::function<ParameterGroup(const std::string&, int)>& group = {})
      : model_(model), options_(options), optimizer_(model, options.optimizer, group) {
    // Releases memory that loading no longer needs, for example the 16-bit weights of a model trained in full.
    if constexpr (requires { model.device.trim(); }) model.device.trim();
  }

  /// Runs one optimizer step over its micro-batches.
  /// \throws DivergedError when loss or gradients are not finite; parameters and moments are then unchanged
  StepReport step(const std::vector<Batch>& micro_batches) {
    StepReport report;
    report.step = optimizer_.steps() + 1;
    for (const Batch& batch : micro_batches) {
      report.tokens += batch.tokens();
      report.targets += batch.counted;
    }
    const double scale = report.targets == 0 ? 0.0 : 1.0 / static_cast<double>(report.targets);
    for (std::size_t i = 0; i < micro_batches.size(); ++i) {
      const Batch& batch = micro_batches[i];
      if (batch.counted == 0) continue;
      const auto number = static_cast<std::uint64_t>(optimizer_.steps()) * micro_batches.size() + i;
      Tape tape(RandomStream{options_.seed, number});
      const auto loss = detail::loss_of(model_, tape, batch, scale);
      report.loss += static_cast<double>(item(loss.value()));
      backward(loss);
    }
    report.loss += add_orthogonality(model_);
    report.learning_rate = options_.optimizer.learning_rate * options_.schedule.factor(optimizer_.steps());
    report.gradient_norm = clip_gradients(optimizer_, options_.max_gradient_norm);
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
      optimizer_.clear_gradients();
      throw DivergedError("step " + std::to_string(report.step) + ": loss " + std::to_string(report.loss) +
                          ", gradient norm " + std::to_string(report.gradient_norm) +
                          "; the parameters were not changed by this step. A smaller learning rate, clipping or a "
                          "longer warm-up help");
    }
    optimizer_.step(report.learning_rate);
    return report;
  }

  AdamW& optimizer() { return optimizer_; }
  const TrainerOptions& options() const { return options_; }

 private:
  Model& model_;
  TrainerOptions options_;
  AdamW optimizer_;
};

/// Returns the sum of -log p over the targets of a batch, without a tape.
template <class Model>
double evaluate_loss(const Model& model, const Batch& batch) {
  if (batch.counted == 0) return 0.0;
  if constexpr (detail::TakesHostIds<Model>) {
    return static_cast<double>(item(model.loss(batch.ids, batch.layout(), batch.targets, 1.0)));
  } else {
    const auto ids = from_host(Shape<dyn>(batch.tokens()), batch.ids, model.device);
    return static_cast<double>(item(model.loss(ids, batch.layout(), batch.targets, 1.0)));
  }
}

/// Returns the mean of -log p over the targets of a data set, computed in batches; 0 if there are no targets.
template <class Model, BatchRows Data>
double mean_loss(const Model& model, const Data& data, std::size_t at_once = 32) {
  double sum = 0.0;
  index_t counted = 0;
  for (std::size_t begin = 0; begin < data.size(); begin += at_once) {
    Batch batch;
    for (std::size_t i = begin; i < std::min<std::size_t>(data.size(), begin + at_once); ++i) batch.add(data[i]);
    sum += evaluate_loss(model, batch);
    counted += batch.counted;
  }
  return counted > 0 ? sum / static_cast<double>(counted) : 0.0;
}

}  // namespace veneer
