// SPDX-License-Identifier: Apache-2.0
/// \file compare_test.cpp
/// The program `compare` from the outside, on a model of a few thousand parameters and a few lines of the shipped
/// tasks: tables, pictures, known numbers. The full comparisons take minutes; their results are in docs/comparisons.md.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>

#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"

#include "compare/report.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace compare_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::compare;
using veneer::testing::TemporaryFolder;

TEST_CASE("compare: the standard error of a mean") {
  const Summary found = summary({2, 4, 4, 6});  // variance 8/3
  CHECK(found.mean == 4.0);
  CHECK(std::abs(found.error - std::sqrt(8.0 / 3.0 / 4.0)) < 1e-15);
  CHECK(summary({7, 7, 7}).error == 0.0);
  CHECK(shown(found, 1) == "4.0 ± 0.8");
  CHECK(shown(summary({7}), 2) == "7.00");
  CHECK(shown(summary({}), 2) == "-");
}

TEST_CASE("compare: a table has columns of even width, in letters") {
  Table table({"name", "value"});
  table.add({"a", "1.0 ± 0.5"});
  table.add({"longer", "2"});
  CHECK(table.text() ==
        "| name   |     value |\n"
        "| ------ | --------: |\n"
        "| a      | 1.0 ± 0.5 |\n"
        "| longer |         2 |\n");
}

#if defined(VENEER_COMPARE)

namespace {

const fs::path shipped = fs::path(VENEER_SOURCE_DIR) / "examples" / "data";

std::string file_text(const fs::path& path) { return read_text(path, std::size_t{1} << 26); }

/// Creates a folder like examples/data: one block of width 32, and eight lines of each file.
void make_small_data(const fs::path& data) {
  fs::create_directories(data / "veneer-tiny");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(shipped / "veneer-tiny" / name, data / "veneer-tiny" / name);
  Json config = read_json(shipped / "veneer-tiny" / "config.json");
  config["hidden_size"] = 32, config["intermediate_size"] = 64, config["num_hidden_layers"] = 1;
  config["num_attention_heads"] = 2, config["num_key_value_heads"] = 1, config["head_dim"] = 16;
  std::ofstream(data / "veneer-tiny" / "config.json") << config.dump();
  const std::string block = "model.layers.0.";
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes{
      {"model.embed_tokens.weight", {512, 32}},      {"model.norm.weight", {32}},
      {block + "input_layernorm.weight", {32}},      {block + "post_attention_layernorm.weight", {32}},
      {block + "self_attn.q_proj.weight", {32, 32}}, {block + "self_attn.k_proj.weight", {16, 32}},
      {block + "self_attn.v_proj.weight", {16, 32}}, {block + "self_attn.o_proj.weight", {32, 32}},
      {block + "mlp.gate_proj.weight", {64, 32}},    {block + "mlp.up_proj.weight", {64, 32}},
      {block + "mlp.down_proj.weight", {32, 64}}};
  std::vector<std::vector<float>> values;
  std::vector<TensorView> views;
  for (const auto& [name, shape] : shapes) {
    const std::size_t count = static_cast<std::size_t>(shape[0] * (shape.size() == 2 ? shape[1] : 1));
    values.emplace_back();
    for (std::size_t i = 0; i < count; ++i)
      values.back().push_back(shape.size() == 1 ? 1.0f : 0.2f * std::sin(static_cast<float>(i * i % 1009 + i)));
    views.push_back({name, Dtype::f32, shape, values.back().data()});
  }
  write_safetensors(data / "veneer-tiny" / "model.safetensors", views, {{"format", "pt"}});
  for (const auto& entry : fs::directory_iterator(shipped)) {
    if (entry.path().extension() != ".jsonl") continue;
    std::ifstream in(entry.path());
    std::ofstream out(data / entry.path().filename());
    std::string line;
    for (int i = 0; i < 8 && std::getline(in, line); ++i) out << line << "\n";
  }
}

struct Result {
  int code = -1;
  std::string out, err;
};

Result compare_program(const std::string& words, const fs::path& folder) {
  const std::string line = std::string("'") + VENEER_COMPARE + "' " + words + " >'" + (folder / "stdout").string() +
                           "' 2>'" + (folder / "stderr").string() + "'";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, file_text(folder / "stdout"), file_text(folder / "stderr")};
}

/// Returns the cells of a Markdown table, without surrounding blanks; the line below the head is skipped.
std::vector<std::vector<std::string>> cells_of(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ") || line.starts_with("| --")) continue;
    rows.emplace_back();
    std::istringstream parts(line.substr(1));
    for (std::string cell; std::getline(parts, cell, '|');) {
      const std::size_t first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
      rows.back().push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
    }
  }
  return rows;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// Returns the number at the start of a cell.
double number(const std::string& cell) { return std::stod(cell); }

const std::string short_run = " --steps 3 --seeds 2 --batch 2 --lines 4";

}  // namespace

TEST_CASE("compare parameters: the published counts") {
  const TemporaryFolder folder;
  const Result result = compare_program("parameters --out '" + folder.path().string() + "'", folder.path());
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto rows = cells_of(result.out);
  REQUIRE(rows.size() == 10);
  const auto row = [&](const std::string& model, const std::string& targets) {
    for (const auto& cells : rows) {
      if (cells[0] == model && cells[2] == targets) return cells;
    }
    return std::vector<std::string>(rows[0].size());
  };
  CHECK(row("Llama-2-7B", "q, v")[1] == "6,738,415,616");
  CHECK(row("Mistral-7B", "q, v")[1] == "7,241,732,096");
  CHECK(row("Llama-3-8B", "q, v")[1] == "8,030,261,248");
  CHECK(row("Llama-2-7B", "q, v")[4] == "4,194,304");
  CHECK(row("Llama-2-7B", "q, v")[7] == "0.0622 %");
  CHECK(row("Llama-2-7B", "q, v")[8] == "0.1243 %");
  CHECK(row("Llama-2-7B", "all linear")[5] == "39,976,960");
  CHECK(row("Llama-2-7B", "all linear")[8] == "0.5898 %");
  CHECK(row("Mistral-7B", "q, k, v, o")[5] == "13,631,488");
  CHECK(row("Mistral-7B", "q, k, v, o")[8] == "0.1879 %");
  CHECK(row("Mistral-7B", "all linear")[8] == "0.5758 %");
  CHECK(row("Llama-3-8B", "q, v")[8] == "0.0848 %");
  const std::string svg = file_text(folder / "compare_parameters.svg");
  CHECK(count(svg, "<circle") == 21);  // three curves of seven ranks
}

TEST_CASE("compare methods: a row a method, the same scores at any number of threads") {
  const TemporaryFolder folder;
  make_small_data(folder / "data");
  const std::string places =
      " --data '" + (folder / "data").string() + "' --out '" + folder.path().string() + "'" + short_run;
  const Result result = compare_program("methods" + places + " --threads 1", folder.path());
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto rows = cells_of(result.out);
  REQUIRE(rows.size() == 7);
  const std::vector<std::string> names{"none", "LoRA", "QLoRA", "DoRA", "AdaLoRA", "full"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(rows[i + 1][0] == names[i]);
    CHECK(rows[i + 1].size() == rows[0].size());
    CHECK(number(rows[i + 1][5]) > 0);  // prose
    if (i > 0) CHECK(number(rows[i + 1][7]) > 0);
  }
  CHECK(rows[2][7] == "1.00 ± 0.00");
  CHECK(rows[2][2] == "4,096");   // 8 * (32+32 + 32+16 + 32+16 + 32+32 + 3 * (32+64))
  CHECK(rows[6][2] == "25,696");  // every weight
  const std::string svg = file_text(folder / "compare_methods.svg");
  CHECK(svg.starts_with("<svg"));
  CHECK(count(svg, ">AdaLoRA<") == 2);
  const auto again = cells_of(compare_program("methods" + places + " --threads 2", folder.path()).out);
  REQUIRE(again.size() == rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t column = 0; column < 7; ++column) CHECK(again[i][column] == rows[i][column]);
  }
}

TEST_CASE("compare full, ranks, swap and tune: tables and pictures of the shape that docs/comparisons.md shows") {
  const TemporaryFolder folder;
  make_small_data(folder / "data");
  const std::string places =
      " --data '" + (folder / "data").string() + "' --out '" + folder.path().string() + "'" + short_run;
  const Result full = compare_program("full" + places, folder.path());
  INFO(full.err);
  REQUIRE(full.code == 0);
  const auto arms = cells_of(full.out);
  REQUIRE(arms.size() == 6);
  CHECK(arms[2][0] == "LoRA");
  CHECK(arms[5][0] == "full, 4 of 32 replayed");
  CHECK(number(arms[2][6]) < number(arms[3][6]));  // LoRA takes less memory than full training,
  CHECK(number(arms[2][7]) < number(arms[3][7]));  // and leaves a smaller file
  CHECK(count(file_text(folder / "compare_full.svg"), ">+ replay<") == 4);

  const Result ranks = compare_program("ranks" + places, folder.path());
  REQUIRE(ranks.code == 0);
  const auto by_rank = cells_of(ranks.out);
  REQUIRE(by_rank.size() == 8);
  CHECK(by_rank[1][0] == "1");
  CHECK(by_rank[7][0] == "64");
  CHECK(count(file_text(folder / "compare_ranks.svg"), "<circle") == 21);

  const Result swap = compare_program("swap" + places, folder.path());
  REQUIRE(swap.code == 0);
  CHECK(cells_of(swap.out).size() == 4);
  CHECK(swap.out.find(" us and 0 bytes") != std::string::npos);

  const Result tuned = compare_program("tune ranks" + places, folder.path());
  REQUIRE(tuned.code == 0);
  CHECK(count(tuned.out, "| chosen ") == 6);
  CHECK(compare_program("tune everything" + places, folder.path()).code == 2);
  CHECK(compare_program("ranks --data /nowhere", folder.path()).code == 1);
}

}  // namespace compare_test
#endif
