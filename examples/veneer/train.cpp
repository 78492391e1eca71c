// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <unistd.h>

#include "veneer/optim/lora_plus.hpp"
#include "veneer/train/state.hpp"

#include "common/metrics.hpp"
#include "memory.hpp"
#include "progress.hpp"
#include "recipe_flags.hpp"
#include "run_lock.hpp"
#include "showcase.hpp"
#include "train_data.hpp"
#include "train_inputs.hpp"
#include "trained_model.hpp"

namespace veneer::program {

namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t stop_asked = 0;
void ask_to_stop(int signal) {
  if (stop_asked != 0) std::_Exit(128 + signal);  // the second signal ends at once; files are complete at every moment
  stop_asked = signal;
}

class TrainRun {
 public:
  explicit TrainRun(TrainSettings settings) : in_(std::move(settings)) {}

  int run() {
    if (settings_.dry_run) return dry_run();
    check_folder();
    data_.emplace(in_);
    trained_.emplace(in_, *data_);
    peak_loading_ = peak_memory_bytes();
    if (!settings_.quiet) std::cerr << trained_->plan();
    prepare_trainer();
    showcase_.emplace(in_, trained_->model(), data_->tokenization());
    make_folder();
    log_.emplace(settings_.out, in_.state ? in_.state->step : 0);
    write_atomically(fs::path(settings_.out) / "resolved_config.yaml", settings_.to_yaml());
    const int code = train();
    if (code == done) finish();
    return code;
  }

 private:
  int dry_run() {
    AnyLlama<> shape_only(config_as_read(in_.config(), settings_.model));
    AdapterPlan plan;
    if (settings_.full()) {
      plan.base_parameters = base_count(shape_only);
      plan.trained.push_back({"every weight", plan.base_parameters, false});
    } else {
      plan = plan_adapter(shape_only, in_.planned_adapter());
    }
    std::ostringstream text;
    text << plan << '\n' << memory_text(plan_bytes(in_.config(), request()));
    print(settings_.to_yaml() + as_comments(text.str()));  // the whole output is a recipe
    flush();
    return done;
  }

  static std::string as_comments(const std::string& text) {
    std::string comments;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) comments += line.empty() ? "#\n" : "# " + line + "\n";
    return comments;
  }

  MemoryRequest request() const {
    MemoryRequest request;
    request.model = settings_.model;
    if (!settings_.full()) request.adapter = in_.planned_adapter();
    request.quantise = settings_.quant.options();
    request.checkpointing = settings_.checkpointing;
    request.dtype = settings_.dtype;
    request.batch = settings_.batch, request.seq = settings_.seq, request.grad_accum = settings_.grad_accum;
    request.threads = settings_.threads;
    return request;
  }

  /// Checks early that --out can be created, and is not locked by another run. Creates nothing yet.
  void check_folder() {
    fs::path there = fs::absolute(settings_.out);
    std::error_code error;
    while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
    if (!fs::is_directory(there, error))
      throw IoError("--out " + settings_.out + ": " + there.string() + " is not a folder");
    if (::access(there.c_str(), W_OK) != 0)
      throw IoError("--out " + settings_.out + ": nothing can be written in " + there.string());
    if (fs::is_directory(settings_.out, error)) lock_.emplace(settings_.out);
  }

  void make_folder() {
    std::error_code error;
    fs::create_directories(settings_.out, error);
    if (!fs::is_directory(settings_.out, error)) throw IoError("--out " + settings_.out + ": can't be made");
    if (!lock_) lock_.emplace(settings_.out);
  }

  void prepare_trainer() {
    const index_t steps = data_->steps();
    if (const auto* budget = std::get_if<AdaLora>(&trained_->adapter().method);
        budget != nullptr && budget->total_step != steps) {
      throw ArgumentError("--steps: the run has " + std::to_string(steps) + " steps, and the AdaLoRA schedule of " +
                          settings_.adapter + " is for " + std::to_string(budget->total_step));
    }
    TrainerOptions options;
    options.optimizer = {settings_.learning_rate, settings_.beta1, settings_.beta2, settings_.epsilon,
                         settings_.weight_decay};
    options.schedule = {
        .kind = Schedule::kind_of(settings_.schedule), .warmup = settings_.warmup_steps(steps), .total = steps};
    options.max_gradient_norm = settings_.clip;
    options.seed = settings_.seed;
    std::function<ParameterGroup(const std::string&, int)> groups;
    if (settings_.lora_plus_ratio > 0)
      groups = LoraPlus{settings_.lora_plus_ratio, settings_.learning_rate, settings_.lora_plus_embedding_lr};
    trainer_.emplace(trained_->model(), options, groups);
    if (in_.state) trainer_->optimizer().restore(in_.state->step, in_.state->moments, in_.state->triplets);
  }

  int train() {
    const index_t first = trainer_->optimizer().steps(), total = data_->steps();
    Progress progress(first, total, settings_.quiet);
    stop_asked = 0;
    std::signal(SIGINT, ask_to_stop);
    std::signal(SIGTERM, ask_to_stop);
    for (index_t step = first; step < total; ++step) {
      StepReport report;
      try {
        report = trainer_->step(data_->batches(step));
      } catch (const DivergedError&) {
        progress.interrupt();
        save_checkpoint();
        throw;
      }
      const std::size_t memory = cpu::Memory::instance().use().reserved;
      log_->add(report, progress.tokens_per_second(), memory);
      progress.show(report, memory);
      const bool last = report.step == total;
      if (settings_.eval_every > 0 && report.step % settings_.eval_every == 0 && !last)
        evaluate(report.step, &progress);
      if (settings_.save_every > 0 && report.step % settings_.save_every == 0) save_checkpoint();
      if (stop_asked != 0 && !last) {
        progress.interrupt();
        const fs::path folder = save_checkpoint();
        std::fprintf(stderr, "stopped after step %lld; saved %s; continue with: veneer train --resume %s\n",
                     static_cast<long long>(report.step), folder.string().c_str(), settings_.out.c_str());
        return interrupted;
      }
    }
    seconds_ = progress.elapsed();
    peak_memory_ = peak_memory_bytes();
    return done;
  }

  void evaluate(index_t step, const Progress* progress = nullptr) {
    if (data_->evaluation().empty()) return;
    const double loss = mean_loss(trained_->model(), data_->evaluation());
    log_->add(step, loss);
    if (progress != nullptr) progress->interrupt();
    char line[96];
    std::snprintf(line, sizeof line, "step %lld  held-out loss %.4f", static_cast<long long>(step), loss);
    in_.say(line);
  }

  fs::path save_checkpoint() {
    const fs::path folder = fs::path(settings_.out) / ("checkpoint-" + std::to_string(trainer_->optimizer().steps()));
    AtomicFolder out(folder, OtherFiles::remove);
    trained_->write(out.path());
    write_training_state(out.path(), trainer_->optimizer(), settings_.to_json());
    out.commit();
    return folder;
  }

  void finish() {
    const index_t steps = data_->steps();
    evaluate(steps);
    trained_->save(settings_.out);
    write_atomically(fs::path(settings_.out) / "loss.svg", loss_svg(log_->losses(), log_->evaluations()));
    Json json = {{"steps", steps},
                 {"seconds", seconds_},
                 {"out", settings_.out},
                 {"trainable_parameters", trained_->plan().trainable()}};
    json["peak_memory_bytes"] = peak_memory_;
    json["peak_memory_bytes_loading"] = peak_loading_;
    if (!log_->losses().empty()) json["loss"] = log_->losses().back().value;
    if (!log_->evaluations().empty()) json["eval_loss"] = log_->evaluations().back().value;
    showcase_->finish(trained_->model(), json);
    if (settings_.shipped && !settings_.json)
      std::printf("  %lld steps in %.1f s\n", static_cast<long long>(steps), seconds_);
    if (settings_.json) print(json.dump() + "\n");
    flush();
    in_.say("saved " + settings_.out + (settings_.full() ? " (opens in transformers)" : " (opens in PEFT)"));
  }

  TrainInputs in_;
  const TrainSettings& settings_ = in_.settings;
  std::optional<RunLock> lock_;
  std::optional<TrainData> data_;
  std::optional<TrainedModel> trained_;
  std::optional<Trainer<AnyLlama<>>> trainer_;
  std::optional<Showcase> showcase_;
  std::optional<MetricsLog> log_;
  double seconds_ = 0.0;
  std::int64_t peak_memory_ = 0, peak_loading_ = 0;
};

void read_recipe_of(CLI::App& command, const TrainSettings& settings, RecipeFlags& recipe) {
  if (!recipe.given()) return;
  if (!settings.resume.empty()) throw ArgumentError("--resume uses the settings of the run: omit --config");
  std::vector<std::string> passed_over;  // --epochs on the command line replaces the steps of a recipe
  if (command.count("--epochs") > 0) passed_over.push_back("steps");
  recipe.apply(command, passed_over);
}

}  // namespace

void add_train(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("train", "fine-tune a model; alone, the shipped model on the shipped task");
  auto settings = std::make_shared<TrainSettings>();
  settings->add_to(*command);
  auto recipe = std::make_shared<RecipeFlags>();
  recipe->add_to(*command);
  command->callback([&run, settings, recipe, command] {
    run = [settings, recipe, command] {
      read_recipe_of(*command, *settings, *recipe);
      return recipe->naming_lines([&] {
        if (settings->threads > 0) Cpu::set_threads(settings->threads);
        settings->settle(*command);
        return TrainRun(*settings).run();
      });
    };
  });
}

}  // namespace veneer::program
