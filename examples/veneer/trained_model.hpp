// SPDX-License-Identifier: Apache-2.0
/// \file trained_model.hpp
/// TrainedModel: the model of a training run with what is trained of it: an adapter, or every weight.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/peft/init/eva.hpp"

#include "train_data.hpp"
#include "train_inputs.hpp"

namespace veneer::program {

class TrainedModel {
 public:
  /// Reads the model and what the run trains. EVA uses the first batches of `data`. `in` must outlive this.
  TrainedModel(const TrainInputs& in, TrainData& data)
      : in_(in), settings_(in.settings), model_(in.config_file.config) {
    model_.checkpointing = settings_.checkpointing;
    model_.activations = activation_storage(settings_.dtype, in.config_file.config);
    if (settings_.full()) {
      in.warn_of(read_llama_weights(
          model_, ShardedCheckpoint(in.state ? in.state_folder : std::filesystem::path(settings_.model))));
      plan_ = train_everything(model_);
      return;
    }
    LoadLlamaOptions reading;
    const std::optional<QuantizeOptions> quantise = settings_.quant.options();
    if (!starts_from_loftq()) reading.quantise = quantise;
    in.warn_of(read_llama_weights(model_, ShardedCheckpoint(settings_.model), reading));
    if (in.grown) resize_vocabulary(model_, in.grown->rows);
    find_adapter(data);
    if (in.grown) {
      if (!loaded_) loaded_ = LoadedAdapter{AdapterFile{"LORA", {}, Json::object(), {}}, plan_, {}};
      loaded_->vocabulary_keys = detail::vocabulary_keys(model_, lora_, plan_, true);
    }
    if (quantise) quantise_rest(*quantise);
  }

  AnyLlama<>& model() { return model_; }
  const AdapterConfig& adapter() const { return lora_; }
  const AdapterPlan& plan() const { return plan_; }

  /// Writes what is trained to the folder of a checkpoint.
  void write(const std::filesystem::path& folder) {
    if (settings_.full()) return write_llama_weights(model_, folder, Dtype::f32);
    write_adapter(model_, folder, lora_, plan_, loaded_ ? &*loaded_ : nullptr);
    in_.write_tokenizer(folder);
  }

  /// Writes the result of the run, with the files that other programs need.
  void save(const std::filesystem::path& folder) {
    if (settings_.full()) return save_llama(model_, folder, in_.config_file.raw, {.base = settings_.model});
    save_adapter(model_, folder, lora_, plan_, loaded_ ? &*loaded_ : nullptr);
    in_.write_tokenizer(folder);
  }

 private:
  /// Returns the folder of the adapter to continue; empty if there is none.
  std::filesystem::path adapter_folder() const {
    return in_.state ? in_.state_folder : std::filesystem::path(settings_.adapter);
  }

  /// Returns whether LoftQ quantises weights: it needs the original ones.
  bool starts_from_loftq() const {
    const std::filesystem::path folder = adapter_folder();
    if (folder.empty()) return settings_.adapter_flags.init == "loftq";
    return read_adapter_config(folder / "adapter_config.json").config.init_lora_weights == "loftq";
  }

  /// Also quantises the linear layers that LoftQ does not change.
  void quantise_rest(const QuantizeOptions& options) {
    for (const auto& site : sites(model_)) {
      const auto weight = site->weight();
      if (site->kind != ModuleKind::linear || weight.quantised() || weight.trainable()) continue;
      site->set_weight(quantised<site_t<AnyLlama<>>::Weight>(weight.dense_copy(), options));
    }
  }

  void find_adapter(TrainData& data) {
    if (in_.state && !in_.state->triplets.empty()) {
      attach_whole();
    } else if (was_converted()) {
      lora_ = config_of_flags(data);
      plan_ = load_converted_adapter(model_, in_.state_folder, lora_);
    } else if (in_.state || !settings_.adapter.empty()) {
      loaded_ = load_adapter(model_, adapter_folder());
      in_.warn_of(loaded_->file.warnings);
      plan_ = loaded_->plan;
      lora_ = loaded_->file.config;
      // Trained tensors are written in their own types; of the file only unknown config entries are kept.
      loaded_->dtypes.clear();
    } else {
      lora_ = config_of_flags(data);
      if (lora_.init_lora_weights == "eva") return attach_directions(data);
      plan_ = attach(model_, lora_, {.seed = settings_.seed});
    }
  }

  AdapterConfig config_of_flags(const TrainData& data) const {
    AdapterConfig config = in_.adapter_config(data.steps());
    config.task_type = "CAUSAL_LM";
    config.base_model_name_or_path = settings_.model;
    return config;
  }

  /// Returns whether a checkpoint has a converted adapter: a plain one of twice the rank, initialised from a part
  /// of the base.
  bool was_converted() const {
    if (!in_.state || !settings_.adapter.empty()) return false;
    if (!initialization_named(settings_.adapter_flags.init).subtracts()) return false;
    return read_adapter_config(in_.state_folder / "adapter_config.json").config.init_lora_weights == "true";
  }

  /// EVA: computes the directions from the first batches of the run.
  void attach_directions(TrainData& data) {
    const auto forward = [](const AnyLlama<>& model, const Batch& batch) {
      model.hidden(from_host(Shape<dyn>(batch.tokens()), batch.ids, model.device), batch.layout());
    };
    const auto rows_with_target = [](const Batch& batch) {
      std::vector<index_t> rows;
      for (index_t i = 0; i < batch.tokens(); ++i) {
        if (batch.targets[static_cast<std::size_t>(i)] != ignored_label) rows.push_back(i);
      }
      return rows;
    };
    const auto found =
        explained_variance(model_, lora_, data.first_batches(settings_.eva_batches), forward, {rows_with_target});
    in_.say("EVA: looked at " + std::to_string(found.batches) + " batches; the directions have " +
            (found.settled ? "settled" : "not converged: more --eva-batches may give better ones"));
    lora_ = found.config;
    plan_ = attach(model_, lora_, {.seed = settings_.seed, .directions = &found.directions});
  }

  /// AdaLoRA resumed: the file has the kept triplets, the state has all of them, since masked ones may be unmasked.
  void attach_whole() {
    AdapterFile file = read_adapter_config(in_.state_folder / "adapter_config.json");
    lora_ = file.config;
    std::get<AdaLora>(lora_.method).rank_pattern.reset();
    plan_ = attach(model_, lora_, {.seed = settings_.seed});
    loaded_ = LoadedAdapter{std::move(file), plan_, {}};
  }

  const TrainInputs& in_;
  const TrainSettings& settings_;
  AnyLlama<> model_;
  AdapterConfig lora_;
  AdapterPlan plan_;
  std::optional<LoadedAdapter> loaded_;
};

}  // namespace veneer::program
