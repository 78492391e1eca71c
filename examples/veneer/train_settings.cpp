// SPDX-License-Identifier: Apache-2.0
#include "train_settings.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <vector>

#include "veneer/io/peft_config.hpp"

#include "flag_conflicts.hpp"
#include "model_flags.hpp"

namespace veneer::program {

namespace {

/// Calls f(key, member) for every setting that affects the result: one list for reading and writing JSON and YAML.
template <class S, class F>
void each_setting(S& s, const F& f) {
  f("model", s.model), f("data", s.data), f("adapter", s.adapter);
  f("method", s.adapter_flags.method), f("rank", s.adapter_flags.rank), f("alpha", s.adapter_flags.alpha);
  f("dropout", s.adapter_flags.dropout), f("rslora", s.adapter_flags.rslora), f("targets", s.adapter_flags.targets);
  f("exclude", s.adapter_flags.exclude), f("layers", s.adapter_flags.layers);
  f("rank-pattern", s.adapter_flags.rank_pattern), f("alpha-pattern", s.adapter_flags.alpha_pattern);
  f("modules-to-save", s.adapter_flags.modules_to_save);
  f("train-tokens", s.adapter_flags.train_tokens), f("add-tokens", s.add_tokens), f("bias", s.adapter_flags.bias),
      f("init", s.adapter_flags.init);
  f("loftq-iter", s.adapter_flags.loftq_iter), f("eva-rho", s.adapter_flags.eva_rho), f("eva-batches", s.eva_batches);
  AdapterFlags::each_own(s.adapter_flags, [&](const char* key, auto& value, auto...) { f(key, value); });
  f("replay", s.replay), f("replay-share", s.replay_share), f("epochs", s.epochs), f("steps", s.steps),
      f("batch", s.batch);
  f("grad-accum", s.grad_accum), f("seq", s.seq), f("lr", s.learning_rate), f("schedule", s.schedule),
      f("warmup", s.warmup);
  f("weight-decay", s.weight_decay), f("beta1", s.beta1), f("beta2", s.beta2), f("eps", s.epsilon), f("clip", s.clip);
  f("lora-plus-ratio", s.lora_plus_ratio), f("lora-plus-embedding-lr", s.lora_plus_embedding_lr);
  f("seed", s.seed), f("shuffle", s.shuffle), f("train-on", s.tokenization.train_on);
  f("chat-template", s.tokenization.chat_template), f("plain-content", s.tokenization.plain_content),
      f("packing", s.packing);
  f("eval", s.eval), f("eval-split", s.eval_split), f("eval-every", s.eval_every), f("save-every", s.save_every);
  f("checkpointing", s.checkpointing), f("dtype", s.dtype), f("shipped", s.shipped);
  f("quant", s.quant.quant), f("double-quant", s.quant.double_quant);
}

}  // namespace

std::string shipped_data(const std::string& name) {
  const std::filesystem::path folder = VENEER_SHIPPED_DATA;
  if (!std::filesystem::exists(folder / name)) {
    throw IoError((folder / name).string() +
                  ": the shipped data is not where this program was built; name --model and --data");
  }
  return (folder / name).string();
}

void TrainSettings::add_to(CLI::App& command) {
  adapter_flags.add_to(command);
  command.add_option("--model", model, "folder of a Hugging Face Llama; without it the shipped model and task");
  command.add_option("--data", data, "training data: JSONL or text");
  command.add_option("--out", out, "folder to write");
  command.add_option("--adapter", adapter, "continue from this adapter's weights, with its config");
  command.add_option(
      "--add-tokens", add_tokens,
      "file with a token per line: they are added to vocabulary, embedding and head, and their embeddings are trained");
  command.add_option("--replay", replay, "second data set, to preserve old skills");
  command.add_option("--replay-share", replay_share, "fraction of every batch from --replay")
      ->check(CLI::Range(0.0, 0.99));
  command.add_option("--epochs", epochs, "passes over the data")->check(CLI::PositiveNumber);
  command.add_option("--steps", steps, "optimizer steps, instead of --epochs")->check(CLI::PositiveNumber);
  command.add_option("--batch", batch, "lines per micro-batch; with --packing, rows of --seq tokens")
      ->check(CLI::PositiveNumber);
  command.add_option("--grad-accum", grad_accum, "micro-batches per optimizer step")->check(CLI::PositiveNumber);
  command.add_option("--seq", seq, "longest sequence, in tokens")->check(CLI::PositiveNumber);
  command.add_option("--lr", learning_rate, "learning rate")->check(CLI::NonNegativeNumber);
  command.add_option("--schedule", schedule, "constant, linear or cosine")
      ->check(CLI::IsMember({"constant", "linear", "cosine"}));
  command.add_option("--warmup", warmup, "warm-up: steps, or a fraction of all steps such as 0.03");
  command.add_option("--weight-decay", weight_decay, "decoupled weight decay")->check(CLI::NonNegativeNumber);
  command.add_option("--beta1", beta1, "AdamW")->check(CLI::Range(0.0, 0.999999));
  command.add_option("--beta2", beta2, "AdamW")->check(CLI::Range(0.0, 0.999999));
  command.add_option("--eps", epsilon, "AdamW")->check(CLI::PositiveNumber);
  command.add_option("--clip", clip, "longest gradient; 0: off")->check(CLI::NonNegativeNumber);
  command.add_option("--lora-plus-ratio", lora_plus_ratio, "learning rate of B relative to that of A (LoRA+)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--lora-plus-embedding-lr", lora_plus_embedding_lr, "LoRA+: learning rate of the LoRA of embeddings")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--eva-batches", eva_batches, "EVA: largest number of batches used")->check(CLI::PositiveNumber);
  command.add_option("--seed", seed, "seed of initialisation, order and dropout")->check(whole_number);
  command.add_flag("--shuffle,!--no-shuffle", shuffle, "shuffle in each epoch, or keep file order");
  tokenization.add_to(command);
  command.add_option("--eval", eval, "held-out data");
  command.add_option("--eval-split", eval_split, "fraction of the data to hold out")->check(CLI::Range(0.0, 0.9));
  command.add_option("--eval-every", eval_every, "steps between evaluations");
  command.add_option("--save-every", save_every, "steps between checkpoints");
  command.add_option("--resume", resume, "resume a run, from its folder or one of its checkpoints");
  add_dtype(command, dtype);
  command.add_option("--device", device, "cpu");
  quant.add_to(command);
  command.add_option("--threads", threads, "threads; the results do not depend on it")->check(CLI::PositiveNumber);
  command.add_flag("--checkpointing", checkpointing, "recompute blocks in the backward pass: less memory");
  command.add_flag("--packing", packing,
                   "fill rows of --seq tokens with consecutive sequences that do not attend to each other; long ones "
                   "continue in the next row");
  command.add_flag("--dry-run", dry_run, "print settings and plan, then stop");
  command.add_flag("--json", json, "print the result as one JSON object");
  command.add_flag("--quiet", quiet, "no progress");
}

void TrainSettings::settle(const CLI::App& command) {
  const auto given = [&](const char* flag) { return command.count(flag) > 0; };
  const auto refuse = [](const char* flag, const std::string& value, const char* supported) {
    throw ArgumentError(std::string(flag) + " " + value + " is not supported yet; " + supported);
  };
  if (device != "cpu") refuse("--device", device, "the program is built for cpu; the headers have veneer::Cuda");
  given_ = given_flags(command);
  if (adapter_flags.init == "true") adapter_flags.init = "default";  // two names of the same initialisation
  if (!resume.empty()) return;
  if (adapter.empty() && adapter_flags.init == "loftq") {
    expects(quant.quant == "none" || quant.quant == NF4Options::name,
            "--quant " + quant.quant + " --init loftq: LoftQ corrects what nf4 loses");
    quant.quant = NF4Options::name;
  }
  if (adapter.empty() && quant.options() && adapter_flags.init.starts_with("pissa"))
    throw ArgumentError("--quant " + quant.quant + " --init " + adapter_flags.init +
                        ": PiSSA requires weights of 16 or 32 bits; for a quantised base use loftq or olora");
  if (quant.options() && full())
    throw ArgumentError("--quant " + quant.quant +
                        ": a quantised weight cannot be trained; choose another --method than full");
  if (lora_plus_ratio > 0 && !given("--weight-decay")) weight_decay = 0;  // as in PEFT
  if (adapter_flags.method == "ia3" && !given("--targets")) adapter_flags.targets = "k_proj,v_proj,down_proj";
  if (model.empty()) {
    shipped = true;
    model = shipped_data("veneer-tiny");
    if (!given("--data")) data = shipped_data("iso.train.jsonl");
    if (!given("--replay")) replay = shipped_data("replay.jsonl");
    if (!given("--rank")) adapter_flags.rank = 8;
    if (!given("--alpha")) adapter_flags.alpha = 16;
    if (!given("--targets") && adapter_flags.method != "ia3") adapter_flags.targets = "all-linear";
    if (!given("--lr")) learning_rate = full() ? 5e-4 : 5e-3;
    if (!given("--warmup")) warmup = "20";
    if (!given("--steps") && !given("--epochs")) steps = 450;
    if (!given("--batch")) batch = 32;
    if (!given("--weight-decay")) weight_decay = 0;
    if (!given("--seed")) seed = 1;
    if (!given("--out")) out = "out/iso";
  }
  check_values();
  if (data.empty()) throw ArgumentError("--data FILE is required with --model: JSONL or text");
  if (out.empty()) throw ArgumentError("--out DIR is required with --model: the folder of the adapter");
  if (!add_tokens.empty() && (full() || !adapter.empty()))
    throw ArgumentError("--add-tokens requires a new adapter: omit --adapter and --method full");
  if (full() && !adapter_flags.train_tokens.empty())
    throw ArgumentError("--train-tokens: with --method full every token is already trained");
  if (full() && !adapter.empty())
    throw ArgumentError("--method full trains the weights themselves: merge --adapter first");
  if (!adapter.empty()) take_adapter();
}

void TrainSettings::take_adapter() {
  const std::filesystem::path path = std::filesystem::path(adapter) / "adapter_config.json";
  const AdapterConfig config = read_adapter_config(path).config;
  TrainSettings own = *this;
  own.adapter_flags = AdapterFlags::of(config);
  const Json flags = to_json();
  Json saved = own.to_json();
  for (const std::string& key : given_) {
    if (!saved.contains(key) || saved[key] == flags[key] || !(saved[key].is_number() || saved[key].is_boolean()))
      continue;
    // A number without effect is not a setting of this method.
    Json other = own.to_json();
    other[key] = flags[key];
    const auto text = [](const TrainSettings& s) { return adapter_config_json(s.adapter_flags.config()); };
    try {
      if (text(from_json(other, adapter)) == text(own)) saved[key] = nullptr;
    } catch (const ArgumentError&) {  // so it has an effect
    }
  }
  refuse_conflicts(
      given_, flags, saved, path.string(),
      "An adapter is trained with its own settings: omit these flags, or omit --adapter to train a new one");
  adapter_flags = own.adapter_flags;
}

void TrainSettings::refuse_conflicts_with(const TrainSettings& saved, const std::string& where) const {
  refuse_conflicts(given_, to_json(), saved.to_json(), where,
                   "--resume uses the settings of the run: omit these flags, or start a new run, from its "
                   "adapter with --adapter");
}

void TrainSettings::check_values() const {
  // Range checks of flags accept NaN; and texts in files must be UTF-8.
  each_setting(*this, [](const std::string& key, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_floating_point_v<Value>)
      expects(std::isfinite(value), "--" + key + ": expected a finite number");
    if constexpr (std::is_same_v<Value, std::string>)
      expects(!find_invalid_utf8(value), "--" + key + ": " + printable(value) + " is not UTF-8");
  });
  expects(!find_invalid_utf8(out), "--out: " + printable(out) + " is not UTF-8");
  expects(epochs <= 1e9, "--epochs: expected at most a billion");
}

index_t TrainSettings::warmup_steps(index_t total) const {
  try {
    std::size_t used = 0;
    const double value = std::stod(warmup, &used);
    const bool share = value < 1.0;
    const bool steps_of_it = value == std::floor(value) && value <= 1e15;
    if (used != warmup.size() || !(value >= 0) || !(share || steps_of_it)) throw std::invalid_argument(warmup);
    return static_cast<index_t>(share ? value * static_cast<double>(total) : value);
  } catch (const std::exception&) {
    throw ArgumentError("--warmup: \"" + warmup + "\" is neither a number of steps nor a fraction such as 0.03");
  }
}

Json TrainSettings::to_json() const {
  Json all = Json::object();
  each_setting(*this, [&](const char* key, const auto& value) { all[key] = value; });
  return all;
}

TrainSettings TrainSettings::from_json(const Json& all, const std::string& where) {
  TrainSettings settings;
  each_setting(settings, [&](const char* key, auto& value) {
    if (!all.contains(key)) throw FormatError(where + ": settings: \"" + key + "\" is missing");
    try {
      value = all[key].template get<std::remove_cvref_t<decltype(value)>>();
    } catch (const Json::exception& error) {
      throw FormatError(where + ": settings: \"" + std::string(key) + "\": " + error.what());
    }
  });
  return settings;
}

std::string TrainSettings::to_yaml() const {
  // Settings without a flag, or given by its absence. `shipped` affects the output, not the result.
  std::vector<std::string_view> unsaid{"shipped", steps > 0 ? "epochs" : "steps"};
  if (lora_plus_ratio == 0) unsaid.push_back("lora-plus-ratio");
  std::string text;
  each_setting(*this, [&](const char* key, const auto& value) {
    if (std::find(unsaid.begin(), unsaid.end(), key) != unsaid.end()) return;
    text += std::string(key) + ": " + Json(value).dump() + "\n";  // scalars and lists of JSON are YAML
  });
  return text;
}

}  // namespace veneer::program
