// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <unistd.h>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/optim/lora_plus.hpp"
#include "veneer/peft/init/eva.hpp"
#include "veneer/peft/merge.hpp"
#include "veneer/text/add_tokens.hpp"
#include "veneer/text/example_rows.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/train/order.hpp"
#include "veneer/train/state.hpp"

#include "common/exact_match.hpp"
#include "common/metrics.hpp"
#include "memory.hpp"
#include "progress.hpp"
#include "recipe_flags.hpp"
#include "run_lock.hpp"
#include "train_settings.hpp"

namespace veneer::program {

namespace {

namespace fs = std::filesystem;

volatile std::sig_atomic_t stop_asked = 0;
void ask_to_stop(int signal) {
  if (stop_asked != 0) std::_Exit(128 + signal);  // the second signal ends at once; files are complete at every moment
  stop_asked = signal;
}

/// The exact match on the task and on the skills of the base, for the shipped run.
struct Showcase {
  std::vector<Completion> task;
  double old_skills = 0.0;
};

class TrainRun {
 public:
  explicit TrainRun(TrainSettings settings) : settings_(std::move(settings)) {}

  int run() {
    if (!settings_.resume.empty()) find_state();
    config_file_ = read_llama_config(fs::path(settings_.model) / "config.json");
    warn_of(config_file_.warnings);
    if (settings_.dtype == "float16") say("note: --dtype float16 is computed in float32 on a CPU");
    settings_.dtype = activation_name(activation_storage(settings_.dtype, config_file_.config));
    find_tokens();
    if (settings_.dry_run) return dry_run();
    check_folder();
    read_data();
    plan_order();
    load_model();
    peak_loading_ = peak_memory_bytes();
    if (!settings_.quiet) std::cerr << plan_;
    prepare_trainer();
    if (settings_.shipped) before_ = showcase();
    sample_before_ = sample();
    make_folder();
    open_metrics();
    const int code = train();
    if (code == done) finish();
    return code;
  }

 private:
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

  void say(const std::string& line) const {
    if (!settings_.quiet) std::fprintf(stderr, "%s\n", line.c_str());
  }

  void warn_of(const std::vector<std::string>& warnings) const {
    for (const std::string& warning : warnings) say("warning: " + warning);
  }

  void find_state() {
    const auto folder = newest_checkpoint(settings_.resume);
    if (!folder)
      throw IoError("--resume " + settings_.resume + ": neither a checkpoint nor the folder of a run with one");
    state_ = read_training_state(*folder);
    state_folder_ = *folder;
    const std::string where = (*folder / "trainer_state.json").string();
    TrainSettings saved = TrainSettings::from_json(state_->settings, where);
    settings_.refuse_conflicts_with(saved, where);
    saved.out = settings_.out.empty()
                    ? (*folder == fs::path(settings_.resume) ? folder->parent_path().string() : settings_.resume)
                    : settings_.out;
    saved.threads = settings_.threads;
    saved.quiet = settings_.quiet, saved.json = settings_.json, saved.dry_run = settings_.dry_run;
    settings_ = std::move(saved);
  }

  /// Reads the tokenizer, with the added tokens, and the ids of --train-tokens.
  void find_tokens() {
    const fs::path folder = settings_.model;
    if (settings_.add_tokens.empty()) {
      tokenizer_ = find_tokenizer(folder);
    } else if (state_) {
      const fs::path file = *state_folder_ / "tokenizer.json";
      grown_.emplace(GrownTokenizer{read_text(file, tokenizer_limits.bytes), {}, 0});
    } else {
      std::istringstream lines(read_text(settings_.add_tokens, std::size_t{1} << 24));
      std::vector<std::string> texts;
      for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty()) texts.push_back(line);
      }
      expects<FormatError>(!texts.empty(), settings_.add_tokens + ": names no token");
      grown_ = veneer::add_tokens(folder, texts);
    }
    if (grown_) {
      tokenizer_ = Tokenizer::from_json(grown_->json, settings_.add_tokens, read_special_tokens(folder));
      grown_->rows = tokenizer_->largest_id() + 1;
    }
    resolve_tokens(settings_.adapter_flags.train_tokens, tokenizer_);
  }

  /// Returns the model's configuration in training.
  LlamaConfig trained_config() const {
    LlamaConfig config = config_file_.config;
    if (grown_) config.vocab_size = grown_->rows;
    return config;
  }

  /// Returns the config of the adapter given by the flags. Added tokens are trained, unless the flags exclude it.
  AdapterConfig adapter_config(index_t steps) const {
    AdapterConfig config = settings_.adapter_flags.config(steps);
    if (!grown_ || grown_->ids.empty() || !takes_tokens(config.method) || config.trainable_token_indices ||
        config.modules_to_save)
      return config;
    const std::vector<index_t> ids(grown_->ids.begin(), grown_->ids.end());
    config.trainable_token_indices = {{{"embed_tokens", ids}, {"lm_head", ids}}};
    if (config_file_.config.tie_word_embeddings) config.trainable_token_indices = {{{"", ids}}};
    return config;
  }

  int dry_run() {
    AnyLlama<> shape_only(config_as_read(trained_config(), settings_.model));
    plan_ = settings_.full() ? train_everything_plan(shape_only) : plan_adapter(shape_only, planned_adapter());
    std::ostringstream text;
    text << plan_ << '\n' << memory_text(plan_bytes(trained_config(), request()));
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

  /// Returns the config of the trained adapter: of --adapter, or of the flags.
  AdapterConfig planned_adapter() const {
    if (settings_.adapter.empty()) return adapter_config(settings_.steps);
    AdapterConfig config = read_adapter_config(fs::path(settings_.adapter) / "adapter_config.json").config;
    if (config.target_modules.kind == ModuleChoice::Kind::none)
      config.target_modules = default_target_modules(config_file_.config.model_type, config.method);
    return config;
  }

  MemoryRequest request() const {
    MemoryRequest request;
    request.model = settings_.model;
    if (!settings_.full()) request.adapter = planned_adapter();
    request.quantise = settings_.quant.options();
    request.checkpointing = settings_.checkpointing;
    request.dtype = settings_.dtype;
    request.batch = settings_.batch, request.seq = settings_.seq, request.grad_accum = settings_.grad_accum;
    request.threads = settings_.threads;
    return request;
  }

  static AdapterPlan train_everything_plan(AnyLlama<>& shape_only) {
    AdapterPlan plan;
    plan.base_parameters = base_count(shape_only);
    plan.trained.push_back({"every weight", plan.base_parameters, false});
    return plan;
  }

  void read_data() {
    const fs::path folder = settings_.model;
    const LlamaConfig config = trained_config();
    tokenization_ = settings_.tokenization.options(folder, tokenizer_, &config);
    tokenization_.max_length = static_cast<std::size_t>(settings_.seq);
    tokenization_.cut = !settings_.packing;
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
    const auto length = static_cast<std::size_t>(settings_.seq);
    if (!settings_.packing) return ExampleRows::whole(std::move(data), std::move(chosen), length);
    const ExampleRows all = ExampleRows::packed(std::move(data), length, std::move(chosen));
    ExampleRows rows = all.learned();
    say("packed into " + std::to_string(all.size()) + " rows of " + std::to_string(length) + " tokens" +
        (rows.size() < all.size()
             ? "; rows without trained tokens: " + std::to_string(all.size() - rows.size()) + ", which are skipped"
             : ""));
    if (!all.empty() && rows.empty())
      throw FormatError("--packing --seq " + std::to_string(length) + ": no row has a trained token");
    return rows;
  }

  std::shared_ptr<const ExampleStore> read_examples(const std::string& path) const {
    const auto store = std::make_shared<ExampleStore>();
    const DatasetReport report = store_examples(path, tokenizer_ ? &*tokenizer_ : nullptr, tokenization_, *store);
    if (store->empty()) throw FormatError(path + ": no line has a trained token");
    say(path + ": " + std::to_string(report.examples) + " sequences, " + std::to_string(report.tokens) + " tokens, " +
        std::to_string(report.learned) + " of them trained on" +
        (report.truncated > 0
             ? "; " + std::to_string(report.truncated) + " cut to --seq " + std::to_string(settings_.seq)
             : "") +
        (report.unlearned.count() > 0
             ? "; " + std::to_string(report.unlearned.count()) + " dropped, without trained tokens"
             : ""));
    if (const DatasetNotes& empty = report.warnings; empty.count() > 0) {
      say("warning: " + path + ": the model learns to give an empty reply; " + counted(empty.count(), "record") +
          " with one, the first on line " + std::to_string(empty.first().front().line));
    }
    return store;
  }

  void load_model() {
    model_ = AnyLlama<>(config_file_.config);
    model_.checkpointing = settings_.checkpointing;
    model_.activations = activation_storage(settings_.dtype, config_file_.config);
    if (settings_.full()) {
      warn_of(
          read_llama_weights(model_, ShardedCheckpoint(state_ ? fs::path(*state_folder_) : fs::path(settings_.model))));
      plan_ = train_everything(model_);
      return;
    }
    LoadLlamaOptions reading;
    const std::optional<QuantizeOptions> quantise = settings_.quant.options();
    if (!starts_from_loftq()) reading.quantise = quantise;
    warn_of(read_llama_weights(model_, ShardedCheckpoint(settings_.model), reading));
    if (grown_) resize_vocabulary(model_, grown_->rows);
    find_adapter();
    if (grown_) {
      if (!loaded_) loaded_ = LoadedAdapter{AdapterFile{"LORA", {}, Json::object(), {}}, plan_, {}};
      loaded_->vocabulary_keys = detail::vocabulary_keys(model_, lora_, plan_, true);
    }
    if (quantise) quantise_rest(*quantise);
  }

  /// Returns the folder of the adapter to continue; empty if there is none.
  fs::path adapter_folder() const { return state_ ? *state_folder_ : fs::path(settings_.adapter); }

  /// Returns whether LoftQ quantises weights: it needs the original ones.
  bool starts_from_loftq() const {
    const fs::path folder = adapter_folder();
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

  AdapterConfig config_of_flags() const {
    AdapterConfig config = adapter_config(total_);
    config.task_type = "CAUSAL_LM";
    config.base_model_name_or_path = settings_.model;
    return config;
  }

  void find_adapter() {
    if (state_ && !state_->triplets.empty()) {
      attach_whole();
    } else if (was_converted()) {
      lora_ = config_of_flags();
      plan_ = load_converted_adapter(model_, *state_folder_, lora_);
    } else if (state_ || !settings_.adapter.empty()) {
      loaded_ = load_adapter(model_, adapter_folder());
      warn_of(loaded_->file.warnings);
      plan_ = loaded_->plan;
      lora_ = loaded_->file.config;
      // Trained tensors are written in their own types; of the file only unknown config entries are kept.
      loaded_->dtypes.clear();
    } else {
      lora_ = config_of_flags();
      if (lora_.init_lora_weights == "eva") return attach_directions();
      plan_ = attach(model_, lora_, {.seed = settings_.seed});
    }
  }

  /// Returns whether a checkpoint has a converted adapter: a plain one of twice the rank, initialised from a part
  /// of the base.
  bool was_converted() const {
    if (!state_ || !settings_.adapter.empty()) return false;
    if (!initialization_named(settings_.adapter_flags.init).subtracts()) return false;
    return read_adapter_config(*state_folder_ / "adapter_config.json").config.init_lora_weights == "true";
  }

  /// EVA: computes the directions from the first batches of the run.
  void attach_directions() {
    std::vector<Batch> looked_at;
    const index_t lines = settings_.batch, known = static_cast<index_t>(fresh_.size());
    for (index_t i = 0; i < std::min(settings_.eva_batches, std::max<index_t>(1, known / lines)); ++i)
      looked_at.push_back(micro_batch(i));
    const auto found = explained_variance(model_, lora_, looked_at,
                                          [](const AnyLlama<>& model, const Batch& batch) {
                                            model.hidden(from_host(Shape<dyn>(batch.tokens()), batch.ids, model.device),
                                                         batch.layout());
                                          },
                                          {[](const Batch& batch) {
                                            std::vector<index_t> rows;
                                            for (index_t i = 0; i < batch.tokens(); ++i) {
                                              if (batch.targets[static_cast<std::size_t>(i)] != ignored_label)
                                                rows.push_back(i);
                                            }
                                            return rows;
                                          }});
    say("EVA: looked at " + std::to_string(found.batches) + " batches; the directions have " +
        (found.settled ? "settled" : "not converged: more --eva-batches may give better ones"));
    lora_ = found.config;
    plan_ = attach(model_, lora_, {.seed = settings_.seed, .directions = &found.directions});
  }

  /// AdaLoRA resumed: the file has the kept triplets, the state has all of them, since masked ones may be unmasked.
  void attach_whole() {
    AdapterFile file = read_adapter_config(*state_folder_ / "adapter_config.json");
    lora_ = file.config;
    std::get<AdaLora>(lora_.method).rank_pattern.reset();
    plan_ = attach(model_, lora_, {.seed = settings_.seed});
    loaded_ = LoadedAdapter{std::move(file), plan_, {}};
  }

  /// Determines the order of the data, and the resulting number of steps.
  void plan_order() {
    const auto lines = static_cast<index_t>(fresh_.size());
    const auto all = static_cast<index_t>(std::ceil(settings_.epochs * static_cast<double>(lines) * (1 - 1e-12)));
    order_.emplace(lines, settings_.batch, settings_.shuffle, settings_.seed, static_cast<index_t>(replayed_.size()),
                   replayed_.empty() ? 0.0 : settings_.replay_share, settings_.steps > 0 ? 0 : all);
    const index_t per_step = order_->fresh_per_batch() * settings_.grad_accum;
    total_ = settings_.steps > 0 ? settings_.steps : (all + per_step - 1) / per_step;
  }

  void prepare_trainer() {
    if (const auto* budget = std::get_if<AdaLora>(&lora_.method); budget != nullptr && budget->total_step != total_) {
      throw ArgumentError("--steps: the run has " + std::to_string(total_) + " steps, and the AdaLoRA schedule of " +
                          settings_.adapter + " is for " + std::to_string(budget->total_step));
    }
    TrainerOptions options;
    options.optimizer = {settings_.learning_rate, settings_.beta1, settings_.beta2, settings_.epsilon,
                         settings_.weight_decay};
    options.schedule = {
        .kind = Schedule::kind_of(settings_.schedule), .warmup = settings_.warmup_steps(total_), .total = total_};
    options.max_gradient_norm = settings_.clip;
    options.seed = settings_.seed;
    std::function<ParameterGroup(const std::string&, int)> groups;
    if (settings_.lora_plus_ratio > 0)
      groups = LoraPlus{settings_.lora_plus_ratio, settings_.learning_rate, settings_.lora_plus_embedding_lr};
    trainer_.emplace(model_, options, groups);
    if (state_) trainer_->optimizer().restore(state_->step, state_->moments, state_->triplets);
  }

  void open_metrics() {
    std::string kept;
    const fs::path path = fs::path(settings_.out) / "metrics.jsonl";
    if (state_) {  // remove lines after the state: their steps are repeated
      std::ifstream old(path);
      for (std::string line; std::getline(old, line);) {
        const Json json = Json::parse(line, nullptr, false);
        if (!json.is_object() || !json.contains("step") || json["step"].get<index_t>() > state_->step) continue;
        kept += line + "\n";
        if (json.contains("loss")) curve_.push_back({json["step"].get<index_t>(), json["loss"].get<double>()});
        if (json.contains("eval_loss"))
          evaluations_.push_back({json["step"].get<index_t>(), json["eval_loss"].get<double>()});
      }
    }
    write_atomically(path, kept);
    metrics_.open(path, std::ios::app);
    write_atomically(fs::path(settings_.out) / "resolved_config.yaml", settings_.to_yaml());
  }

  void write_metrics(const std::string& line) {
    metrics_ << line << std::endl;
    if (!metrics_) {
      throw DiskError((fs::path(settings_.out) / "metrics.jsonl").string() +
                      ": can't be written. Earlier checkpoints are complete: --resume continues from the newest");
    }
  }

  std::vector<Batch> batches(index_t step) {  // step from 0
    std::vector<Batch> all;
    for (index_t i = 0; i < settings_.grad_accum; ++i) all.push_back(micro_batch(step * settings_.grad_accum + i));
    return all;
  }

  Batch micro_batch(index_t number) { return batch_of(*order_, number, fresh_, replayed_); }

  int train() {
    const index_t first = trainer_->optimizer().steps();
    Progress progress(first, total_, settings_.quiet);
    stop_asked = 0;
    std::signal(SIGINT, ask_to_stop);
    std::signal(SIGTERM, ask_to_stop);
    for (index_t step = first; step < total_; ++step) {
      StepReport report;
      try {
        report = trainer_->step(batches(step));
      } catch (const DivergedError&) {
        progress.interrupt();
        save_checkpoint();
        throw;
      }
      const std::size_t memory = cpu::Memory::instance().use().reserved;
      curve_.push_back({report.step, report.loss});
      write_metrics(metrics_line(report, progress.tokens_per_second(), memory));
      progress.show(report, memory);
      const bool last = report.step == total_;
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
    if (evaluation_.empty()) return;
    const double loss = mean_loss(model_, evaluation_);
    evaluations_.push_back({step, loss});
    write_metrics(metrics_line(step, loss));
    if (progress != nullptr) progress->interrupt();
    char line[96];
    std::snprintf(line, sizeof line, "step %lld  held-out loss %.4f", static_cast<long long>(step), loss);
    say(line);
  }

  void write_result(const fs::path& folder) {
    if (settings_.full()) {
      write_llama_weights(model_, folder, Dtype::f32);
    } else {
      write_adapter(model_, folder, lora_, plan_, loaded_ ? &*loaded_ : nullptr);
      write_tokenizer(folder);
    }
  }

  /// Writes the tokenizer with added tokens next to its adapter.
  void write_tokenizer(const fs::path& folder) const {
    if (!grown_) return;
    detail::copy_along(settings_.model, folder);
    write_atomically(folder / "tokenizer.json", grown_->json);
  }

  fs::path save_checkpoint() {
    const fs::path folder = fs::path(settings_.out) / ("checkpoint-" + std::to_string(trainer_->optimizer().steps()));
    AtomicFolder out(folder, OtherFiles::remove);
    write_result(out.path());
    write_training_state(out.path(), trainer_->optimizer(), settings_.to_json());
    out.commit();
    return folder;
  }

  std::vector<std::int32_t> stop_ids() const {
    return program::stop_ids(settings_.model, trained_config(), tokenizer_);
  }

  /// Returns completions of the first three prompts of the held-out data, or of the data.
  std::vector<Completion> sample() {
    if (!tokenizer_ || settings_.shipped) return {};
    const std::string& path = settings_.eval.empty() ? settings_.data : settings_.eval;
    if (is_plain_text(path) || !fs::is_regular_file(path)) return {};  // a pipe can be read only once
    DatasetReader reader(path);
    std::vector<Record> records;
    for (Record record; records.size() < 3 && reader.next(record);) {
      if (!record.has_prompt() && !record.is_conversation()) return {};
      if (record.has_prompt() || record.last_reply() > 0) records.push_back(record);  // records with a reply
    }
    return complete(model_, *tokenizer_, records,
                    {.max_new_tokens = 48, .stop = stop_ids(), .tokenization = tokenization_});
  }

  Showcase showcase() {
    std::string test = settings_.data;
    const std::size_t at = test.rfind(".train.");
    if (at != std::string::npos) test.replace(at, 7, ".test.");
    const CompletionOptions options{.stop = stop_ids(), .tokenization = tokenization_};
    Showcase result;
    if (at != std::string::npos && fs::exists(test))
      result.task = complete(model_, *tokenizer_, read_records(test), options);
    result.old_skills =
        exact_share(complete(model_, *tokenizer_, read_records(shipped_data("base.test.jsonl")), options));
    return result;
  }

  void finish() {
    evaluate(total_);
    if (settings_.full()) {
      save_llama(model_, settings_.out, config_file_.raw, {.base = settings_.model});
    } else {
      save_adapter(model_, settings_.out, lora_, plan_, loaded_ ? &*loaded_ : nullptr);
      write_tokenizer(settings_.out);
    }
    write_atomically(fs::path(settings_.out) / "loss.svg", loss_svg(curve_, evaluations_));
    Json json = {
        {"steps", total_}, {"seconds", seconds_}, {"out", settings_.out}, {"trainable_parameters", plan_.trainable()}};
    json["peak_memory_bytes"] = peak_memory_;
    json["peak_memory_bytes_loading"] = peak_loading_;
    if (!curve_.empty()) json["loss"] = curve_.back().value;
    if (!evaluations_.empty()) json["eval_loss"] = evaluations_.back().value;
    if (settings_.shipped) {
      report_shipped(json);
    } else {
      print_samples(sample_before_, sample());
    }
    if (settings_.json) print(json.dump() + "\n");
    flush();
    say("saved " + settings_.out + (settings_.full() ? " (opens in transformers)" : " (opens in PEFT)"));
  }

  void print_samples(const std::vector<Completion>& before, const std::vector<Completion>& after) const {
    if (settings_.json || settings_.quiet) return;
    for (std::size_t i = 0; i < after.size() && i < before.size(); ++i) {
      std::printf("prompt  %s\nbefore %s\nafter  %s\n", after[i].prompt.c_str(), before[i].found.c_str(),
                  after[i].found.c_str());
    }
  }

  void report_shipped(Json& json) {
    const Showcase after = showcase();
    json["exact_before"] = exact_share(before_.task);
    json["exact_after"] = exact_share(after.task);
    json["old_before"] = before_.old_skills;
    json["old_after"] = after.old_skills;
    if (settings_.json) return;
    std::printf("%-42s %-26s %s\n", "", "before", "after");
    for (std::size_t i = 0; i < after.task.size() && i < 6; ++i) {
      std::string prompt = after.task[i].prompt;
      prompt = prompt.substr(std::min(prompt.size(), prompt.find(": ") + 2));
      if (prompt.size() > 40) prompt = prompt.substr(0, 37) + "...";
      std::printf("  %-40s%-26s%s\n", prompt.c_str(), before_.task[i].found.substr(0, 25).c_str(),
                  after.task[i].found.c_str());
    }
    std::printf("  %-40s %-26s%.1f %%\n", "held-out lines, exact match", percent(exact_share(before_.task)).c_str(),
                100 * exact_share(after.task));
    std::printf("  %-40s %-26s%.1f %%\n", "the old skills, exact match", percent(before_.old_skills).c_str(),
                100 * after.old_skills);
    std::printf("  %lld steps in %.1f s\n", static_cast<long long>(total_), seconds_);
  }

  static std::string percent(double share) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
    return text;
  }

  TrainSettings settings_;
  std::optional<RunLock> lock_;
  LlamaConfigFile config_file_;
  AnyLlama<> model_;
  AdapterConfig lora_;
  AdapterPlan plan_;
  std::optional<LoadedAdapter> loaded_;
  std::optional<TrainingState> state_;
  std::optional<fs::path> state_folder_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<GrownTokenizer> grown_;  // with --add-tokens
  ExampleOptions tokenization_;
  ExampleRows fresh_, replayed_, evaluation_;
  std::optional<DataOrder> order_;
  std::optional<Trainer<AnyLlama<>>> trainer_;
  index_t total_ = 0;
  std::vector<CurvePoint> curve_, evaluations_;
  std::ofstream metrics_;
  Showcase before_;
  std::vector<Completion> sample_before_;
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
