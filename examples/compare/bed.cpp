// SPDX-License-Identifier: Apache-2.0
#include "bed.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <type_traits>
#include <unistd.h>
#include <utility>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/train/order.hpp"
#include "veneer/train/trainer.hpp"

#include "common/exact_match.hpp"

namespace veneer::compare {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t lines_of_training_loss = 512;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double bytes_in_use() { return static_cast<double>(cpu::Memory::instance().use().used); }

/// Returns `count` entries, evenly spread; all of them for 0.
template <class E>
std::vector<E> spread(const std::vector<E>& all, std::size_t count) {
  if (count == 0 || count >= all.size()) return all;
  std::vector<E> some;
  for (std::size_t i = 0; i < count; ++i) some.push_back(all[i * all.size() / count]);
  return some;
}

AdapterConfig adapter_of(const Setting& setting) {
  AdapterConfig config{.r = setting.rank, .lora_alpha = setting.alpha};
  config.target_modules = ModuleChoice::all_linear();
  config.task_type = "CAUSAL_LM";
  config.use_dora = setting.method == Method::dora;
  if (setting.method == Method::adalora) {
    config.method = AdaLora{{.target_r = setting.rank,
                             .init_r = rank_at_start(setting),
                             .tinit = setting.steps / 10,
                             .tfinal = setting.steps / 3,
                             .total_step = setting.steps,
                             .delta_t = 5,
                             .orth_reg_weight = setting.orthogonality}};
  }
  return config;
}

TrainerOptions options_of(const Setting& setting) {
  TrainerOptions options;
  options.optimizer = {.learning_rate = setting.rate, .weight_decay = 0.0};
  options.schedule = {.kind = Schedule::Kind::linear, .warmup = 20, .total = setting.steps};
  options.seed = setting.seed;
  return options;
}

/// A temporary folder for files that are measured or read again.
class ScratchFolder {
 public:
  ScratchFolder() : path_(fs::temp_directory_path() / ("veneer-compare-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// A model in training.
class Training {
 public:
  /// \param base  its weights are shared, not copied, unless they are trained
  Training(const Setting& setting, AnyLlama<> base, const std::vector<Example>& fresh,
           const std::vector<Example>& replayed)
      : setting_(setting),
        model_(std::move(base)),
        fresh_(fresh),
        replayed_(replayed),
        order_(static_cast<index_t>(fresh.size()), setting.batch, true, setting.seed,
               static_cast<index_t>(replayed.size()), setting.replay) {
    if (setting.method == Method::full) {
      plan_ = train_everything(model_);
    } else {
      config_ = adapter_of(setting);
      plan_ = attach(model_, config_, {.seed = setting.seed});
    }
    trainer_.emplace(model_, options_of(setting));
  }
  Training(const Training&) = delete;  // the trainer has the address of the model
  Training& operator=(const Training&) = delete;

  void step() {
    const auto start = Clock::now();
    const StepReport report = trainer_->step({batch_of(order_, steps_++, fresh_, replayed_)});
    const double seconds = seconds_since(start), tokens = static_cast<double>(report.tokens);
    seconds_ += seconds, tokens_ += tokens;
    per_token_.push_back(seconds / tokens);
  }

  /// Writes the adapter, or with full training the model.
  /// \returns the bytes of its safetensors file
  double save(const fs::path& folder, const fs::path& base) {
    if (setting_.method == Method::full) {
      save_llama(model_, folder, read_llama_config(base / "config.json").raw, {.base = base});
      return static_cast<double>(fs::file_size(folder / "model.safetensors"));
    }
    save_adapter(model_, folder, config_, plan_);
    return static_cast<double>(fs::file_size(folder / "adapter_model.safetensors"));
  }

  const AnyLlama<>& model() const { return model_; }
  const std::vector<double>& per_token() const { return per_token_; }
  Outcome outcome() const { return {setting_, {}, plan_.trainable(), tokens_ / std::max(1e-9, seconds_), 1.0}; }

 private:
  Setting setting_;
  AnyLlama<> model_;
  const std::vector<Example>&fresh_, &replayed_;
  DataOrder order_;
  AdapterConfig config_;
  AdapterPlan plan_;
  std::optional<Trainer<AnyLlama<>>> trainer_;
  index_t steps_ = 0;
  double seconds_ = 0.0, tokens_ = 0.0;
  std::vector<double> per_token_;
};

/// The adapters in the slots of a model: handles, not values.
class SlotContents {
 public:
  explicit SlotContents(AnyLlama<>& model) {
    for (const auto& site : sites(model)) held_.push_back(site->adapter());
  }
  void put_into(AnyLlama<>& model) const {
    std::size_t i = 0;
    for (const auto& site : sites(model)) {
      const std::any& adapter = held_[i++];
      site->clear();
      if (adapter.has_value()) site->place(adapter);
    }
  }

 private:
  std::vector<std::any> held_;
};

}  // namespace

struct Bed::Parts {
  fs::path data;
  Tokenizer tokenizer;
  AnyLlama<> dense, packed;  // the base, and its 4-bit form
  std::vector<std::int32_t> stop;
  std::map<std::string, std::vector<Example>> examples;
  std::map<std::string, std::vector<Record>> records;
  const std::vector<Example> nothing{};

  explicit Parts(const fs::path& folder) : data(folder), tokenizer(Tokenizer::from_folder(base())) {
    dense = load_llama(base());
    packed = load_llama(base(), {.quantise = NF4Options{.double_quant = true}});
    for (const index_t id : dense.config.eos_token_ids) stop.push_back(static_cast<std::int32_t>(id));
    for (const char* name : {"iso.train", "shell.train", "replay", "prose.test"})
      examples[name] = load_examples(data / (std::string(name) + ".jsonl"), &tokenizer).examples;
    for (const char* name : {"iso.test", "iso.valid", "shell.test", "shell.valid", "base.test"})
      records[name] = read_records(data / (std::string(name) + ".jsonl"));
  }

  fs::path base() const { return data / "veneer-tiny"; }

  std::unique_ptr<Training> training(const Setting& setting) const {
    return std::make_unique<Training>(setting, setting.method == Method::qlora ? packed : dense,
                                      examples.at(setting.task + ".train"),
                                      setting.replay > 0 ? examples.at("replay") : nothing);
  }

  double exact(const AnyLlama<>& model, const std::string& file, std::size_t lines) const {
    return exact_share(complete(model, tokenizer, spread(records.at(file), lines), {.stop = stop}));
  }

  Scores score(const AnyLlama<>& model, const std::string& task, const Scope& scope) const {
    Scores scores;
    scores.exact = exact(model, task + "." + scope.split, scope.lines);
    if (!scope.others) return scores;
    const std::size_t learnt = scope.lines == 0 ? lines_of_training_loss : scope.lines;
    const std::vector<Example>& train = examples.at(task + ".train");
    scores.old_skills = exact(model, "base.test", scope.lines);
    scores.prose = mean_loss(model, spread(examples.at("prose.test"), scope.lines));
    scores.training_loss = mean_loss(
        model, std::vector<Example>(train.begin(),
                                    train.begin() + static_cast<std::ptrdiff_t>(std::min(learnt, train.size()))));
    return scores;
  }
};

Bed::Bed(const fs::path& data) : parts_(std::make_unique<Parts>(data)) {}
Bed::~Bed() = default;

Scores Bed::untrained(const std::string& task, const Scope& scope) const {
  return parts_->score(parts_->dense, task, scope);
}

std::vector<Outcome> Bed::run(const std::vector<Setting>& settings, const Scope& scope) const {
  std::vector<std::unique_ptr<Training>> trainings;
  index_t steps = 0;
  for (const Setting& setting : settings) {
    trainings.push_back(parts_->training(setting));
    steps = std::max(steps, setting.steps);
  }
  for (index_t step = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < settings.size(); ++i) {
      const std::size_t turn = (i + static_cast<std::size_t>(step)) % settings.size();  // rotate the order
      if (step < settings[turn].steps) trainings[turn]->step();
    }
    if ((step + 1) % 50 == 0 || step + 1 == steps) {
      std::fprintf(stderr, "%zu alternating runs: step %lld of %lld\n", settings.size(),
                   static_cast<long long>(step + 1), static_cast<long long>(steps));
    }
  }
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    Outcome outcome = trainings[i]->outcome();
    outcome.scores = parts_->score(trainings[i]->model(), settings[i].task, scope);
    const std::vector<double>&own = trainings[i]->per_token(), &first = trainings[0]->per_token();
    std::vector<double> ratios;
    for (std::size_t step = 0; step < std::min(own.size(), first.size()); ++step)
      ratios.push_back(own[step] / first[step]);
    outcome.relative_time = median(std::move(ratios));
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

Footprint Bed::footprint(const Setting& setting, index_t steps) const {
  const double before = bytes_in_use();
  Footprint found;
  AnyLlama<> model = setting.method == Method::qlora
                         ? load_llama(parts_->base(), {.quantise = NF4Options{.double_quant = true}})
                         : load_llama(parts_->base());
  found.weights = bytes_in_use() - before;
  cpu::Memory::instance().reset_peak();
  Training training(setting, std::exchange(model, AnyLlama<>{}), parts_->examples.at(setting.task + ".train"),
                    setting.replay > 0 ? parts_->examples.at("replay") : parts_->nothing);
  for (index_t step = 0; step < steps; ++step) training.step();
  found.peak = static_cast<double>(cpu::Memory::instance().use().peak) - before;
  const ScratchFolder scratch;
  found.file = training.save(scratch.path() / "trained", parts_->base());
  return found;
}

SwapReport Bed::swap(const Setting& first, const Setting& second, const Scope& scope) const {
  const ScratchFolder scratch;
  const std::vector<Setting> settings{first, second};
  for (const Setting& setting : settings) {
    const auto training = parts_->training(setting);
    for (index_t step = 0; step < setting.steps; ++step) training->step();
    training->save(scratch.path() / setting.task, parts_->base());
    std::fprintf(stderr, "%s: trained, saved\n", setting.task.c_str());
  }
  SwapReport report;
  const double nothing = bytes_in_use();
  AnyLlama<> model = load_llama(parts_->base());
  report.base_bytes = bytes_in_use() - nothing;
  std::vector<SlotContents> contents{SlotContents(model)};
  for (const Setting& setting : settings) {
    const double before = bytes_in_use();
    const auto start = Clock::now();
    load_adapter(model, scratch.path() / setting.task);
    report.load_seconds = seconds_since(start);
    contents.emplace_back(model);
    report.adapter_bytes = bytes_in_use() - before;
  }
  const double loaded = bytes_in_use();
  std::vector<double> times;
  for (std::size_t i = 0; i < 3000; ++i) {
    const auto start = Clock::now();
    contents[i % contents.size()].put_into(model);
    times.push_back(seconds_since(start));
  }
  report.swap_bytes = bytes_in_use() - loaded;
  report.swap_seconds = median(std::move(times));
  for (std::size_t row = 0; row < contents.size(); ++row) {
    contents[row].put_into(model);
    for (std::size_t column = 0; column < settings.size(); ++column)
      report.exact[row][column] = parts_->exact(model, settings[column].task + "." + scope.split, scope.lines);
  }
  return report;
}

AdapterPlan plan_of(const LlamaConfig& model, const AdapterConfig& adapter) {
  AnyLlama<> shape_only(model);
  return plan_adapter(shape_only, adapter);
}

}  // namespace veneer::compare
