// SPDX-License-Identifier: Apache-2.0
/// \file recipes_test.cpp
/// `--config` and `veneer recipes` as others run them: what wins, what is refused, and runs that a file repeats.
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace recipes_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path shipped = fs::path(VENEER_SOURCE_DIR) / "examples" / "data";

struct Result {
  int code = -1;
  std::string out, err;
};

/// Runs `veneer` with these words in `folder`.
Result run(const TemporaryFolder& folder, const std::string& words) {
  const std::string line =
      "cd '" + folder.path().string() + "' && '" + VENEER_PROGRAM + "' " + words + " >out.txt 2>err.txt";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, testing::file_bytes(folder / "out.txt"),
          testing::file_bytes(folder / "err.txt")};
}

/// The flags of a short run on the shipped model.
std::string model_and_data() {
  return " --model '" + (shipped / "veneer-tiny").string() + "' --data '" + (shipped / "iso.valid.jsonl").string() +
         "' ";
}

/// The same on a model that takes no time.
std::string small_model_and_data(const TemporaryFolder& folder) {
  std::string data;
  for (int i = 0; i < 12; ++i) data += Json{{"input_ids", {1, 5 + i, 9, 40 - i, 2 * i, 7}}}.dump() + "\n";
  const fs::path model = fs::path(VENEER_TEST_DATA) / "models" / "llama-gqa-llama3rope-sharded";
  return " --model '" + model.string() + "' --data '" + folder.file("data.jsonl", data).string() + "' ";
}

/// What a recipe's settings come to: the lines of --dry-run.
Result dry_run(const TemporaryFolder& folder, const std::string& recipe, const std::string& flags = "") {
  folder.file("r.yaml", recipe);
  return run(folder, "train --dry-run --out o --config r.yaml" + model_and_data() + flags);
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

/// metrics.jsonl without what depends on time.
std::vector<std::string> metrics_of(const fs::path& folder) {
  std::vector<std::string> lines;
  std::istringstream in(testing::file_bytes(folder / "metrics.jsonl"));
  for (std::string line; std::getline(in, line);) {
    Json json = parse_json(line, "metrics.jsonl");
    json.erase("tokens_per_second"), json.erase("memory_bytes");
    lines.push_back(json.dump());
  }
  return lines;
}

/// Trains twice: with flags, and with what the first run wrote; the second must be the first again.
void check_repeats(const std::string& flags) {
  INFO(flags);
  const TemporaryFolder folder;
  const Result first = run(folder, "train --quiet --out one " + flags);
  INFO(first.err);
  REQUIRE(first.code == 0);
  const Result second = run(folder, "train --quiet --config one/resolved_config.yaml --out two");
  INFO(second.err);
  REQUIRE(second.code == 0);
  REQUIRE_FALSE(metrics_of(folder / "one").empty());
  CHECK(metrics_of(folder / "one") == metrics_of(folder / "two"));
  int compared = 0;
  for (const char* name : {"adapter_model.safetensors", "adapter_config.json", "model.safetensors", "config.json",
                           "resolved_config.yaml"}) {
    if (!fs::exists(folder / "one" / name)) continue;
    INFO(name);
    CHECK(testing::file_bytes(folder / "one" / name) == testing::file_bytes(folder / "two" / name));
    ++compared;
  }
  CHECK(compared == 3);
}

}  // namespace

TEST_CASE("recipes: flags win over the recipe, the recipe over the defaults, and text means the same in both") {
  const TemporaryFolder folder;
  const std::string recipe =
      "rank: 4\nlr: 3e-4\neps: 1e-7\nwarmup: 0.03\nshuffle: false\nrslora: true\nsteps: 7\n"
      "targets: [q_proj, o_proj]\nlayers: [0, 2]\nmodules-to-save: []\nexclude: ''\n"
      "rank-pattern: ['q_proj=2', o_proj=3]\n";
  const std::string flags =
      "--rank 4 --lr 3e-4 --eps 1e-7 --warmup 0.03 --no-shuffle --rslora --steps 7 --targets "
      "q_proj,o_proj --layers 0,2 --rank-pattern q_proj=2 --rank-pattern o_proj=3";
  const Result by_file = dry_run(folder, recipe);
  REQUIRE(by_file.code == 0);
  CHECK(by_file.out == run(folder, "train --dry-run --out o" + model_and_data() + flags).out);
  CHECK(has_line(by_file.out, "alpha: 32.0"));
  const Result flags_win = dry_run(folder, recipe, "--rank 6 --shuffle --targets q_proj,v_proj,o_proj --epochs 2");
  for (const char* line :
       {"rank: 6", "shuffle: true", "targets: \"q_proj,v_proj,o_proj\"", "epochs: 2.0", "lr: 0.0003"}) {
    INFO(line);
    CHECK(has_line(flags_win.out, line));
  }
  CHECK(flags_win.out.find("steps:") == std::string::npos);  // --epochs is in place of the recipe's steps
  CHECK(has_line(dry_run(folder, "no-shuffle: true\n").out, "shuffle: false"));
  CHECK(has_line(dry_run(folder, "weight-decay: 0.5\nlora-plus-ratio: 16\n").out, "weight-decay: 0.5"));
}

TEST_CASE("recipes: a key or a value that is wrong ends with exit code 3 and says file, line, key, found, expected") {
  const TemporaryFolder folder;
  const std::vector<std::vector<std::string>> cases{
      {"# x\nrnak: 8\n", "line 2", "\"rnak\"", "\"rank\""},
      {"lora_alpha: 8\n", "line 1", "\"lora_alpha\"", "\"alpha\""},
      {"rank: 8\nrank-patern: []\n", "line 2", "\"rank-pattern\""},
      {"rank: many\n", "line 1", "\"rank\"", "\"many\"", "whole number"},
      {"rank: ''\n", "line 1", "\"rank\"", "\"\"", "whole number"},
      {"rank: [1, 2]\n", "line 1", "[1,2]", "whole number"},
      {"lr: -1\n", "line 1", "\"lr\"", "\"-1\"", "at least 0"},
      {"schedule: fast\n", "\"schedule\"", "\"fast\"", "{constant,linear,cosine}"},
      {"replay-share: 2\n", "\"replay-share\"", "\"2\"", "0.99"},
      {"layers: [0, x]\n", "\"layers\"", "[0,x]", "whole number"},
      {"targets: []\n", "\"targets\"", "names"},
      {"shuffle: yes\n", "\"shuffle\"", "\"yes\"", "true or false"},
      {"shuffle: true\nno-shuffle: true\n", "line 2", "line 1"},
      {"\nmethod: lorra\n", "line 2", "--method", "\"lorra\"", "dora"},
      {"rank: 0\n", "line 1", "--rank", "found 0"},
      {"rank-pattern: o_proj\n", "line 1", "--rank-pattern", "\"o_proj\"", "NAME=NUMBER"},
      {"resume: out\n", "\"resume\"", "command line"},
      {"config: a.yaml\n", "\"config\"", "command line"},
      {"rank: 1\nrank: 2\n", "line 2", "twice"}};
  for (const std::vector<std::string>& each : cases) {
    INFO(each[0]);
    const Result found = dry_run(folder, each[0]);
    INFO(found.err);
    CHECK(found.code == 3);
    CHECK(found.out.empty());
    CHECK(found.err.find("r.yaml: line") != std::string::npos);
    for (std::size_t i = 1; i < each.size(); ++i) CHECK(found.err.find(each[i]) != std::string::npos);
  }
  CHECK(run(folder, "train --config nowhere.yaml").code == 3);
  CHECK(dry_run(folder, std::string((std::size_t{1} << 20) + 1, '#')).code == 3);
  CHECK(dry_run(folder, "rank: 8\n", "--rank 0").code == 2);  // the command line is at fault, not the file
  CHECK(dry_run(folder, "rank: 8\n", "--resume o").code == 2);
}

TEST_CASE("recipes: resolved_config.yaml repeats a run, of every method") {
  const TemporaryFolder folder;
  const std::string run_of = small_model_and_data(folder) + "--batch 3 --steps 2 --eval-split 0.2 --warmup 1 --seed 3 ";
  for (const char* flags :
       {"--method lora --rank 3 --targets q_proj,down_proj --exclude 'regex:.*[.]9[.].*' --layers 0,1 --dropout 0.1 "
        "--rslora --rank-pattern 'q_proj=2' --alpha-pattern 'down_proj=0.3' --modules-to-save lm_head --bias all "
        "--no-shuffle",
        "--method lora --quant nf4 --double-quant --init loftq --lr 3.3e-3 --lora-plus-ratio 16 --checkpointing",
        "--method dora --rank 2 --init pissa", "--method adalora --tinit 0 --beta1-ema 0.7", "--method ia3",
        "--method vera --rank 8 --projection-key 5", "--method miss --rank 4 --mini-rank 2 --miss-init mini",
        "--method hira --rank 4", "--method loha --rank 4 --alpha 2",
        "--method full --lr 1e-4 --schedule cosine --clip 0"})
    check_repeats(run_of + flags);
}

TEST_CASE("recipes: the settings of the shipped run are a recipe of the same settings") {
  const TemporaryFolder folder;
  const Result first = run(folder, "train --dry-run --seed 7");
  REQUIRE(first.code == 0);
  for (const char* line : {"seed: 7", "rank: 8", "lr: 0.005", "steps: 450", "targets: \"all-linear\""}) {
    INFO(line);
    CHECK(has_line(first.out, line));
  }
  folder.file("again.yaml", first.out);
  CHECK(run(folder, "train --dry-run --config again.yaml --out o").out == first.out);
}

TEST_CASE("recipes: names that need quotes come back, relative to the working directory") {
  const TemporaryFolder folder;
  const std::string name = "it's \"a\" # d\\ta: x";
  fs::create_directory(folder / "in");
  fs::copy_file(shipped / "iso.valid.jsonl", folder / "in" / name);
  folder.file("model.yaml", "model: model\nsteps: 1\nbatch: 2\ndata: " + Json("in/" + name).dump() + "\n");
  fs::create_directory_symlink(shipped / "veneer-tiny", folder / "model");
  const Result first = run(folder, "train --quiet --config model.yaml --out one");
  INFO(first.err);
  REQUIRE(first.code == 0);
  REQUIRE(run(folder, "train --quiet --config one/resolved_config.yaml --out two").code == 0);
  CHECK(testing::file_bytes(folder / "one" / "adapter_model.safetensors") ==
        testing::file_bytes(folder / "two" / "adapter_model.safetensors"));
}

TEST_CASE("recipes: what --dry-run prints is a recipe that prints the same") {
  for (const char* flags : {"--method dora --targets q_proj --quant nf4", "--method full"}) {
    const TemporaryFolder folder;
    const Result first = dry_run(folder, "steps: 9\n", flags);
    REQUIRE(first.code == 0);
    CHECK(first.out.find("\n# ") != std::string::npos);  // the plan
    folder.file("again.yaml", first.out);
    CHECK(run(folder, "train --dry-run --out o --config again.yaml").out == first.out);
  }
}

TEST_CASE("recipes: each that ships is listed, printed and trains") {
  const TemporaryFolder folder;
  const Result list = run(folder, "recipes");
  REQUIRE(list.code == 0);
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(VENEER_SOURCE_DIR) / "examples" / "recipes")) {
    const std::string name = entry.path().stem().string();
    INFO(name);
    ++count;
    CHECK(("\n" + list.out).find("\n" + name + " ") != std::string::npos);
    const Result printed = run(folder, "recipes " + name);
    CHECK(printed.code == 0);
    CHECK(printed.out == testing::file_bytes(entry.path()));
    folder.file("my.yaml", printed.out);
    const Result trained = run(folder, "train --config my.yaml --steps 2 --out " + name + small_model_and_data(folder));
    INFO(trained.err);
    CHECK(trained.code == 0);
    CHECK(metrics_of(folder / name).size() == 3);  // two steps, and the loss on the one line that is held out
  }
  CHECK(count == 5);
  const Result unknown = run(folder, "recipes lroa");
  CHECK(unknown.code == 2);
  CHECK(unknown.err.find("lora") != std::string::npos);
}

}  // namespace recipes_test
#endif
