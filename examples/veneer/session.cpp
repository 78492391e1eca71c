// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <algorithm>
#include <optional>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/train/batch.hpp"
#include "veneer/train/exact_match.hpp"
#include "veneer/train/trainer.hpp"

namespace veneer::program {

struct Session::Parts {
  std::filesystem::path folder;
  LlamaConfigFile file;
  AnyLlama<> model;
};

Session::Session(const ModelFlags& flags, const std::optional<NF4Options>& quantise)
    : parts_(std::make_unique<Parts>()) {
  flags.apply();
  parts_->folder = flags.model;
  parts_->file = read_llama_config(parts_->folder / "config.json");
  for (const std::string& warning : parts_->file.warnings) note("warning: " + warning);
  parts_->model = AnyLlama<>(parts_->file.config);
  read_llama_weights(parts_->model, ShardedCheckpoint(parts_->folder), {.quantise = quantise});
  if (flags.adapters.empty()) return;
  const LoadedAdapter loaded = load_adapter(parts_->model, flags.adapter());
  for (const std::string& warning : loaded.file.warnings) note("warning: " + warning);
}

Session::~Session() = default;

const LlamaConfig& Session::config() const { return parts_->model.config; }
const std::filesystem::path& Session::folder() const { return parts_->folder; }

std::vector<float> Session::logits(const PaddedBatch& batch) const {
  const AnyLlama<>& model = parts_->model;
  const index_t row_values = std::max<index_t>(1, batch.length * model.config.vocab_size);
  const index_t at_once = std::max<index_t>(1, model.logits_at_once / row_values);
  std::vector<float> all;
  all.reserve(static_cast<std::size_t>(batch.rows * row_values));
  for (index_t begin = 0; begin < batch.rows && batch.length > 0; begin += at_once) {
    const index_t end = std::min(batch.rows, begin + at_once);
    auto layout = std::make_shared<AttentionLayout>();
    for (index_t row = begin; row < end; ++row) {
      const index_t first = (row - begin) * batch.length;
      layout->spans.push_back({first, batch.length, first, batch.length, batch.valid[static_cast<std::size_t>(row)]});
    }
    const std::vector<std::int32_t> ids(batch.ids.begin() + begin * batch.length,
                                        batch.ids.begin() + end * batch.length);
    const auto there = from_host(Shape<dyn>(static_cast<index_t>(ids.size())), ids, model.device);
    const std::vector<float> some = to_host(model(there, layout));
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<std::int32_t> Session::generate(const std::vector<std::int32_t>& prompt,
                                            const GenerateOptions& options) const {
  return veneer::generate(parts_->model, {prompt}, options).front();
}

std::vector<std::string> Session::complete(const Tokenizer& tokenizer, const std::vector<Record>& records,
                                           index_t max_new_tokens) const {
  const CompletionOptions options{.max_new_tokens = max_new_tokens, .stop = stop_ids(folder(), config(), tokenizer)};
  std::vector<std::string> found;
  for (Completion& completion : veneer::complete(parts_->model, tokenizer, records, options))
    found.push_back(std::move(completion.found));
  return found;
}

SummedLoss Session::loss(const std::vector<Example>& examples, std::size_t begin, std::size_t end) const {
  Batch batch;
  for (std::size_t i = begin; i < end; ++i) batch.add(examples[i]);
  return {evaluate_loss(parts_->model, batch), batch.counted};
}

std::vector<MergedWeight> Session::merge(const MergeOptions& options) {
  return veneer::merge(parts_->model, options).weights;
}

std::vector<QuantisedWeight> Session::quantise_errors() const {
  const ShardedCheckpoint files(parts_->folder);
  std::vector<QuantisedWeight> errors;
  detail::visit_base(parts_->model, [&](const std::string& name, const auto& weight) {
    if constexpr (WeightSlotLike<decltype(weight)>) {
      if (weight.packed() == nullptr || detail::find_quant_state(files, name)) return;
      const auto before = detail::read_widened<float>(files.at(name), weight.shape(), parts_->model.device);
      const double size = detail::distance_norm(before, decltype(before){});
      errors.push_back({name, size > 0 ? detail::distance_norm(before, weight.dense_copy()) / size : 0.0});
      files.forget(files.at(name));
    }
  });
  return errors;
}

void Session::save(const std::filesystem::path& folder) {
  save_llama(parts_->model, folder, parts_->file.raw, {.base = parts_->folder});
}

AdapterPlan plan_of(const LlamaConfig& model, const LoraConfig& adapter) {
  AnyLlama<> outline(model);
  return plan_adapter(outline, adapter);
}

}  // namespace veneer::program
