// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <algorithm>
#include <optional>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/gguf/adapter.hpp"
#include "veneer/io/gguf/model.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/io/named_adapters.hpp"
#include "veneer/peft/combine.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/train/batch.hpp"
#include "veneer/train/trainer.hpp"

#include "common/exact_match.hpp"

namespace veneer::program {

struct Session::Parts {
  std::filesystem::path folder, text;  // text: the folder of an adapter with a tokenizer
  LlamaConfigFile file;
  AnyLlama<> model;
};

namespace {

void warn(const LoadedAdapter& loaded) {
  for (const std::string& warning : loaded.file.warnings) note("warning: " + warning);
}

AnyLlama<> read_base(const std::filesystem::path& folder, const LlamaConfigFile& file, const std::string& dtype,
                     const std::optional<QuantizeOptions>& quantise) {
  for (const std::string& warning : file.warnings) note("warning: " + warning);
  AnyLlama<> model(file.config);
  model.activations = activation_storage(dtype, file.config);
  for (const std::string& warning : read_llama_weights(model, ShardedCheckpoint(folder), {.quantise = quantise}))
    note("warning: " + warning);
  return model;
}

}  // namespace

Session::Session(const ModelFlags& flags, const std::optional<QuantizeOptions>& quantise)
    : parts_(std::make_unique<Parts>()) {
  flags.apply();
  parts_->folder = flags.model;
  if (const auto text = text_folder(flags); text != parts_->folder) parts_->text = text;
  parts_->file = read_llama_config(parts_->folder / "config.json");
  parts_->model = read_base(parts_->folder, parts_->file, flags.dtype, quantise);
  if (flags.adapters.empty()) return;
  if (flags.adapters.size() == 1) {
    warn(load_adapter(parts_->model, flags.adapters.front()));
    return;
  }
  NamedAdapters adapters(parts_->model);
  for (const std::string& folder : flags.adapters) warn(load_adapter(adapters, folder, folder));
  parts_->model = adapters.sum(flags.adapters);
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

std::vector<Completion> Session::complete(const Tokenizer& tokenizer, const std::vector<Record>& records,
                                          index_t max_new_tokens, const ExampleOptions& tokenization) const {
  return veneer::complete(parts_->model, tokenizer, records,
                          {.max_new_tokens = max_new_tokens,
                           .stop = stop_ids(folder(), config(), tokenizer),
                           .tokenization = tokenization});
}

SummedLoss Session::loss(const ExampleStore& examples, std::size_t begin, std::size_t end) const {
  Batch batch;
  for (std::size_t i = begin; i < end; ++i) batch.add(examples[i]);
  return {evaluate_loss(parts_->model, batch), batch.counted};
}

void Session::widen() {
  detail::visit_base(parts_->model, [](const std::string&, auto& weight) { weight.widen(); });
}

bool Session::head_follows() const {
  const auto list = sites(parts_->model);
  return std::any_of(list.begin(), list.end(), [](const auto& site) { return site->follows(); });
}

std::vector<MergedWeight> Session::merge(const MergeOptions& options) {
  return veneer::merge(parts_->model, options).weights;
}

std::vector<QuantisedWeight> Session::quantise_errors() const {
  const ShardedCheckpoint files(parts_->folder);
  std::vector<QuantisedWeight> errors;
  detail::visit_base(parts_->model, [&](const std::string& name, const auto& weight) {
    if constexpr (WeightSlotLike<decltype(weight)>) {
      if (!weight.quantised() || detail::find_quant_state(files, name)) return;
      const auto before = detail::read_widened<float>(files.at(name), weight.shape(), parts_->model.device);
      const double size = detail::distance_norm(before, decltype(before){});
      errors.push_back({name, size > 0 ? detail::distance_norm(before, weight.dense_copy()) / size : 0.0});
      files.forget(files.at(name));
    }
  });
  return errors;
}

void Session::save(const std::filesystem::path& folder) {
  save_llama(parts_->model, folder, parts_->file.raw, {.base = parts_->folder, .text = parts_->text});
}

void Session::save_gguf(const std::filesystem::path& file, const std::vector<GgufKey>& keys, GgmlType type) const {
  const std::filesystem::path folder = std::filesystem::absolute(parts_->folder / "config.json").parent_path();
  write_gguf_model(parts_->model, file, keys, {type, std::filesystem::weakly_canonical(folder).filename().string()});
}

struct SwitchingSession::Parts {
  NamedAdapters<AnyLlama<>> adapters;
  GrowingSequence<AnyLlama<>> sequence;
  std::string active = {};
  LlamaConfig config = {};  // of the active adapter, which may have another vocabulary

  explicit Parts(AnyLlama<> base)
      : adapters(std::move(base)), sequence(adapters.base()), config(adapters.base().config) {}
};

SwitchingSession::SwitchingSession(const ModelFlags& flags, const std::vector<AdapterFolder>& adapters) {
  flags.apply();
  const std::filesystem::path folder = flags.model;
  const LlamaConfigFile file = read_llama_config(folder / "config.json");
  parts_ = std::make_unique<Parts>(read_base(folder, file, flags.dtype, flags.quant.options()));
  for (const AdapterFolder& adapter : adapters) warn(load_adapter(parts_->adapters, adapter.name, adapter.folder));
  if (!adapters.empty()) use(adapters.front().name);
}

SwitchingSession::~SwitchingSession() = default;

const LlamaConfig& SwitchingSession::config() const { return parts_->config; }
const std::string& SwitchingSession::active() const { return parts_->active; }

void SwitchingSession::use(const std::string& name) {
  AnyLlama<> model = parts_->adapters.with(name.empty() ? base_adapter : name);
  parts_->config = model.config;
  parts_->sequence = GrowingSequence<AnyLlama<>>(std::move(model));  // keys and values depend on the adapter
  parts_->active = name;
}

std::vector<std::int32_t> SwitchingSession::generate(const std::vector<std::int32_t>& ids,
                                                     const GenerateOptions& options) {
  return parts_->sequence.generate(ids, options);
}

namespace {

/// Returns whether an adapter would be written with a weight of the base that was not read.
bool lacks_base(AnyLlama<>& model, const AdapterConfig& config, const AdapterPlan& plan) {
  bool lacks = false;
  detail::visit_vocabulary_tensors(
      model, config, plan, detail::vocabulary_keys(model, config, plan, false),
      [&](const std::string&, const auto& part) {
        lacks = lacks || !with_stored(part, [](const auto& w) { return static_cast<bool>(value_of(w)); });
      });
  return lacks;
}

/// Calls f with a shape-only model; calls it again with the weights if f returns that it needs them.
template <class F>
void with_outline(const ModelFlags& flags, const F& f) {
  flags.apply();
  const std::filesystem::path folder = flags.model;
  AnyLlama<> model(read_llama_config(folder / "config.json").config);
  if (f(model)) return;
  read_llama_weights(model, ShardedCheckpoint(folder));
  f(model);
}

}  // namespace

AdapterChange export_adapter(const ModelFlags& flags, bool fold, const std::filesystem::path& out) {
  AdapterChange change;
  with_outline(flags, [&](AnyLlama<> model) {
    const index_t rows = model.config.vocab_size;
    LoadedAdapter loaded = load_adapter(model, flags.only_adapter());
    if (lacks_base(model, loaded.file.config, loaded.plan)) return false;
    for (const std::string& warning : loaded.file.warnings) note("warning: " + warning);
    change = {loaded.file.config, loaded.plan, false};
    if (!fold) return save_adapter(model, out, loaded.file.config, loaded.plan, &loaded), true;
    expects(loaded.vocabulary_keys.empty() && model.config.vocab_size == rows,
            flags.adapters.front() +
                ": has a full embedding or head, which plain LoRA cannot represent: export it with --to merged");
    auto folded = fold_to_lora(model, loaded.file.config, loaded.plan);
    save_adapter(folded.model, out, folded.config, folded.plan);
    change = {folded.config, folded.plan, folded.rewritten};
    return true;
  });
  return change;
}

namespace {

/// Throws for an adapter's folder with an embedding or a head that differs from the model's, for example a resized one.
void expect_same_base(const ModelFlags& flags, const LoadedAdapter& loaded, const detail::VocabularyEnds& ends) {
  const SafetensorsFile file(flags.only_adapter() / "adapter_model.safetensors");
  const ShardedCheckpoint base(flags.model);
  const auto values = [](const TensorEntry& entry) {
    std::vector<float> read(static_cast<std::size_t>(element_count(entry)));
    read_floats(entry, read.data());
    return read;
  };
  for (const std::string& key : loaded.vocabulary_keys) {
    const bool head = key.find(ends.head + ".") != std::string::npos;
    const TensorEntry *here = file.find(key), *there = base.find((head ? ends.head : ends.embedding) + ".weight");
    if (there == nullptr) there = base.find(ends.embedding + ".weight");  // a tied head
    if (here != nullptr && there != nullptr && here->shape == there->shape && values(*here) == values(*there)) continue;
    detail::refuse_gguf_adapter(
        "the adapter's folder holds " + key +
        ", which is not the model's: it was resized or trained, and llama.cpp reads only lora_A and lora_B");
  }
}

}  // namespace

std::pair<std::size_t, bool> export_gguf_adapter(const ModelFlags& flags, const std::filesystem::path& out,
                                                 GgmlType type) {
  flags.apply();
  AnyLlama<> model(read_llama_config(std::filesystem::path(flags.model) / "config.json").config);
  const std::filesystem::path folder = flags.only_adapter();
  detail::check_folder(folder);
  const AdapterFile file = read_adapter_config(folder / "adapter_config.json");
  detail::check_gguf_adapter(model.config, file.config,
                             {});  // before the weights are read, which DoRA, for example, needs
  const LoadedAdapter loaded = load_adapter(model, folder);
  for (const std::string& warning : loaded.file.warnings) note("warning: " + warning);
  detail::check_gguf_adapter(model.config, loaded.file.config, loaded.plan);
  expect_same_base(flags, loaded, detail::vocabulary_ends(model));
  const GgufAdapterReport report = write_gguf_adapter(model, out, loaded.file.config, loaded.plan, type);
  return {report.modules, report.folded};
}

AdapterChange combine_adapters(const ModelFlags& flags, const std::vector<WeightedAdapter>& parts,
                               const CombineOptions& options, const std::filesystem::path& out) {
  AdapterChange change;
  with_outline(flags, [&](AnyLlama<> model) {
    NamedAdapters adapters(std::move(model));
    for (const WeightedAdapter& part : parts) load_adapter(adapters, part.name, part.name);
    combine(adapters, "combined", parts, options);
    const auto& entry = adapters.at("combined");
    AnyLlama<> made = entry.model;
    if (lacks_base(made, entry.config, entry.plan)) return false;
    save_adapter(made, out, entry.config, entry.plan);
    change = {entry.config, entry.plan, true};
    return true;
  });
  return change;
}

AdapterPlan plan_of(const LlamaConfig& model, const AdapterConfig& adapter) {
  AnyLlama<> shape_only(model);
  return plan_adapter(shape_only, adapter);
}

}  // namespace veneer::program
