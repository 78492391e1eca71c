// SPDX-License-Identifier: Apache-2.0
/// \file train_test.cpp
/// `veneer train` from the outside: recorded curves, the same bytes with any number of threads and after an
/// interruption, exit codes.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace train_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path test_data = VENEER_TEST_DATA;

std::string file_text(const fs::path& path) { return read_text(path, std::size_t{1} << 26); }

/// Runs `veneer` with these arguments; standard error goes to `errors`.
int run(const std::string& words, const fs::path& errors) {
  const std::string line = std::string("'") + VENEER_PROGRAM + "' " + words + " >/dev/null 2>'" + errors.string() + "'";
  const int status = std::system(line.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int train(const std::string& words, const fs::path& errors) { return run("train " + words, errors); }

/// Returns the recorded batches, one line per sequence.
std::string as_lines(const SafetensorsFile& batches) {
  const TensorEntry& entry = batches.at("input_ids");
  const auto ids = read_integers(entry), labels = read_integers(batches.at("labels"));
  const auto length = static_cast<std::size_t>(entry.shape[2]);
  std::string text;
  for (std::size_t begin = 0; begin < ids.size(); begin += length) {
    const auto part = [&](const std::vector<std::int64_t>& all) {
      const auto at = all.begin() + static_cast<std::ptrdiff_t>(begin);
      return Json(std::vector<std::int64_t>(at, at + static_cast<std::ptrdiff_t>(length)));
    };
    text += Json{{"input_ids", part(ids)}, {"labels", part(labels)}}.dump() + "\n";
  }
  return text;
}

/// Returns the losses of a metrics.jsonl, by step.
std::vector<double> losses_of(const fs::path& run) {
  std::vector<double> losses;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    const Json json = parse_json(line, "metrics.jsonl");
    if (json.contains("loss")) losses.push_back(json["loss"].get<double>());
  }
  return losses;
}

std::string number(const Json& value) { return value.dump(); }

/// Returns the flags that repeat a recorded run.
std::string flags_of(const fs::path& curve, const Json& settings, const fs::path& data, std::int64_t lines) {
  std::string flags = "--model '" + (test_data / settings["base"].get<std::string>()).string() + "' --data '" +
                      data.string() + "' --dtype float32 --no-shuffle --quiet --batch " + std::to_string(lines) +
                      " --grad-accum " + number(settings["micro_batches"]) + " --steps " + number(settings["steps"]) +
                      " --lr " + number(settings["learning_rate"]) + " --schedule " +
                      settings["schedule"].get<std::string>() + " --warmup " + number(settings["warmup_steps"]) +
                      " --beta1 " + number(settings["betas"][0]) + " --beta2 " + number(settings["betas"][1]) +
                      " --eps " + number(settings["eps"]) + " --weight-decay " + number(settings["weight_decay"]) +
                      " --clip " + (settings["max_grad_norm"].is_null() ? "0" : number(settings["max_grad_norm"]));
  if (settings["method"] == "full") return flags + " --method full";
  return flags + " --adapter '" + (curve / "initial").string() + "'";
}

}  // namespace

TEST_CASE("train: the recorded curves are followed from the command line") {
  for (const char* name : {"lora-qv", "lora-qv-nonzero-b", "rslora", "lora-patterns-cosine-clip-accumulate",
                           "lora-bias-all", "lora-bf16-base", "full", "dora", "dora-bias", "adalora"}) {
    INFO(name);
    const TemporaryFolder folder;
    const fs::path curve = test_data / "curves" / name;
    const Json settings = read_json(curve / "settings.json");
    const SafetensorsFile batches(curve / "batches.safetensors");
    const fs::path data = folder.file("data.jsonl", as_lines(batches));
    const std::string flags = flags_of(curve, settings, data, batches.at("input_ids").shape[1]);
    const int code = train(flags + " --out '" + (folder / "out").string() + "'", folder / "err");
    INFO(file_text(folder / "err"));
    REQUIRE(code == 0);
    const std::vector<double> found = losses_of(folder / "out");
    const Json recorded = read_json(curve / "losses.json");
    const Json& expected = recorded.is_array() ? recorded : recorded["steps"];
    REQUIRE(found.size() == expected.size());
    const double tolerance = settings["suggested_relative_tolerance_of_losses"].get<double>();
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("step " << i + 1);
      CHECK(std::abs(found[i] / expected[i]["loss"].get<double>() - 1.0) < tolerance);
    }
  }
}

TEST_CASE("train: the same bytes twice, at 1 to 4 threads, and after a stop at any step") {
  const TemporaryFolder folder;
  const fs::path curve = test_data / "curves" / "lora-qv";
  const fs::path data = folder.file("data.jsonl", as_lines(SafetensorsFile(curve / "batches.safetensors")));
  const std::string flags = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' --data '" +
                            data.string() + "' --quiet --batch 3 --grad-accum 2 --steps 8 --lr 0.01 --rank 4" +
                            " --targets all-linear --dropout 0.1 --seed 5 --schedule cosine --warmup 2 --save-every 1";
  const auto out = [&](const std::string& name) { return (folder / name).string(); };
  const auto adapter = [&](const std::string& name) { return file_text(folder / name / "adapter_model.safetensors"); };
  REQUIRE(train(flags + " --threads 1 --out '" + out("one") + "'", folder / "err") == 0);
  for (const char* threads : {"1", "2", "3", "4"}) {
    INFO("threads " << threads);
    const std::string name = std::string("threads") + threads;
    REQUIRE(train(flags + " --threads " + threads + " --out '" + out(name) + "'", folder / "err") == 0);
    CHECK(adapter(name) == adapter("one"));
    CHECK(losses_of(folder / name) == losses_of(folder / "one"));
  }
  for (const int step : {1, 4, 7}) {
    INFO("resumed after step " << step);
    const std::string name = "resumed" + std::to_string(step);
    fs::create_directories(folder / name);
    fs::copy(folder / "one" / ("checkpoint-" + std::to_string(step)), folder / name / "checkpoint",
             fs::copy_options::recursive);
    REQUIRE(train("--quiet --resume '" + out(name) + "/checkpoint' --out '" + out(name) + "'", folder / "err") == 0);
    CHECK(adapter(name) == adapter("one"));
    CHECK(file_text(folder / name / "checkpoint-8" / "trainer_state.safetensors") ==
          file_text(folder / "one" / "checkpoint-8" / "trainer_state.safetensors"));
  }
}

TEST_CASE("train: every method learns, stops and goes on to the same bytes, is merged, and its folder is trained on") {
  const TemporaryFolder folder;
  const fs::path curve = test_data / "curves" / "lora-qv";
  const fs::path data = folder.file("data.jsonl", as_lines(SafetensorsFile(curve / "batches.safetensors")));
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' ";
  const std::string flags = model + "--data '" + data.string() + "' --quiet --batch 3 --grad-accum 2 --steps 9" +
                            " --lr 0.01 --seed 5 --no-shuffle ";
  const auto quoted = [&](const std::string& name) { return "'" + (folder / name).string() + "' "; };
  const std::vector<std::pair<std::string, std::string>> methods{
      {"lora", "--rank 3 --targets all-linear --dropout 0.1 --quant nf4 --double-quant"},
      {"dora", "--rank 3 --targets all-linear --dropout 0.1 --quant nf4"},
      {"adalora", "--init-rank 4 --target-rank 2 --tinit 2 --tfinal 2 --delta-t 2 --targets all-linear --dropout 0.1"},
      {"ia3", "--quant int8"},
      {"vera", "--rank 6 --targets q_proj,down_proj --projection-key 3 --dropout 0.1"},
      {"miss", "--rank 4 --targets q_proj,down_proj --dropout 0.1"},
      {"hira", "--rank 4 --targets q_proj,down_proj --hira-init gaussian --quant nf4"},
      {"loha", "--rank 3 --alpha 6 --targets q_proj,down_proj --rank-pattern q_proj=2"}};
  for (const auto& [method, own] : methods) {
    INFO(method);
    const std::string words = flags + "--method " + method + " " + own;
    REQUIRE(train(words + " --save-every 1 --threads 1 --out " + quoted(method), folder / "err") == 0);
    const auto bytes = [&](const std::string& run) { return file_text(folder / run / "adapter_model.safetensors"); };
    const std::vector<double> losses = losses_of(folder / method);
    REQUIRE(losses.size() == 9);
    CHECK(losses.back() < losses.front());
    for (const char* threads : {"2", "3", "4"}) {
      REQUIRE(train(words + " --threads " + threads + " --out " + quoted(method + "-again"), folder / "err") == 0);
      CHECK(bytes(method + "-again") == bytes(method));
    }
    for (const int step : {1, 5, 8}) {
      INFO("resumed after step " << step);
      const std::string name = method + std::to_string(step);
      fs::create_directories(folder / name);
      fs::copy(folder / method / ("checkpoint-" + std::to_string(step)), folder / name / "checkpoint",
               fs::copy_options::recursive);
      REQUIRE(train("--quiet --resume " + quoted(name + "/checkpoint") + "--out " + quoted(name), folder / "err") == 0);
      CHECK(bytes(name) == bytes(method));
      for (const char* file : {"adapter_config.json", "trainer_state.safetensors"})
        CHECK(file_text(folder / name / "checkpoint-9" / file) == file_text(folder / method / "checkpoint-9" / file));
    }
    CHECK(run("merge " + model + "--adapter " + quoted(method) + "--out " + quoted(method + "-merged"),
              folder / "err") == 0);
    CHECK(fs::exists(folder / (method + "-merged") / "model.safetensors"));
    const int code = train(flags + "--adapter " + quoted(method) + "--out " + quoted(method + "-on"), folder / "err");
    INFO(file_text(folder / "err"));
    CHECK(code == (method == "adalora" ? 2 : 0));  // its masked triplets are gone
  }
}

TEST_CASE("train: every initialisation starts where the base is, stops and goes on to the same bytes, and is merged") {
  const TemporaryFolder folder;
  const fs::path curve = test_data / "curves" / "lora-qv";
  const fs::path data = folder.file("data.jsonl", as_lines(SafetensorsFile(curve / "batches.safetensors")));
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' ";
  const std::string flags = model + "--data '" + data.string() + "' --quiet --batch 3 --steps 5 --lr 0.005 --rank 4" +
                            " --alpha 6 --seed 5 --save-every 2 --no-shuffle --targets q_proj,down_proj ";
  const auto quoted = [&](const std::string& name) { return "'" + (folder / name).string() + "' "; };
  REQUIRE(train(flags + "--out " + quoted("plain"), folder / "err") == 0);
  const double start = losses_of(folder / "plain").front();
  struct Case {
    std::string name, own, written;
    double tolerance;  // of the first loss: the error of float, or of 4 bits
  };
  const std::vector<Case> cases{{"pissa", "--init pissa", "true", 1e-5},
                                {"pissa-dora", "--init pissa --method dora", "true", 1e-5},
                                {"pissa-niter", "--init pissa_niter_4 --rslora", "true", 1e-5},
                                {"olora", "--init olora", "true", 1e-5},
                                {"olora-nf4", "--init olora --quant nf4", "\"olora\"", 0.05},
                                {"loftq", "--init loftq --loftq-iter 2", "\"loftq\"", 0.05},
                                {"orthogonal", "--init orthogonal", "\"orthogonal\"", 1e-5},
                                {"eva", "--init eva --eva-rho 3", "\"eva\"", 1e-5}};
  for (const Case& each : cases) {
    INFO(each.name);
    const int code = train(flags + each.own + " --threads 1 --out " + quoted(each.name), folder / "err");
    INFO(file_text(folder / "err"));
    REQUIRE(code == 0);
    const std::vector<double> losses = losses_of(folder / each.name);
    REQUIRE(losses.size() == 5);
    CHECK(std::abs(losses.front() / start - 1.0) < each.tolerance);
    CHECK(losses != losses_of(folder / "plain"));
    const std::string config = file_text(folder / each.name / "adapter_config.json");
    CHECK(config.find("\"init_lora_weights\": " + each.written) != std::string::npos);
    const std::string on = each.name + "-on";
    fs::create_directories(folder / on);
    fs::copy(folder / each.name / "checkpoint-2", folder / on / "checkpoint", fs::copy_options::recursive);
    REQUIRE(train("--quiet --threads 2 --resume " + quoted(on + "/checkpoint") + "--out " + quoted(on),
                  folder / "err") == 0);
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json"})
      CHECK(file_text(folder / on / file) == file_text(folder / each.name / file));
    CHECK(file_text(folder / on / "checkpoint-4" / "trainer_state.safetensors") ==
          file_text(folder / each.name / "checkpoint-4" / "trainer_state.safetensors"));
    if (each.name != "olora-nf4")  // a base that this command reads dense
      CHECK(run("merge " + model + "--adapter " + quoted(each.name) + "--out " + quoted(each.name + "-merged"),
                folder / "err") == 0);
  }
}

TEST_CASE("train: a packed row that holds whole sequences teaches what they teach in lines") {
  const TemporaryFolder folder;
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' ";
  std::string lines;
  for (int i = 0; i < 24; ++i) {  // pairs of 12 tokens
    Json ids = Json::array();
    for (int t = 0; t < (i % 2 == 0 ? 7 : 5); ++t) ids.push_back((i * 31 + t * 17) % 90 + 1);
    lines += Json{{"input_ids", ids}}.dump() + "\n";
  }
  const std::string flags = model + "--data '" + folder.file("d.jsonl", lines).string() +
                            "' --seq 12 --lr 0.01 --rank 2 --no-shuffle --seed 3 --quiet ";
  const auto run_as = [&](const char* name, const std::string& own) {
    const int code = train(flags + own + " --out '" + (folder / name).string() + "'", folder / "err");
    INFO(file_text(folder / "err"));
    REQUIRE(code == 0);
    Json kept = Json::array();
    std::ifstream in(folder / name / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      Json json = parse_json(line, "metrics.jsonl");
      json.erase("tokens_per_second"), json.erase("memory_bytes");
      kept.push_back(json);
    }
    return kept;
  };
  const Json packed = run_as("packed", "--packing --batch 2");
  CHECK(packed.size() == 6);                      // an epoch: 12 rows, 2 per batch
  CHECK(packed == run_as("lines", "--batch 4"));  // the same batches, so the same bits
  const Json apart = run_as("apart", "--batch 1 --grad-accum 4");
  REQUIRE(apart.size() == packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) {  // each sequence in a separate pass: sums in another order
    CHECK(apart[i]["tokens"] == packed[i]["tokens"]);
    CHECK(apart[i]["loss"].get<double>() == Approx(packed[i]["loss"].get<double>()).epsilon(1e-6));
    CHECK(apart[i]["grad_norm"].get<double>() == Approx(packed[i]["grad_norm"].get<double>()).epsilon(1e-6));
  }
  CHECK(file_text(folder / "packed" / "adapter_model.safetensors") ==
        file_text(folder / "lines" / "adapter_model.safetensors"));
  const std::string config = file_text(folder / "packed" / "resolved_config.yaml");
  CHECK(config.find("packing: true") != std::string::npos);
}

TEST_CASE("train: conversations, instructions and texts are learned from, and evaluated") {
  const TemporaryFolder folder;
  const fs::path model = fs::path(VENEER_SOURCE_DIR) / "examples/data/veneer-tiny";
  const fs::path ok = test_data / "text/datasets/ok";
  const auto quoted = [](const fs::path& path) { return "'" + path.string() + "' "; };
  for (const char* name : {"messages.jsonl", "alpaca.jsonl", "plain.txt"}) {
    INFO(name);
    const std::string data = "--model " + quoted(model) + "--data " + quoted(ok / name) + "--chat-template chatml ";
    int code = train(
        data + "--steps 1 --batch 2 --seq 256 --rank 2 --lr 0.001 --quiet --packing --out " + quoted(folder / "out"),
        folder / "err");
    INFO(file_text(folder / "err"));
    CHECK(code == 0);
    CHECK(losses_of(folder / "out").size() == 1);
    const bool prompts = std::string(name) != "plain.txt";
    code = run("evaluate " + data + "--adapter " + quoted(folder / "out") + "--json " +
                   (prompts ? "--generate --max-new-tokens 2" : ""),
               folder / "err");
    INFO(file_text(folder / "err"));
    CHECK(code == 0);
  }
  const std::string messages = "--model " + quoted(model) + "--data " + quoted(ok / "messages.jsonl");
  CHECK(train(messages + "--out " + quoted(folder / "none"), folder / "err") == 3);
  CHECK(file_text(folder / "err").find("messages.jsonl: line 1: ") != std::string::npos);
  CHECK(file_text(folder / "err").find("--chat-template NAME") != std::string::npos);
  CHECK(train(messages + "--chat-template nobody --out " + quoted(folder / "none"), folder / "err") == 2);
  CHECK(file_text(folder / "err").find("chatml") != std::string::npos);
  CHECK(run("evaluate --generate --model " + quoted(model) + "--data " + quoted(ok / "text.jsonl"), folder / "err") ==
        3);
  CHECK(file_text(folder / "err").find("--generate needs records with a prompt") != std::string::npos);
}

TEST_CASE("train: a share of the steps may be written in any way, and packed rows without a target take no step") {
  const TemporaryFolder folder;
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' --quiet ";
  const auto rates = [&](const std::string& warmup) {
    const std::string name = warmup + "-out";
    const std::string data = folder.file("d.jsonl", "{\"input_ids\":[1,2,3,4]}\n").string();
    REQUIRE(train(model + "--data '" + data + "' --steps 4 --batch 1 --warmup " + warmup + " --out '" +
                      (folder / name).string() + "'",
                  folder / "err") == 0);
    return file_text(folder / name / "resolved_config.yaml").size() > 0 ? losses_of(folder / name)
                                                                        : std::vector<double>{};
  };
  CHECK(rates("5e-1") == rates("0.5"));
  CHECK(rates("0.5") == rates("2"));
  CHECK(rates("0") != rates("2"));

  Json ids = Json::array(), labels = Json::array();
  for (int i = 0; i < 64; ++i) ids.push_back(i % 7), labels.push_back(i < 60 ? -100 : i % 7);
  const std::string long_prompt = Json{{"input_ids", ids}, {"labels", labels}}.dump() + "\n";
  const std::string data = folder.file("long.jsonl", long_prompt + long_prompt).string();
  REQUIRE(
      train(model + "--data '" + data + "' --packing --seq 8 --batch 1 --out '" + (folder / "packed").string() + "'",
            folder / "err") == 0);
  const std::vector<double> losses = losses_of(folder / "packed");
  CHECK(losses.size() == 2);  // of 16 rows
  for (const double loss : losses) CHECK(loss > 0.0);
  CHECK(train(model + "--data '" + data + "' --packing --seq 1 --batch 1 --out '" + (folder / "none").string() + "'",
              folder / "err") == 3);
}

TEST_CASE("train: N epochs use every line N times, and the last batch is short, also after --resume") {
  const TemporaryFolder folder;
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' ";
  std::string lines;
  std::int64_t all = 0;
  for (int line = 0; line < 10; ++line) {  // of 2 to 11 tokens
    std::string ids = "1,2";
    for (int i = 0; i < line; ++i) ids += ",3";
    lines += "{\"input_ids\":[" + ids + "]}\n";
    all += line + 2;
  }
  const std::string data = "--data '" + folder.file("ten.jsonl", lines).string() + "' --quiet --rank 2 --seed 3 ";
  const auto tokens_of = [&](const fs::path& run) {
    std::vector<std::int64_t> tokens;
    std::istringstream metrics(file_text(run / "metrics.jsonl"));
    for (std::string line; std::getline(metrics, line);)
      tokens.push_back(parse_json(line, "metrics").at("tokens").get<std::int64_t>());
    return tokens;
  };
  const auto out = [&](const char* name) { return "--out '" + (folder / name).string() + "' "; };
  CHECK(train(model + data + out("once") + "--batch 32 --epochs 1", folder / "err") == 0);
  CHECK(tokens_of(folder / "once") == std::vector<std::int64_t>{all});
  CHECK(train(model + data + out("thrice") + "--batch 8 --epochs 3 --save-every 3", folder / "err") == 0);
  const auto tokens = tokens_of(folder / "thrice");
  CHECK(tokens.size() == 4);
  CHECK(std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0}) == 3 * all);
  const auto losses = losses_of(folder / "thrice");
  fs::remove(folder / "thrice" / "adapter_model.safetensors");
  CHECK(run("train --quiet --resume '" + (folder / "thrice").string() + "'", folder / "err") == 0);
  CHECK(losses_of(folder / "thrice") == losses);
  CHECK(tokens_of(folder / "thrice") == tokens);
  CHECK(train(model + data + out("two") + "--batch 3 --grad-accum 2 --epochs 1", folder / "err") == 0);
  CHECK(tokens_of(folder / "two").size() == 2);  // of six lines and of four
}

TEST_CASE("train: an empty reply is warned of") {
  const TemporaryFolder folder;
  const std::string data =
      folder.file("empty.jsonl", "{\"prompt\":\"a\",\"completion\":\"\"}\n{\"prompt\":\"b\",\"completion\":\" c\"}\n")
          .string();
  const fs::path model = fs::path(VENEER_SOURCE_DIR) / "examples/data/veneer-tiny";
  CHECK(train("--model '" + model.string() + "' --data '" + data + "' --steps 1 --batch 1 --rank 2 --out '" +
                  (folder / "out").string() + "'",
              folder / "err") == 0);
  CHECK_THAT(file_text(folder / "err"),
             Catch::Contains("warning: ") && Catch::Contains("1 record with one, the first on line 1"));
}

TEST_CASE("train: exit codes and messages") {
  const TemporaryFolder folder;
  const std::string model = "--model '" + (test_data / "models/llama-gqa-llama3rope-sharded").string() + "' ";
  const auto out = "--out '" + (folder / "out").string() + "' ";
  const auto error = [&] { return file_text(folder / "err"); };
  const auto data = [&](const std::string& text) { return "--data '" + folder.file("d.jsonl", text).string() + "' "; };
  const std::string good = R"({"input_ids":[1,2,3,4]})"
                           "\n";
  CHECK(train(model + data(good), folder / "err") == 2);
  CHECK(error().find("--out") != std::string::npos);
  CHECK(train(model + out + data(good) + "--method lokr", folder / "err") == 2);
  CHECK(error().find("lokr") != std::string::npos);
  CHECK(train(model + out + data(good) + "--method adalora --steps 8 --tinit 4 --tfinal 4", folder / "err") == 2);
  CHECK(error().find("tinit") != std::string::npos);
  CHECK(train(model + out + data(good) + "--init best", folder / "err") == 2);
  CHECK(error().find("--init") != std::string::npos);
  CHECK(train(model + out + data(good) + "--init pissa --rank 33", folder / "err") == 2);
  CHECK(error().find("at most 32 directions") != std::string::npos);
  CHECK(train(model + out + data(good) + "--init pissa --quant nf4", folder / "err") == 2);
  CHECK(error().find("loftq") != std::string::npos);
  for (const char* bad : {"--warmup nan", "--warmup inf", "--warmup 1.5", "--warmup 1e30", "--epochs 1e300",
                          "--epochs nan", "--lr nan", "--eps inf", "--seed -1", "--seed 99999999999999999999"}) {
    CHECK(train(model + out + data(good) + bad, folder / "err") == 2);
    CHECK(error().find(std::string(bad).substr(0, std::string(bad).find(' '))) != std::string::npos);
  }
  CHECK(train(model + out + "--data '" + (folder / "d\xff.jsonl").string() + "'", folder / "err") == 2);
  CHECK(error().find("--data") != std::string::npos);
  CHECK(train(model + data(good) + "--out '" + (folder / "d.jsonl").string() + "/out'", folder / "err") == 3);
  CHECK(error().find("is not a folder") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "out"));
  const std::string budget = (test_data / "curves" / "adalora" / "initial").string();
  CHECK(train(model + out + data(good) + "--adapter '" + budget + "' --steps 59", folder / "err") == 2);
  CHECK(error().find("--steps") != std::string::npos);
  CHECK(train(model + out + data(good) + "--double-quant", folder / "err") == 2);
  CHECK(error().find("--quant nf4") != std::string::npos);
  CHECK(train(model + out + data(good) + "--method full --quant nf4", folder / "err") == 2);
  CHECK(error().find("a quantised weight cannot be trained") != std::string::npos);
  CHECK(train(model + out + data(good) + "--targets nothing_proj", folder / "err") == 2);
  CHECK(error().find("q_proj") != std::string::npos);
  CHECK(train(model + out + data(good + "{\"input_ids\":[1,2,"), folder / "err") == 3);
  CHECK(error().find("line 2") != std::string::npos);
  CHECK(train(model + out + data(R"({"input_ids":[1,99999]})"), folder / "err") == 3);
  CHECK(train(model + out + data(good) + "--resume '" + (folder / "nowhere").string() + "'", folder / "err") == 3);
  CHECK(train(model + out + data(good) + "--steps 4 --lr 1e38 --clip 0 --warmup 0", folder / "err") == 6);
  CHECK(error().find("step") != std::string::npos);
  CHECK(train(model + out + data(good) + "--steps 1 --dry-run", folder / "err") == 0);
}

}  // namespace train_test
#endif
