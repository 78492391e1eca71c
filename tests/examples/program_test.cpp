// SPDX-License-Identifier: Apache-2.0
/// \file program_test.cpp
/// The program `veneer` from the outside: exit codes, output, files.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>

#include "veneer/core/shape.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace program_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path test_data = VENEER_TEST_DATA;
const fs::path shipped = fs::path(VENEER_SOURCE_DIR) / "examples" / "data";

struct Result {
  int code = -1;  // of the program; -1: it ended by a signal
  std::string out, err;
};

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string file_text(const fs::path& path) { return read_text(path, std::size_t{1} << 26); }

void write_file(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// Runs the program with these arguments and this text on stdin.
Result run(const std::vector<std::string>& arguments, const std::string& input = "") {
  const TemporaryFolder folder;
  write_file(folder / "in", input);
  std::string line = quoted(VENEER_PROGRAM);
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  const auto at = [&](const char* name) { return quoted((folder / name).string()); };
  const int status = std::system((line + " <" + at("in") + " >" + at("out") + " 2>" + at("err")).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, file_text(folder / "out"), file_text(folder / "err")};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<float> floats(const TensorEntry& entry) {
  std::vector<float> values(static_cast<std::size_t>(element_count(entry)));
  read_floats(entry, values.data());
  return values;
}

/// Returns the largest difference relative to the largest expected magnitude.
double relative_distance(const std::vector<float>& found, const std::vector<float>& expected) {
  if (found.size() != expected.size() || found.empty()) return std::numeric_limits<double>::infinity();
  double distance = 0.0, magnitude = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double apart = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (!(apart <= distance)) distance = std::isfinite(apart) ? apart : std::numeric_limits<double>::infinity();
    magnitude = std::max(magnitude, std::abs(static_cast<double>(expected[i])));
  }
  return distance / magnitude;
}

/// Writes the recorded case `which` as input of the program.
void write_ids(const SafetensorsFile& recorded, const std::string& which, const fs::path& path) {
  std::vector<TensorView> views;
  for (const std::string name : {"input_ids", "attention_mask"}) {
    const TensorEntry& entry = recorded.at(which + "." + name);
    views.push_back({name, entry.dtype, entry.shape, entry.data});
  }
  write_safetensors(path, views);
}

std::string model_path(const std::string& name) { return (test_data / "models" / name).string(); }

std::string llama_config(index_t hidden, index_t inner, index_t heads_of_keys, index_t vocabulary) {
  const Json config = {{"model_type", "llama"},    {"hidden_size", hidden},     {"intermediate_size", inner},
                       {"num_hidden_layers", 32},  {"num_attention_heads", 32}, {"num_key_value_heads", heads_of_keys},
                       {"vocab_size", vocabulary}, {"dtype", "bfloat16"}};
  return dump_python(config);
}

}  // namespace

TEST_CASE("program: what was asked wrongly ends with 2 and names the flag") {
  const std::string model = model_path("llama-f16");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "subcommand"},
      {{"dance"}, "subcommand"},
      {{"plan", "--colour", "red"}, "--colour"},
      {{"plan"}, "--model"},
      {{"plan", "--model", model, "--quant", "int3"}, "--quant"},
      {{"plan", "--model", model, "--quant", "nf4", "--method", "full"}, "full"},
      {{"plan", "--model", model, "--rank", "0"}, "--rank"},
      {{"plan", "--model", model, "--rank", "many"}, "--rank"},
      {{"plan", "--model", model, "--method", "lokr"}, "lokr"},
      {{"plan", "--model", model, "--method", "adalora", "--target-rank", "12"}, "target_r"},
      {{"plan", "--model", model, "--rank-pattern", "q_proj"}, "--rank-pattern"},
      {{"plan", "--model", model, "--targets", "q_proj,,v_proj"}, "--targets"},
      {{"logits", "--model", model, "--ids", "x", "--out", "y", "--double-quant"}, "--quant nf4"},
      {{"plan", "--model", model, "--targets", "nothing"}, "q_proj"},
      {{"logits", "--model", model, "--ids", "i", "--out", "o", "--dtype", "int8"}, "--dtype"},
      {{"merge", "--model", model, "--adapter", "x", "--out", "o", "--dtype", "bfloat16"}, "merge --dtype bfloat16"},
      {{"logits", "--model", model, "--ids", "i", "--out", "o", "--device", "cuda"}, "VENEER_CUDA"},
      {{"generate", "--model", model, "--prompt", "a", "--system", "b"}, "--system"},
      {{"export", "--model", model, "--adapter", "x", "--adapter", "y", "--to", "lora", "--out", "o"}, "2 times"},
      {{"export", "--model", model, "--to", "lora", "--out", "o"}, "--adapter"},
      {{"export", "--model", model, "--to", "gguf", "--outtype", "q4_k", "--out", "o"}, "--outtype"},
      {{"export", "--model", model, "--adapter", "x", "--to", "peft", "--outtype", "f16", "--out", "o"}, "--outtype"},
      {{"export", "--model", model, "--adapter", "x", "--to", "onnx", "--out", "o"}, "--to"},
      {{"combine", "--model", model, "--adapter", "x", "--weight", "1", "--weight", "2", "--out", "o"}, "--weight"},
      {{"combine", "--model", model, "--adapter", "x", "--type", "slerp", "--out", "o"}, "dare_ties_svd"},
      {{"generate", "--model", model, "--prompt", "a", "--temperature", "-1"}, "--temperature"},
      {{"merge", "--model", model, "--out", "o"}, "--adapter"}};
  for (const auto& [arguments, word] : cases) {
    const Result result = run(arguments);
    INFO(word << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK_THAT(result.out + result.err, Catch::Contains(word));
  }
  CHECK(run({"--version"}).code == 0);
  CHECK(run({"plan", "--help"}).code == 0);
}

TEST_CASE("program: a bad file ends with 3 and is named") {
  const TemporaryFolder folder;
  const std::string model = model_path("llama-f16"), out = (folder / "out").string();
  const std::string broken = (folder / "broken").string(), pickle = (folder / "model.bin").string();
  const std::string data = (folder / "data.jsonl").string(), outside = (folder / "outside").string();
  const std::string left = (folder / "left").string();
  write_file(broken, "not a file of tensors");
  write_file(pickle, "\x80\x02");
  write_file(data, "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [1, 2, \n");
  const std::vector<std::int64_t> ids{1, 1 << 20}, mask{0, 1};
  const std::vector<std::int64_t> small{1, 2};
  write_safetensors(outside, {{"input_ids", Dtype::i64, {1, 2}, ids.data()}});
  write_safetensors(
      left, {{"input_ids", Dtype::i64, {1, 2}, small.data()}, {"attention_mask", Dtype::i64, {1, 2}, mask.data()}});
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"logits", "--model", "/nowhere/at/all", "--ids", outside, "--out", out}, "/nowhere/at/all"},
      {{"logits", "--model", model, "--ids", broken, "--out", out}, broken},
      {{"logits", "--model", model, "--ids", outside, "--out", out}, "1048576"},
      {{"logits", "--model", model, "--ids", left, "--out", out}, "right"},
      {{"logits", "--model", (test_data / "models-refused" / "llama-gptq").string(), "--ids", outside, "--out", out},
       "gptq"},
      {{"plan", "--config", broken}, broken},
      {{"merge", "--model", model, "--adapter", (folder / "none").string(), "--out", out}, "none"},
      {{"evaluate", "--model", model, "--data", data}, "line 2"},
      {{"generate", "--model", model, "--prompt", "a"}, "tokenizer.json"},
      {{"tokenize", "--model", broken}, broken},
      {{"inspect", pickle}, "pickle"},
      {{"inspect", folder.path().string()}, "config.json"},
      {{"inspect", broken}, broken}};
  for (const auto& [arguments, word] : cases) {
    const Result result = run(arguments);
    INFO(word << "\n" << result.err);
    CHECK(result.code == 3);
    CHECK_THAT(result.err, Catch::Contains(word));
    CHECK(result.out.find("veneer:") == std::string::npos);
  }
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("program: logits are the recorded ones, padded rows included") {
  const TemporaryFolder folder;
  const std::string model = model_path("qwen2-mixed-window");
  const SafetensorsFile recorded(fs::path(model) / "expected.safetensors");
  for (const std::string which : {"full", "padded"}) {
    INFO(which);
    write_ids(recorded, which, folder / "ids");
    const Result result = run({"logits", "--model", model, "--ids", (folder / "ids").string(), "--out",
                               (folder / "logits").string(), "--threads", "1"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    CHECK(result.out.empty());
    const SafetensorsFile found(folder / "logits");
    CHECK(found.at("logits").shape == recorded.at(which + ".logits").shape);
    CHECK(relative_distance(floats(found.at("logits")), floats(recorded.at(which + ".logits"))) < 1e-5);
  }
}

TEST_CASE("program: merging an adapter leaves the logits") {
  const TemporaryFolder folder;
  const std::string model = model_path("llama-gqa-llama3rope-sharded");
  const std::string adapter = (test_data / "adapters" / "lora-qv").string(), merged = (folder / "merged").string();
  write_ids(SafetensorsFile(fs::path(model) / "expected.safetensors"), "padded", folder / "ids");
  const auto logits = [&](std::vector<std::string> arguments, const std::string& name) {
    const std::string out = (folder / name).string();
    arguments.insert(arguments.begin(), {"logits", "--ids", (folder / "ids").string(), "--out", out, "--model"});
    const Result result = run(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return floats(SafetensorsFile(out).at("logits"));
  };
  const Result result = run({"merge", "--model", model, "--adapter", adapter, "--out", merged});
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(lines_of(result.out).size() == 4);
  CHECK_THAT(result.out, Catch::Contains("model.layers.1.self_attn.v_proj.weight"));
  const std::vector<float> adapted = logits({model, "--adapter", adapter}, "adapted");
  CHECK(relative_distance(logits({merged}, "after"), adapted) < 1e-5);
  CHECK(relative_distance(logits({model}, "base"), adapted) > 1e-3);
  CHECK(run({"merge", "--model", model, "--adapter", adapter, "--out", model}).code == 2);
}

TEST_CASE("program: export writes GGUF files for llama.cpp, and nothing where it refuses") {
  const TemporaryFolder folder;
  const std::string tiny = (shipped / "veneer-tiny").string(), model = model_path("llama-f16");
  const auto out = [&](const char* name) { return (folder / name).string(); };
  const Result written = run({"export", "--model", tiny, "--to", "gguf", "--outtype", "q8_0", "--out", out("m.gguf")});
  INFO(written.err);
  REQUIRE(written.code == 0);
  const Result seen = run({"inspect", out("m.gguf")});
  CHECK(seen.code == 0);
  for (const char* line : {"general.architecture = \"llama\" (string)", "tokenizer.ggml.pre = \"llama-bpe\" (string)",
                           "Q8_0  [512, 128]", "blk.3.ffn_norm.weight", "llama.block_count = 4 (u32)"})
    CHECK(seen.out.find(line) != std::string::npos);
  const Result ollama = run({"export", "--model", tiny, "--to", "ollama", "--out", out("o")});
  REQUIRE(ollama.code == 0);
  const std::string modelfile = file_text(folder / "o" / "Modelfile");
  CHECK(modelfile.starts_with("FROM ./model.gguf\nTEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n"));
  CHECK(modelfile.find("PARAMETER stop \"<|end_of_text|>\"\n") != std::string::npos);
  CHECK(fs::file_size(folder / "o" / "model.gguf") > 0);

  const int before = folder.count();
  const Result bare = run({"export", "--model", model, "--to", "gguf", "--out", out("bare.gguf")});
  CHECK(bare.code == 3);
  CHECK(bare.err.find("tokenizer") != std::string::npos);
  for (const char* name : {"dora", "ia3", "vera", "lora-trainable-tokens", "resized", "whole-embeddings"}) {
    const std::string adapter = (test_data / "adapters" / name).string();
    const Json expected = read_json(fs::path(adapter) / "expected.json");
    const std::string base = (test_data / json_text(expected, "base", name)).string();
    const Result refused =
        run({"export", "--model", base, "--adapter", adapter, "--to", "gguf-adapter", "--out", out("a.gguf")});
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK(refused.err.find("--to gguf") != std::string::npos);
  }
  for (const char* name : {"lora-lm-head", "lora-embedding", "resized", "whole-embeddings"}) {
    const std::string adapter = (test_data / "adapters" / name).string();
    const Json expected = read_json(fs::path(adapter) / "expected.json");
    const std::string base = (test_data / json_text(expected, "base", name)).string();
    const Result refused = run({"export", "--model", base, "--adapter", adapter, "--to", "lora", "--out", out("lora")});
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK(refused.err.find("--to merged") != std::string::npos);
  }
  CHECK(folder.count() == before);
  folder.file("bad.gguf", file_text(folder / "m.gguf").substr(0, 3000));
  CHECK(run({"inspect", out("bad.gguf")}).code == 3);
}

TEST_CASE("program: several adapters add up, combine into one, and are exported for other tools") {
  const TemporaryFolder folder;
  const fs::path data = test_data / "combine" / "three";
  const std::string model = model_path("llama-gqa-llama3rope-sharded");
  const SafetensorsFile recorded(data / "expected.safetensors");
  const std::string ids = (folder / "ids").string();
  const TensorEntry& tokens = recorded.at("input_ids");
  write_safetensors(ids, {{"input_ids", tokens.dtype, tokens.shape, tokens.data}});
  const auto logits = [&](const std::vector<std::string>& adapters, const std::string& of) {
    const std::string out = (folder / "logits").string();
    std::vector<std::string> arguments{"logits", "--model", of, "--ids", ids, "--out", out};
    for (const std::string& adapter : adapters) arguments.insert(arguments.end(), {"--adapter", adapter});
    const Result result = run(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return floats(SafetensorsFile(out).at("logits"));
  };
  std::vector<std::string> all;
  std::vector<std::string> combine{"combine", "--model", model, "--out", (folder / "cat").string()};
  for (const std::string name : {"first", "second", "third"}) {
    all.push_back((data / name).string());
    combine.insert(combine.end(), {"--adapter", all.back()});
  }
  const std::vector<float> sum = floats(recorded.at("logits.sum_of_all"));
  CHECK(relative_distance(logits(all, model), sum) < 1e-5);
  const Result combined = run(combine);
  INFO(combined.err);
  REQUIRE(combined.code == 0);
  CHECK_THAT(combined.err, Catch::Contains("rank 10"));
  CHECK(relative_distance(logits({(folder / "cat").string()}, model), sum) < 1e-5);

  const std::vector<std::string> common{"export", "--model", model, "--adapter", (folder / "cat").string()};
  for (const std::string to : {"lora", "peft", "merged"}) {
    INFO(to);
    std::vector<std::string> arguments = common;
    const std::string out = (folder / to).string();
    arguments.insert(arguments.end(), {"--to", to, "--out", out});
    const Result exported = run(arguments);
    INFO(exported.err);
    REQUIRE(exported.code == 0);
    CHECK(relative_distance(to == "merged" ? logits({}, out) : logits({out}, model), sum) < 1e-5);
  }
  std::vector<std::string> over = common;
  over.insert(over.end(), {"--to", "lora", "--out", (folder / "cat").string()});
  CHECK(run(over).code == 2);
  const Result dora = run({"export", "--model", model, "--adapter", (test_data / "adapters" / "dora").string(), "--to",
                           "lora", "--out", (folder / "dora").string()});
  CHECK(dora.code == 2);
  CHECK_THAT(dora.err, Catch::Contains("merge"));
  CHECK_FALSE(fs::exists(folder / "dora"));
}

TEST_CASE("program: plan counts as PEFT does, for models of billions of parameters") {
  const TemporaryFolder folder;
  const std::string llama2 = (folder / "llama2.json").string(), llama3 = (folder / "llama3.json").string();
  write_file(llama2, llama_config(4096, 11008, 32, 32000));
  write_file(llama3, llama_config(4096, 14336, 8, 128256));
  const Result first = run({"plan", "--config", llama2, "--rank", "16", "--targets", "q_proj,v_proj"});
  CHECK(first.code == 0);
  CHECK_THAT(first.out,
             Catch::Contains("trainable params: 8,388,608 || all params: 6,746,804,224 || trainable%: 0.1243"));
  const Result second = run({"plan", "--config", llama3, "--rank", "16", "--targets", "q_proj,k_proj,v_proj,o_proj"});
  CHECK_THAT(second.out, Catch::Contains("trainable params: 13,631,488 || all params: 8,043,892,736"));
  const Result third = run({"plan", "--config", llama2, "--rank", "8"});
  CHECK_THAT(third.out,
             Catch::Contains("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"));

  const Result patterns =
      run({"plan", "--config", llama2, "--rank", "8", "--json", "--targets", "regex:.*\\.[01]\\..*[qk]_proj",
           "--rank-pattern", "0.self_attn.q_proj=4", "--rank-pattern", "q_proj=2"});
  const Json plan = parse_json(patterns.out, "stdout");
  REQUIRE(plan["modules"].size() == 4);
  std::vector<index_t> ranks;
  for (const Json& module : plan["modules"]) ranks.push_back(module["rank"].get<index_t>());
  CHECK(ranks == std::vector<index_t>{4, 8, 2, 8});
  CHECK(plan["bytes"]["weights"].get<double>() == 2.0 * 6738415616.0);

  const Json full = parse_json(run({"plan", "--config", llama2, "--method", "full", "--json"}).out, "stdout");
  CHECK(full["trainable_parameters"] == 6738415616);
  CHECK(full["all_parameters"] == 6738415616);
  CHECK(full["bytes"]["optimizer"] == 8 * index_t{6738415616});

  const Result packed = run({"plan", "--config", llama2, "--quant", "nf4", "--double-quant", "--batch", "1", "--seq",
                             "64", "--checkpointing", "--json"});
  const Json small = parse_json(packed.out, "stdout"), bytes = small["bytes"];
  CHECK(bytes == small["bytes_with_checkpointing"]);
  CHECK(bytes["weights"].get<double>() < 4e9);
  CHECK(bytes["activations"].get<double>() < small["bytes_without_checkpointing"]["activations"].get<double>() / 4);
  index_t sum = -bytes["reused"].get<index_t>();
  for (const char* part : {"weights", "adapters", "gradients", "optimizer", "activations", "scratch"})
    sum += bytes[part].get<index_t>();
  CHECK(sum == bytes["training"]);
  CHECK(bytes["peak"] >= bytes["training"]);
}

TEST_CASE("program: tokenize gives the recorded ids, and texts come back") {
  const std::string model = (test_data / "text" / "tokenizers" / "llama3-tiny").string();
  std::string lists;
  std::vector<std::string> texts;
  for (const std::string& line :
       lines_of(file_text(test_data / "text" / "fixtures" / "llama3-tiny" / "decode.jsonl"))) {
    const Json row = parse_json(line, "decode.jsonl");
    lists += row["ids"].dump() + "\n";
    texts.push_back(row["text"].get<std::string>());
    if (texts.size() == 200) break;
  }
  const Result decoded = run({"tokenize", "--model", model, "--decode"}, lists);
  REQUIRE(decoded.code == 0);
  const std::vector<std::string> found = lines_of(decoded.out);
  REQUIRE(found.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) CHECK(parse_json(found[i], "stdout").get<std::string>() == texts[i]);

  // Ids of a text decode to the text, whatever it contains; a plain line and a JSON string give the same ids.
  const std::string plain = "The 2nd of May, naïve — 東京!\n\n  x = [1,\t2]\n";
  const Result ids = run({"tokenize", "--model", model}, plain);
  REQUIRE(ids.code == 0);
  REQUIRE(lines_of(ids.out).size() == 3);
  const Result back = run({"tokenize", "--model", model, "--decode", "--no-special"}, ids.out);
  std::string text;
  for (const std::string& line : lines_of(back.out)) text += parse_json(line, "stdout").get<std::string>() + "\n";
  CHECK(text == plain);
  std::string quoted_lines;
  for (const std::string& line : lines_of(plain)) quoted_lines += Json(line).dump() + "\n";
  CHECK(run({"tokenize", "--model", model, "--json"}, quoted_lines).out == ids.out);

  CHECK(run({"tokenize", "--model", model}, "fine\n\xff\n").code == 3);
  CHECK_THAT(run({"tokenize", "--model", model, "--decode"}, "[1]\n[-1]\n").err, Catch::Contains("line 2"));
}

TEST_CASE("program: evaluate gives the recorded loss") {
  const TemporaryFolder folder;
  const std::string model = model_path("mistral-swa"), data = (folder / "data.jsonl").string();
  const SafetensorsFile recorded(fs::path(model) / "expected.safetensors");
  const TensorEntry& ids = recorded.at("full.input_ids");
  const std::vector<std::int64_t> all = read_integers(ids), labels = read_integers(recorded.at("full.labels"));
  std::string text;
  for (index_t row = 0; row < ids.shape[0]; ++row) {
    const auto part = [&](const std::vector<std::int64_t>& from) {
      return Json(
          std::vector<std::int64_t>(from.begin() + row * ids.shape[1], from.begin() + (row + 1) * ids.shape[1]));
    };
    text += Json({{"input_ids", part(all)}, {"labels", part(labels)}}).dump() + "\n";
  }
  write_file(data, text);
  const Result result = run({"evaluate", "--model", model, "--data", data, "--json", "--batch", "1"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const Json json = parse_json(result.out, "stdout");
  const double loss = static_cast<double>(floats(recorded.at("full.loss")).front());
  CHECK(json["loss"].get<double>() == Approx(loss).epsilon(1e-5));
  CHECK(json["perplexity"].get<double>() == Approx(std::exp(loss)).epsilon(1e-4));
  CHECK(json["examples"] == ids.shape[0]);
}

TEST_CASE("program: the shipped model completes prompts, one at a time and many together") {
  const TemporaryFolder folder;
  const std::string model = (shipped / "veneer-tiny").string(), data = (folder / "data.jsonl").string();
  std::vector<std::string> rows = lines_of(file_text(shipped / "base.test.jsonl"));
  rows.resize(70);  // more than one batch
  std::string text;
  for (const std::string& row : rows) text += row + "\n";
  // Unused keys may have any value, and a skill that is not a text is ignored.
  text += R"({"prompt": "a", "completion": "b", "skill": "other", "id": 123456789012345678901234567890})"
          "\n"
          R"({"prompt": "a", "completion": "b", "skill": 7})"
          "\n";
  write_file(data, text);
  const Result result = run({"evaluate", "--model", model, "--data", data, "--generate", "--json"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const Json generated = parse_json(result.out, "stdout")["generated"];
  CHECK(generated["count"] == 72);
  CHECK(generated["exact_match"].get<double>() > 0.9);
  std::size_t in_skills = 0;
  for (const Json& skill : generated["skills"]) in_skills += skill["count"].get<std::size_t>();
  CHECK(in_skills == 71);
  CHECK(generated["skills"]["other"]["count"] == 1);

  const Json row = parse_json(rows.front(), "base.test.jsonl");
  const Result written = run({"generate", "--model", model, "--prompt", row["prompt"].get<std::string>()});
  CHECK(written.code == 0);
  CHECK(written.out == row["completion"].get<std::string>() + "\n");
  const std::vector<std::string> draw{"generate", "--model", model, "--prompt",         "a", "--temperature",
                                      "1.5",      "--top-k", "50",  "--max-new-tokens", "8", "--seed"};
  const auto drawn = [&](const std::string& seed) {
    std::vector<std::string> arguments = draw;
    arguments.push_back(seed);
    return run(arguments).out;
  };
  CHECK(drawn("1") == drawn("1"));
  CHECK(drawn("1") != drawn("2"));
}

TEST_CASE("program: a model is put into 4 bits, and an adapter merged there says what it costs, or is written dense") {
  const TemporaryFolder folder;
  const fs::path nf4 = test_data / "nf4";
  const std::string base = (nf4 / "llama/base").string(), packed = (nf4 / "llama/nf4_f32").string(),
                    adapter = (nf4 / "qlora/dora/final").string(), ids = (folder / "ids").string();
  const SafetensorsFile recorded(nf4 / "merge/dora/expected.safetensors");
  const TensorEntry& entry = recorded.at("input_ids");
  write_safetensors(ids, {{"input_ids", entry.dtype, entry.shape, entry.data}});
  const auto at = [&](const char* name) { return (folder / name).string(); };
  const auto logits = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"logits", "--ids", ids, "--out", at("logits")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Result result = run(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return floats(SafetensorsFile(at("logits")).at("logits"));
  };
  const Result quantised = run({"quantize", "--model", base, "--out", at("quantised")});
  INFO(quantised.err);
  REQUIRE(quantised.code == 0);
  CHECK(lines_of(quantised.out).size() == 14);
  CHECK_THAT(quantised.out, Catch::Contains("model.layers.0.mlp.down_proj.weight     0.09"));
  CHECK(logits({"--model", at("quantised")}) == logits({"--model", base, "--quant", "nf4"}));
  CHECK(logits({"--model", at("quantised")}) == logits({"--model", packed}));
  CHECK(run({"quantize", "--model", packed, "--out", at("again")}).code == 3);
  CHECK(run({"quantize", "--model", base, "--out", at("again"), "--blocksize", "48"}).code == 2);

  const std::vector<std::string> merge{"merge", "--model", packed, "--adapter", adapter, "--out"};
  const auto merged = [&](const char* name, std::vector<std::string> more) {
    std::vector<std::string> arguments = merge;
    arguments.push_back(at(name));
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  };
  const Result refused = merged("refused", {"--max-error", "0.05"});
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("max_error allows 0.05") && Catch::Contains("dequantize"));
  CHECK_FALSE(fs::exists(at("refused")));
  const Result lossy = merged("lossy", {});
  CHECK(lossy.code == 0);
  CHECK_THAT(lossy.err, Catch::Contains("14 weights quantised again, at a loss of up to 0.09"));
  CHECK(relative_distance(logits({"--model", at("lossy")}), floats(recorded.at("logits_requantised_merge"))) < 0.02);
  const std::vector<float> adapted = logits({"--model", packed, "--adapter", adapter});
  CHECK(merged("dense", {"--dequantize"}).code == 0);
  CHECK(relative_distance(logits({"--model", at("dense")}), adapted) < 0.02);
  const Json config = read_json(folder / "dense" / "config.json");
  CHECK_FALSE(config.contains("quantization_config"));
  CHECK(SafetensorsFile(folder / "dense/model.safetensors").at("model.layers.0.mlp.up_proj.weight").dtype ==
        Dtype::bf16);
  CHECK(merged("wide", {"--dequantize", "float32"}).code == 0);
  CHECK(relative_distance(logits({"--model", at("wide")}), adapted) < 1e-5);
}

TEST_CASE("program: inspect says what a path holds, env what the machine is") {
  const auto out = [](const fs::path& path) {
    const Result result = run({"inspect", path.string()});
    INFO(result.err);
    CHECK(result.code == 0);
    return result.out;
  };
  CHECK_THAT(out(model_path("qwen2-bias")), Catch::Contains("Qwen2ForCausalLM") && Catch::Contains("veneer"));
  CHECK_THAT(out(shipped / "veneer-tiny"), Catch::Contains("BF16") && Catch::Contains("<|end_of_text|>"));
  CHECK_THAT(out(test_data / "adapters" / "lora-qv"),
             Catch::Contains("v_proj, q_proj") && Catch::Contains("8 tensors"));
  CHECK_THAT(out(test_data / "adapters" / "dora"), Catch::Contains("DoRA") && Catch::Contains("PEFT, veneer"));
  CHECK_THAT(out(test_data / "adapters" / "adalora"), Catch::Contains("AdaLoRA") && Catch::Contains("4 at first"));
  CHECK_THAT(out(test_data / "adapters" / "ia3"), Catch::Contains("IA3") && Catch::Contains("PEFT, veneer"));
  CHECK_THAT(out(test_data / "adapters" / "vera"), Catch::Contains("VeRA") && Catch::Contains("PEFT, veneer"));
  CHECK_THAT(out(test_data / "adapters" / "pissa-raw"), Catch::Contains("PEFT, veneer"));
  const TemporaryFolder folder;
  fs::copy(test_data / "adapters" / "pissa-raw", folder / "fast");
  std::string config = read_text(folder / "fast" / "adapter_config.json", std::size_t{1} << 20);
  config.replace(config.find("\"pissa\""), 7, "\"pissa_niter_4\"");
  folder.file("fast/adapter_config.json", config);
  CHECK_THAT(out(folder / "fast"), Catch::Contains("not in veneer") && Catch::Contains("pissa_niter_4"));
  const fs::path tokenizers = test_data / "text" / "tokenizers";
  CHECK_THAT(out(tokenizers / "qwen2-tiny"), Catch::Contains("byte-level byte-pair"));
  CHECK_THAT(out(tokenizers / "spm-legacy-tiny"), Catch::Contains("over characters"));
  CHECK_THAT(out(tokenizers / "unigram-tiny"), Catch::Contains("unigram") && Catch::Contains("opens in"));
  CHECK_THAT(out(tokenizers / "unigram-tiny" / "tokenizer.model"), Catch::Contains("unigram"));
  CHECK_THAT(out(fs::path(model_path("llama-f16")) / "model.safetensors"),
             Catch::Contains("model.norm.weight") && Catch::Contains("F16"));
  const Result env = run({"env"});
  CHECK(env.code == 0);
  CHECK_THAT(env.out, Catch::Contains("processor") && Catch::Contains("CUDA"));
  CHECK(parse_json(run({"env", "--json"}).out, "stdout").contains("threads"));
}

}  // namespace program_test
#endif
