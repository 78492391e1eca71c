// SPDX-License-Identifier: Apache-2.0
/// \file manners_test.cpp
/// What `veneer` answers to flags that contradict files, to another program's checkpoint, to a second run in the same
/// folder; and the commands that it suggests.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace manners_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path test_data = VENEER_TEST_DATA;
const std::string model = (test_data / "models" / "llama-gqa-llama3rope-sharded").string();

struct Result {
  int code = -1;
  std::string out, err;
};

/// Runs a line of the shell, in which $VENEER is the program, in a folder.
Result shell(const TemporaryFolder& folder, const std::string& line) {
  const std::string all = "cd '" + folder.path().string() + "' && VENEER='" + VENEER_PROGRAM + "' && { " + line +
                          "\n} >.out 2>.err </dev/null";
  const int status = std::system(all.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, testing::file_bytes(folder / ".out"),
          testing::file_bytes(folder / ".err")};
}

Result veneer_does(const TemporaryFolder& folder, const std::string& words) {
  return shell(folder, "\"$VENEER\" " + words);
}

/// A folder with data.jsonl, a link `model`, and a run in `run` that these flags made.
void train_in(const TemporaryFolder& folder, const std::string& flags) {
  folder.file("data.jsonl", "{\"input_ids\":[1,2,3,4]}\n{\"input_ids\":[5,6,7]}\n{\"input_ids\":[8,9,10,11,12]}\n");
  fs::create_directory_symlink(model, folder / "model");
  const Result made = veneer_does(folder, "train --quiet --model model --data data.jsonl --out run " + flags);
  INFO(made.err);
  REQUIRE(made.code == 0);
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The line "next: ..." of a result, without its beginning; empty where there is none.
std::string suggested(const Result& result) {
  const std::size_t at = result.err.find("next: veneer ");
  return at == std::string::npos ? "" : result.err.substr(at + 13, result.err.find('\n', at) - at - 13);
}

}  // namespace

TEST_CASE("manners: --resume with a flag that contradicts the checkpoint ends with 2 and names flag and file") {
  const TemporaryFolder folder;
  train_in(folder,
           "--steps 2 --save-every 1 --lr 0.001 --rank 4 --targets v_proj,o_proj --warmup 0.5 --rank-pattern "
           "o_proj=2 --no-shuffle --modules-to-save lm_head");
  struct Case {
    const char *flag, *value, *saved;
  };
  for (const Case& each : std::vector<Case>{{"steps", "40", "2"},
                                            {"epochs", "2", "--steps 2"},
                                            {"epochs", "1", "--steps 2"},
                                            {"lr", "1e-4", "0.001"},
                                            {"rank", "16", "4"},
                                            {"targets", "v_proj", "v_proj,o_proj"},
                                            {"method", "dora", "lora"},
                                            {"rank-pattern", "o_proj=3", "o_proj=2"},
                                            {"model", "other", "model"},
                                            {"data", "other.jsonl", "data.jsonl"},
                                            {"adapter", "run", "none"},
                                            {"warmup", "1", "0.5"},
                                            {"eval", "data.jsonl", "none"},
                                            {"modules-to-save", "embed_tokens", "lm_head"},
                                            {"seed", "9", "0"},
                                            {"quant", "nf4", "none"}}) {
    INFO(each.flag);
    const Result found = veneer_does(folder, std::string("train --resume run --") + each.flag + " " + each.value);
    INFO(found.err);
    CHECK(found.code == 2);
    CHECK(holds(found.err, std::string("--") + each.flag + " "));
    CHECK(holds(found.err, std::string("there: ") + each.saved));
    CHECK(holds(found.err, "run/checkpoint-2/trainer_state.json"));
  }
  for (const char* flag : {"rslora", "packing", "shuffle", "double-quant"}) {
    INFO(flag);
    const Result found = veneer_does(folder, std::string("train --resume run --") + flag);
    CHECK(found.code == 2);
    CHECK(holds(found.err, std::string("--") + flag + " true (there: false)"));
  }
  const Result several = veneer_does(folder, "train --resume run --steps 40 --lr 1e-4 --rank 4");
  CHECK(holds(several.err, "--steps 40 (there: 2)"));
  CHECK(holds(several.err, "--lr 0.0001 (there: 0.001)"));
  CHECK_FALSE(holds(several.err, "--rank"));
}

TEST_CASE("manners: --resume with flags that agree with the checkpoint goes on") {
  const TemporaryFolder folder;
  train_in(folder, "--steps 2 --save-every 1 --lr 0.001 --rank 4 --targets v_proj,o_proj --warmup 0.50 --init true");
  const Result found = veneer_does(
      folder,
      "train --quiet --resume run/checkpoint-1 --out run --steps 2 --lr 1e-3 --rank 4 --targets o_proj,v_proj "
      "--warmup 0.5 --init default --threads 2 --model ./model/ --data '" +
          (folder / "data.jsonl").string() + "'");
  INFO(found.err);
  CHECK(found.code == 0);
}

TEST_CASE("manners: --adapter with a flag that contradicts its config ends with 2 and names flag and file") {
  const TemporaryFolder folder;
  train_in(folder, "--steps 1");
  const auto on = [&](const std::string& adapter, const std::string& flags) {
    return veneer_does(folder, "train --dry-run --model model --data data.jsonl --out o --adapter '" +
                                   (test_data / "adapters" / adapter).string() + "' " + flags);
  };
  struct Case {
    const char *adapter, *flags, *named;
  };
  for (const Case& each : std::vector<Case>{{"lora-qv", "--rank 8", "--rank 8 (there: 4)"},
                                            {"lora-qv", "--rank 16", "--rank 16 (there: 4)"},  // the default of train
                                            {"lora-qv", "--method dora", "--method dora (there: lora)"},
                                            {"dora", "--method lora", "--method lora (there: dora)"},
                                            {"lora-qv", "--targets all-linear", "--targets"},
                                            {"lora-qv", "--rslora", "--rslora true (there: false)"},
                                            {"lora-qv", "--init pissa", "--init pissa (there: default)"},
                                            {"lora-qv", "--bias all", "--bias all (there: none)"},
                                            {"lora-qv", "--layers 0", "--layers 0 (there: none)"},
                                            {"lora-qv", "--exclude q_proj", "--exclude q_proj (there: none)"},
                                            {"lora-qv", "--target-rank 5", "--target-rank 5 (there: no such setting)"},
                                            {"ia3", "--rank 9", "--rank 9 (there: no such setting)"},
                                            {"vera", "--projection-key 12345", "--projection-key"},
                                            {"adalora", "--init-rank 99", "--init-rank 99 (there: 4)"},
                                            {"rslora-patterns", "--alpha-pattern q_proj=77", "--alpha-pattern"}}) {
    INFO(each.adapter << " " << each.flags);
    const Result found = on(each.adapter, each.flags);
    INFO(found.err);
    CHECK(found.code == 2);
    CHECK(holds(found.err, each.named));
    CHECK(holds(found.err, std::string(each.adapter) + "/adapter_config.json"));
  }
  CHECK(on("lora-qv", "--rank 4 --method lora --targets q_proj,v_proj --lr 1 --batch 3").code == 0);
  folder.file("recipe.yaml", "rank: 8\n");
  const Result by_recipe = on("lora-qv", "--config recipe.yaml");
  CHECK(by_recipe.code == 2);
  CHECK(holds(by_recipe.err, "--rank 8 (there: 4)"));
}

TEST_CASE("manners: the settings of a run on an adapter are the adapter's, for every method") {
  for (const char* flags :
       {"--method lora --rank 3 --alpha 5.5 --targets q_proj,down_proj --exclude 'regex:.*[.]9[.].*' --layers 0,1 "
        "--dropout 0.25 --rslora --rank-pattern q_proj=2 --alpha-pattern down_proj=0.3 --modules-to-save lm_head "
        "--bias all --init gaussian",
        "--method dora --rank 2 --targets all-linear --bias lora_only",
        "--method adalora --init-rank 6 --target-rank 3 --tinit 1 --tfinal 1 --delta-t 2 --beta1-ema 0.7 --beta2-ema "
        "0.6 --orth-weight 0.25 --alpha 7",
        "--method ia3 --targets k_proj,down_proj", "--method vera --rank 8 --projection-key 5 --d-initial 0.5",
        "--method miss --rank 4 --mini-rank 2 --miss-init mini --dropout 0.25",
        "--method hira --rank 5 --hira-init gaussian --rank-pattern q_proj=2",
        "--method loha --rank 3 --alpha 6 --alpha-pattern q_proj=2"}) {
    INFO(flags);
    const TemporaryFolder folder;
    train_in(folder, std::string("--steps 3 ") + flags);
    Json config = read_json(folder / "run/adapter_config.json");
    config.erase("rank_pattern");  // AdaLoRA's masks: such an adapter is not trained on
    if (config["peft_type"] == "ADALORA") folder.file("run/adapter_config.json", config.dump());
    const std::string again = "train --dry-run --model model --data data.jsonl --steps 3 --out o --adapter run ";
    const Result found = veneer_does(folder, again);
    INFO(found.err);
    REQUIRE(found.code == 0);
    CHECK(veneer_does(folder, again + flags).out == found.out);  // every flag agrees
    folder.file("again.yaml", found.out);
    CHECK(veneer_does(folder, "train --dry-run --out o --config again.yaml").out == found.out);
    const std::string recipe = testing::file_bytes(folder / "run/resolved_config.yaml");
    for (std::size_t at = recipe.find("method:"), end = recipe.find("replay:"); at < end;) {
      const std::size_t stop = recipe.find('\n', at);
      const std::string line = recipe.substr(at, stop + 1 - at);
      INFO(line);
      if (!line.starts_with("init:")) CHECK(holds(found.out, line));  // PEFT has no names for all of them
      at = stop + 1;
    }
  }
}

TEST_CASE("manners: a checkpoint of transformers' Trainer is shown, and --resume says who wrote it") {
  const TemporaryFolder folder;
  train_in(folder, "--steps 1");
  fs::create_directories(folder / "hf");
  fs::copy(test_data / "adapters" / "lora-qv", folder / "hf/checkpoint-12");
  folder.file("hf/checkpoint-12/trainer_state.json",
              R"({"best_metric": null, "epoch": 1.5, "global_step": 12, "log_history": [{"loss": NaN, "step": 1}]})");
  folder.file("hf/checkpoint-12/training_args.bin", "PK\x03\x04");
  folder.file("hf/checkpoint-12/optimizer.pt", "PK\x03\x04");
  const Result shown = veneer_does(folder, "inspect hf/checkpoint-12");
  INFO(shown.err << shown.out);
  CHECK(shown.code == 0);
  CHECK(holds(shown.out, "PEFT adapter folder"));
  CHECK(holds(shown.out, "v_proj, q_proj"));
  CHECK(holds(shown.out, "after step 12, by the Trainer"));
  CHECK(holds(suggested(shown), "train --model MODEL --adapter hf/checkpoint-12 --data DATA"));
  for (const char* path : {"hf/checkpoint-12", "hf"}) {
    const Result resumed = veneer_does(folder, std::string("train --resume ") + path);
    CHECK(resumed.code == 3);
    CHECK(holds(resumed.err, "hf/checkpoint-12/trainer_state.json: written by the Trainer of Hugging Face"));
    CHECK(holds(resumed.err, "--adapter hf/checkpoint-12"));
  }
  CHECK(veneer_does(folder, "train --quiet --model model --data data.jsonl --adapter hf/checkpoint-12 --out on").code ==
        0);
  folder.file("hf/checkpoint-12/trainer_state.json", "{");
  const Result broken = veneer_does(folder, "inspect hf/checkpoint-12");
  CHECK(broken.code == 0);
  CHECK(holds(broken.out, "PEFT adapter folder"));
}

TEST_CASE("manners: a second run in the folder of one that goes on is refused, after a crash it is not") {
  const TemporaryFolder folder;
  train_in(folder, "--steps 1 --save-every 1");
  const std::string long_run =
      "train --quiet --model model --data data.jsonl --out busy --steps 1000000 --save-every 1";
  REQUIRE(shell(folder, "\"$VENEER\" " + long_run + " & echo $! >pid").code == 0);
  const std::string pid = testing::file_bytes(folder / "pid");
  const auto process = static_cast<pid_t>(std::stol(pid));
  for (int i = 0; i < 3000 && !fs::exists(folder / "busy/checkpoint-3"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(fs::exists(folder / "busy/checkpoint-3"));
  for (const char* words :
       {"--model model --data data.jsonl --out busy --steps 1", "--resume busy", "--resume run --out ./busy"}) {
    INFO(words);
    const Result second = veneer_does(folder, std::string("train --quiet ") + words);
    INFO(second.err);
    CHECK(second.code == 2);
    CHECK(holds(second.err, "busy"));
    CHECK(holds(second.err, "process " + std::to_string(process)));
  }
  REQUIRE(::kill(process, SIGKILL) == 0);
  for (int i = 0; i < 3000 && ::kill(process, 0) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(fs::exists(folder / "busy/.veneer.lock"));
  CHECK(veneer_does(folder, "train --quiet --model model --data data.jsonl --out busy --steps 1").code == 0);
  CHECK_FALSE(fs::exists(folder / "busy/.veneer.lock"));
}

TEST_CASE("manners: inspect, validate and plan suggest a command that can be pasted") {
  const TemporaryFolder folder;
  train_in(folder, "--steps 1 --save-every 1");
  const fs::path odd = folder / "it's a $run";
  fs::create_directory_symlink(folder / "run", odd);
  const auto follow = [&](const std::string& words) {  // what is suggested works
    const Result found = veneer_does(folder, words);
    INFO(words << "\n" << found.err);
    REQUIRE(found.code == 0);
    std::string next = suggested(found);
    REQUIRE_FALSE(next.empty());
    for (const auto& [name, value] : {std::pair{" MODEL", " model"}, std::pair{" DATA", " data.jsonl"}}) {
      if (const std::size_t at = next.find(name); at != std::string::npos)
        next.replace(at, std::string(name).size(), value);
    }
    const Result then = veneer_does(folder, next);
    INFO(next << "\n" << then.err);
    CHECK(then.code == 0);
    return next;
  };
  CHECK(follow("inspect model").starts_with("plan --model model"));
  CHECK(follow("plan --model model --rank 3 --layers 0,1 --rslora --rank-pattern 'q_proj$=2'") ==
        "train --model model --rank 3 --rslora --layers 0 --layers 1 --rank-pattern 'q_proj$=2' --data data.jsonl "
        "--out out/model");
  CHECK(follow("plan --config model/config.json --rank 3").ends_with("--out out/model-2"));
  CHECK(follow("inspect \"it's a \\$run/checkpoint-1\"").starts_with("train --resume 'it'\\''s a $run/checkpoint-1'"));
  CHECK(follow("inspect run/adapter_model.safetensors") == "inspect run");
  fs::remove_all(folder / "model");
  const fs::path shipped = fs::path(VENEER_SOURCE_DIR) / "examples" / "data";
  fs::create_directory_symlink(shipped / "veneer-tiny", folder / "model");
  fs::copy_file(shipped / "iso.valid.jsonl", folder / "my data.jsonl");
  CHECK(follow("inspect model") == "generate --model model --prompt Hello");
  CHECK(follow("validate --data 'my data.jsonl'") == "validate --model model --data 'my data.jsonl' --show 2");
  const Result checked = veneer_does(folder, "validate --data 'my data.jsonl' --model model --train-on all --seq 64");
  CHECK(suggested(checked) == "train --model model --data 'my data.jsonl' --train-on all --seq 64 --out 'out/my data'");
  CHECK(suggested(veneer_does(folder, "validate --json --data 'my data.jsonl'")).empty());
  CHECK(suggested(veneer_does(folder, "plan --json --model model")).empty());
  folder.file("bad.jsonl", "{\n");
  CHECK(suggested(veneer_does(folder, "validate --data bad.jsonl")).empty());
}

}  // namespace manners_test
#endif
