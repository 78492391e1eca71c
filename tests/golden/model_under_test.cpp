// SPDX-License-Identifier: Apache-2.0
#include "golden/model_under_test.hpp"

#include <optional>
#include <utility>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
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

ModelUnderTest::ModelUnderTest(const std::filesystem::path& folder) : parts_(std::make_unique<Parts>()) {
  cpu::Memory::instance().poison(true);
  parts_->folder = folder;
  parts_->model = load_llama(folder);
}
ModelUnderTest::~ModelUnderTest() = default;
ModelUnderTest::ModelUnderTest(ModelUnderTest&&) noexcept = default;

const LlamaConfig& ModelUnderTest::config() const { return parts_->model.config; }

void ModelUnderTest::widen() {
  detail::visit_base(parts_->model, [](const std::string&, auto& weight) {
    weight = std::remove_cvref_t<decltype(weight)>(weight.dense_copy());
  });
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
  parts_->merged = veneer::merge(parts_->model, {.rounding = rounding, .keep = true});
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

/// Calls f(key, parameter) for what trains.
template <class Model, class F>
void visit_trained(Model& model, const LoadedAdapter* adapter, const F& f) {
  if (adapter == nullptr) return visit_parameters(model, f);
  detail::visit_adapter_tensors(model, adapter->file.config, adapter->plan, [&](const std::string& key, auto& part) {
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

}  // namespace veneer::testing
