// SPDX-License-Identifier: Apache-2.0
#include "golden/model_under_test.hpp"

#include <optional>
#include <utility>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/io/named_adapters.hpp"
#include "veneer/nn/generate.hpp"
#include "veneer/optim/clip.hpp"

namespace veneer::testing {

index_t TokenBatch::counted() const {
  return static_cast<index_t>(targets.size()) - static_cast<index_t>(std::count(targets.begin(), targets.end(), -100));
}

struct ModelUnderTest::Parts {
  std::filesystem::path folder;
  AnyLlama<Cpu> model;
  std::optional<LoadedAdapter> adapter;
  std::optional<Merge<AnyLlama<Cpu>>> merged;
  std::unique_ptr<AdamW> optimiser;
};

namespace {

auto token_ids(const TokenBatch& batch) { return from_host(Shape<dyn>(batch.rows * batch.length), batch.ids, Cpu{}); }

std::shared_ptr<const AttentionLayout> layout_of(const TokenBatch& batch) {
  auto layout = std::make_shared<AttentionLayout>();
  for (index_t row = 0; row < batch.rows; ++row) {
    const index_t first = row * batch.length;
    layout->spans.push_back({first, batch.length, first, batch.length, batch.valid[static_cast<std::size_t>(row)]});
  }
  return layout;
}

}  // namespace

ModelUnderTest::ModelUnderTest(const std::filesystem::path& folder, bool four_bits)
    : parts_(std::make_unique<Parts>()) {
  cpu::Memory::instance().poison(true);
  parts_->folder = folder;
  LoadLlamaOptions options;
  if (four_bits) options.quantise = NF4Options{};
  parts_->model = load_llama(folder, options);
}
ModelUnderTest::~ModelUnderTest() = default;
ModelUnderTest::ModelUnderTest(ModelUnderTest&&) noexcept = default;

const LlamaConfig& ModelUnderTest::config() const { return parts_->model.config; }

void ModelUnderTest::widen() {
  detail::visit_base(parts_->model, [](const std::string&, auto& weight) {
    weight = std::remove_cvref_t<decltype(weight)>(weight.dense_copy());
  });
}

void ModelUnderTest::round() {
  detail::visit_base(parts_->model, [](const std::string&, auto& weight) {
    weight = std::remove_cvref_t<decltype(weight)>(convert<bfloat16>(weight.dense_copy()));
  });
}

void ModelUnderTest::narrow() {
  round();
  parts_->model.activations = Storage::bfloat16;
}

AdapterPlan ModelUnderTest::plan_all_linear(index_t rank) {
  AdapterConfig config{.r = rank};
  config.target_modules = ModuleChoice::all_linear();
  return plan_adapter(parts_->model, config);
}

std::vector<std::int32_t> ModelUnderTest::generate(const std::vector<std::int32_t>& prompt, index_t count) const {
  return veneer::generate(parts_->model, {prompt}, {.max_new_tokens = count})[0];
}

AdapterPlan ModelUnderTest::train_everything() { return veneer::train_everything(parts_->model); }

const AdapterPlan& ModelUnderTest::load_adapter(const std::filesystem::path& folder) {
  parts_->adapter = veneer::load_adapter(parts_->model, folder);
  parts_->adapter->plan.warnings = parts_->adapter->file.warnings;
  return parts_->adapter->plan;
}

void ModelUnderTest::save_adapter(const std::filesystem::path& folder, bool as_read) {
  veneer::save_adapter(parts_->model, folder, parts_->adapter->file.config, parts_->adapter->plan,
                       as_read ? &*parts_->adapter : nullptr);
}

void ModelUnderTest::detach() {
  veneer::detach(parts_->model);
  parts_->adapter.reset();
}

const std::vector<MergedWeight>& ModelUnderTest::merge(Rounding rounding) {
  return merge(MergeOptions{.rounding = rounding});
}

const std::vector<MergedWeight>& ModelUnderTest::merge(MergeOptions options) {
  options.keep = true;
  parts_->merged = veneer::merge(parts_->model, options);
  return parts_->merged->weights;
}

void ModelUnderTest::unmerge() { veneer::unmerge(parts_->model, *parts_->merged); }

void ModelUnderTest::save(const std::filesystem::path& folder, bool with_base_files) {
  const LlamaConfigFile file = read_llama_config(parts_->folder / "config.json");
  save_llama(parts_->model, folder, file.raw, {.base = with_base_files ? parts_->folder : std::filesystem::path()});
}

std::vector<float> ModelUnderTest::logits(const TokenBatch& batch) const {
  return to_host(parts_->model(token_ids(batch), layout_of(batch)));
}

NamedValues ModelUnderTest::hidden(const TokenBatch& batch) const {
  const AnyLlama<Cpu>& model = parts_->model;
  const auto context = model.context(layout_of(batch), batch.rows * batch.length);
  NamedValues values;
  auto h = model.model.embed_tokens(token_ids(batch));
  values["embed"] = to_host(h);
  for (std::size_t i = 0; i < model.model.layers.size(); ++i) {
    h = model.model.layers[i](h, context, i);
    values["layer" + std::to_string(i)] = to_host(h);
  }
  values["norm"] = to_host(model.model.norm(h));
  return values;
}

double ModelUnderTest::backward(const TokenBatch& batch, double share) {
  Tape tape;
  const double scale = 1.0 / static_cast<double>(batch.counted());
  const auto loss = parts_->model.loss(tape.input(token_ids(batch)), layout_of(batch), batch.targets, scale);
  veneer::backward(loss, static_cast<float>(share));
  return static_cast<double>(item(loss.value()));
}

namespace {

/// Calls f(key, parameter) for each trained parameter.
template <class Model, class F>
void visit_trained(Model& model, const LoadedAdapter* adapter, const F& f) {
  if (adapter == nullptr) return visit_parameters(model, f);
  detail::visit_adapter_tensors(model, adapter->plan, [&](const std::string& key, auto& part) {
    if constexpr (ParameterLike<decltype(part)>) f(key, part);
  });
}

}  // namespace

NamedValues ModelUnderTest::gradients() {
  NamedValues values;
  visit_trained(parts_->model, parts_->adapter ? &*parts_->adapter : nullptr,
                [&](const std::string& key, auto& parameter) {
                  const auto& gradient = parameter.gradient();
                  values[key] = gradient ? to_host(gradient) : std::vector<float>();
                });
  return values;
}

NamedValues ModelUnderTest::parameters() {
  NamedValues values;
  visit_trained(parts_->model, parts_->adapter ? &*parts_->adapter : nullptr,
                [&](const std::string& key, auto& parameter) { values[key] = to_host(parameter.value()); });
  return values;
}

void ModelUnderTest::clear_gradients() { veneer::clear_gradients(parts_->model); }

NamedValues ModelUnderTest::weights() const {
  NamedValues values;
  detail::visit_base(parts_->model,
                     [&](const std::string& name, auto& weight) { values[name] = to_host(weight.dense_copy()); });
  return values;
}

std::map<std::string, std::string> ModelUnderTest::stored() const {
  std::map<std::string, std::string> bytes;
  detail::visit_base(parts_->model, [&](const std::string& name, auto& weight) {
    std::visit(
        [&](const auto& kept) {
          if constexpr (TensorLike<decltype(kept)>) {
            using U = typename std::remove_cvref_t<decltype(kept)>::scalar;
            const std::string letter = std::is_same_v<U, bfloat16> ? "b" : std::is_same_v<U, half> ? "h" : "f";
            bytes[name] = letter + std::string(reinterpret_cast<const char*>(kept.data()),
                                               static_cast<std::size_t>(kept.count()) * sizeof(U));
          }
        },
        weight.stored());
  });
  return bytes;
}

std::map<std::string, std::string> ModelUnderTest::tensors() {
  std::map<std::string, std::string> bytes;
  for (const detail::HostTensor& tensor : llama_tensors(parts_->model)) {
    const TensorView& view = tensor.view;
    std::size_t size = dtype_bytes(view.dtype);
    for (const std::int64_t extent : view.shape) size *= static_cast<std::size_t>(extent);
    bytes[view.name] = std::string(dtype_name(view.dtype)) + shape_text(view.shape) +
                       std::string(static_cast<const char*>(view.data), size);
  }
  return bytes;
}

std::map<std::string, std::vector<bool>> ModelUnderTest::kept_triplets() const {
  std::map<std::string, std::vector<bool>> kept;
  for (const TripletState& state : parts_->optimiser->allocator().states()) kept[state.module] = state.kept;
  return kept;
}

void ModelUnderTest::optimise(const AdamWOptions& options,
                              const std::function<ParameterGroup(const std::string&, int)>& group) {
  parts_->optimiser = std::make_unique<AdamW>(parts_->model, options, group);
}

StepResult ModelUnderTest::gather(const std::vector<TokenBatch>& micro_batches) {
  StepResult result;
  const double share = 1.0 / static_cast<double>(micro_batches.size());
  for (const TokenBatch& batch : micro_batches) {
    result.micro_losses.push_back(backward(batch, share));
    result.loss += share * result.micro_losses.back();
  }
  result.loss += add_orthogonality(parts_->model);
  result.gradient_norm = parts_->optimiser->gradient_norm();
  return result;
}

StepResult ModelUnderTest::step(const std::vector<TokenBatch>& micro_batches, double learning_rate, double max_norm) {
  const StepResult result = gather(micro_batches);
  clip_gradients(*parts_->optimiser, max_norm);
  parts_->optimiser->step(learning_rate);
  return result;
}

struct SeveralUnderTest::Parts {
  NamedAdapters<AnyLlama<Cpu>> adapters;
};

SeveralUnderTest::SeveralUnderTest(const std::filesystem::path& folder, bool four_bits) {
  cpu::Memory::instance().poison(true);
  LoadLlamaOptions options;
  if (four_bits) options.quantise = NF4Options{};
  parts_ = std::make_unique<Parts>(Parts{NamedAdapters(load_llama(folder, options))});
}
SeveralUnderTest::~SeveralUnderTest() = default;
SeveralUnderTest::SeveralUnderTest(SeveralUnderTest&&) noexcept = default;

void SeveralUnderTest::load(const std::string& name, const std::filesystem::path& folder) {
  load_adapter(parts_->adapters, name, folder);
}

void SeveralUnderTest::save(const std::string& name, const std::filesystem::path& folder) const {
  veneer::save_adapter(parts_->adapters, name, folder);
}

AdapterPlan SeveralUnderTest::combine(const std::string& name, const std::vector<WeightedAdapter>& parts,
                                      const CombineOptions& options) {
  return veneer::combine(parts_->adapters, name, parts, options);
}

bool SeveralUnderTest::export_lora(const std::string& name, const std::filesystem::path& folder) {
  const auto& entry = parts_->adapters.at(name);
  auto folded = fold_to_lora(entry.model, entry.config, entry.plan);
  veneer::save_adapter(folded.model, folder, folded.config, folded.plan);
  return folded.rewritten;
}

std::map<std::string, LoraFactors> SeveralUnderTest::factors(const std::string& name) const {
  std::map<std::string, LoraFactors> all;
  auto model = parts_->adapters.with(name);
  for (const auto& site : sites(model)) {
    const std::any held = site->adapter();
    if (const auto* adapter = std::any_cast<LowRankAdapter<Cpu>>(&held))
      all[site->name] = {adapter->rank(), adapter->scaling, to_host(adapter->down.value()),
                         to_host(adapter->up.value())};
  }
  return all;
}

std::vector<float> SeveralUnderTest::logits(const std::string& name, const TokenBatch& batch) const {
  return to_host(parts_->adapters.with(name)(token_ids(batch), layout_of(batch)));
}

std::vector<float> SeveralUnderTest::sum(const std::vector<std::string>& names, const TokenBatch& batch) const {
  return to_host(parts_->adapters.sum(names)(token_ids(batch), layout_of(batch)));
}

std::vector<float> SeveralUnderTest::mixed(const std::vector<std::string>& names, const TokenBatch& batch) const {
  return to_host(parts_->adapters.mixed(names)(token_ids(batch), layout_of(batch)));
}

std::vector<std::vector<std::int32_t>> SeveralUnderTest::generate(
    const std::vector<std::string>& names, const std::vector<std::vector<std::int32_t>>& prompts) const {
  const GenerateOptions options{.max_new_tokens = 6};
  if (names.size() == 1) return veneer::generate(parts_->adapters.with(names[0]), prompts, options);
  return veneer::generate(parts_->adapters.mixed(names), prompts, options);
}

std::vector<std::string> SeveralUnderTest::learning(const std::vector<std::string>& names,
                                                    const std::string& one) const {
  auto model = names.empty() ? parts_->adapters.with(one) : parts_->adapters.sum(names, one);
  std::vector<std::string> found;
  visit_parameters(model, [&](const std::string& name, auto&) { found.push_back(name); });
  return found;
}

NamedValues SeveralUnderTest::merged(const std::vector<std::string>& names) const {
  auto model = parts_->adapters.sum(names);
  veneer::merge(model);
  NamedValues values;
  detail::visit_base(model,
                     [&](const std::string& name, auto& weight) { values[name] = to_host(weight.dense_copy()); });
  return values;
}

}  // namespace veneer::testing
