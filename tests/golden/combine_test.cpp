// SPDX-License-Identifier: Apache-2.0
/// Several adapters of one model as PEFT computes them: sums, mixed batches, combinations; export to plain LoRA.
#include <filesystem>
#include <map>
#include <set>

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace combine_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

constexpr double tolerance = 1e-5;
// A matmul of few rows sums in another order than one of many (backend/cpu/matmul.hpp), so the rows of an adapter
// equal those of the whole batch up to roundings of float.
constexpr double rounding = 2e-6;

struct Recorded {
  fs::path folder;
  Json facts;
  SafetensorsFile tensors;
  TokenBatch batch;
  std::vector<std::string> names;

  explicit Recorded(const std::string& name)
      : folder(test_data / "combine" / name),
        facts(read_json(folder / "expected.json")),
        tensors(folder / "expected.safetensors"),
        batch(token_batch(tensors.at("input_ids"), nullptr, nullptr)) {
    for (const auto& entry : json_member(facts, "adapters", name).items()) names.push_back(entry.key());
  }

  SeveralUnderTest model(bool four_bits = false) const {
    SeveralUnderTest several(test_data / json_text(facts, "base", folder.string()), four_bits);
    for (const std::string& name : names) several.load(name, folder / name);
    return several;
  }
  std::vector<float> logits(const std::string& what) const { return floats(tensors.at("logits." + what)); }
  std::vector<std::string> rows() const { return facts["mixed_batch_names"].get<std::vector<std::string>>(); }
};

/// Row `row` of a batch, alone.
TokenBatch row_of(const TokenBatch& batch, index_t row) {
  TokenBatch one{1, batch.length, {}, {batch.valid[static_cast<std::size_t>(row)]}, {}};
  one.ids.assign(batch.ids.begin() + row * batch.length, batch.ids.begin() + (row + 1) * batch.length);
  return one;
}

std::vector<float> row_of(const std::vector<float>& logits, index_t row, index_t rows) {
  const auto size = static_cast<std::ptrdiff_t>(logits.size()) / rows;
  return {logits.begin() + row * size, logits.begin() + (row + 1) * size};
}

/// s B A.
std::vector<float> change(const LoraFactors& factors) {
  const auto rank = static_cast<std::size_t>(factors.rank), in = factors.down.size() / rank;
  std::vector<float> product(factors.up.size() / rank * in);
  for (std::size_t i = 0; i < product.size(); ++i) {
    double sum = 0.0;
    for (std::size_t k = 0; k < rank; ++k)
      sum += static_cast<double>(factors.up[i / in * rank + k]) * static_cast<double>(factors.down[k * in + i % in]);
    product[i] = static_cast<float>(factors.scaling * sum);
  }
  return product;
}

CombineOptions options_of(const Json& combination) {
  CombineOptions options{.type = combination_named(combination["combination_type"].get<std::string>())};
  options.density = combination.value("density", 1.0);
  options.rank = combination.value("svd_rank", index_t{0});
  const bool frequency = combination.value("majority_sign_method", std::string()) == "frequency";
  options.majority_sign = frequency ? MajoritySign::frequency : MajoritySign::total;
  return options;
}

std::vector<WeightedAdapter> parts_of(const Json& combination) {
  std::vector<WeightedAdapter> parts;
  for (std::size_t i = 0; i < combination["adapters"].size(); ++i)
    parts.push_back({combination["adapters"][i].get<std::string>(), combination["weights"][i].get<double>()});
  return parts;
}

/// Compares every recorded tensor of a combination; returns their number.
int check_combination(const Recorded& recorded, const SeveralUnderTest& model, const Json& combination) {
  const auto name = combination["name"].get<std::string>();
  int compared = 0;
  for (const auto& entry : model.factors(name)) {
    const std::string& module = entry.first;
    const LoraFactors& found = entry.second;
    INFO(name << " " << module);
    CHECK(found.rank == combination["new_rank"].get<index_t>());
    CHECK(found.scaling == 1.0);
    const auto compare = [&](const std::string& what, const std::vector<float>& values) {
      const TensorEntry* tensor = recorded.tensors.find(name + "." + what + "." + module);
      if (tensor == nullptr) return;
      INFO(what);
      CHECK(relative_distance(values, floats(*tensor)) < tolerance);
      ++compared;
    };
    compare("lora_A", found.down);
    compare("lora_B", found.up);
    LoraFactors scaled = found;  // PEFT lets a combination inherit use_rslora: everything is sqrt(r) times as large
    if (recorded.folder.filename() == "two-rslora") scaled.scaling = std::sqrt(static_cast<double>(found.rank));
    compare("delta", change(scaled));
  }
  return compared;
}

}  // namespace

TEST_CASE("several adapters: alone, together and an adapter a row, the logits are PEFT's") {
  for (const std::string name : {"three", "two-rslora"}) {
    INFO(name);
    const Recorded recorded(name);
    const SeveralUnderTest model = recorded.model();
    for (const std::string& one : recorded.names) {
      INFO(one);
      CHECK(relative_distance(model.logits(one, recorded.batch), recorded.logits(one)) < tolerance);
    }
    CHECK(relative_distance(model.sum(recorded.names, recorded.batch), recorded.logits("sum_of_all")) < tolerance);
    CHECK(relative_distance(model.mixed(recorded.rows(), recorded.batch), recorded.logits("mixed_batch")) < tolerance);
  }
}

TEST_CASE("several adapters: a row of a mixed batch is what it is alone") {
  const Recorded recorded("three");
  for (const bool four_bits : {false, true}) {
    const SeveralUnderTest model = recorded.model(four_bits);
    const std::vector<std::string> rows = recorded.rows();
    const std::vector<float> mixed = model.mixed(rows, recorded.batch);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      INFO(rows[row] << " in row " << row << (four_bits ? ", 4 bits" : ""));
      const auto at = static_cast<index_t>(row), count = static_cast<index_t>(rows.size());
      const std::vector<float> together = row_of(model.logits(rows[row], recorded.batch), at, count);
      CHECK(relative_distance(row_of(mixed, at, count), together) < rounding);
      const std::vector<float> alone = model.logits(rows[row], row_of(recorded.batch, at));
      CHECK(relative_distance(row_of(mixed, at, count), alone) < rounding);
    }
    // If all rows have the same adapter, all matmuls are the same as with it alone.
    CHECK(model.mixed(std::vector<std::string>(5, "second"), recorded.batch) == model.logits("second", recorded.batch));
  }
}

TEST_CASE("several adapters: sequences of a mixed batch go on as they do alone") {
  const Recorded recorded("three");
  const SeveralUnderTest model = recorded.model();
  const std::vector<std::string> rows{"third", "__base__", "first"};
  const std::vector<std::vector<std::int32_t>> prompts{{5, 6, 7}, {9}, {11, 12, 13, 14}};
  const auto mixed = model.generate(rows, prompts);
  REQUIRE(mixed.size() == rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    INFO(rows[i]);
    CHECK(mixed[i] == model.generate({rows[i]}, {prompts[i]}).front());
  }
  CHECK_THROWS_WITH(model.generate({"first", "second"}, prompts), Catch::Contains("2 sequences"));
}

TEST_CASE("several adapters: there and back gives the same bits, and none gives those of the base") {
  const Recorded recorded("three");
  const SeveralUnderTest model = recorded.model();
  const std::vector<float> first = model.logits("first", recorded.batch);
  const std::vector<float> base = model.logits("__base__", recorded.batch);
  CHECK(model.logits("second", recorded.batch) != first);
  CHECK(model.sum({"first", "second"}, recorded.batch) != first);
  CHECK(model.logits("first", recorded.batch) == first);
  CHECK(model.sum({"first"}, recorded.batch) == first);
  CHECK(model.sum({}, recorded.batch) == base);
  CHECK(model.mixed(std::vector<std::string>(5, "__base__"), recorded.batch) == base);
  const SeveralUnderTest without(test_data / recorded.facts["base"].get<std::string>());
  CHECK(without.logits("__base__", recorded.batch) == base);
}

TEST_CASE("several adapters: each is written as the folder that it was read from") {
  const TemporaryFolder temporary;
  const Recorded recorded("three");
  const SeveralUnderTest model = recorded.model();
  for (const std::string& name : recorded.names) {
    model.save(name, temporary / name);
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json"}) {
      INFO(name << " " << file);
      CHECK(file_bytes(temporary / name / file) == file_bytes(recorded.folder / name / file));
    }
  }
}

TEST_CASE("several adapters: in a sum only the one that is named learns, under the names it has alone") {
  const Recorded recorded("three");
  const SeveralUnderTest model = recorded.model();
  const std::vector<std::string> alone = model.learning({}, "second");
  CHECK(alone.size() == 8);
  CHECK(model.learning(recorded.names, "second") == alone);
  CHECK(model.learning(recorded.names, "").empty());
  CHECK_THROWS_WITH(model.learning({"first"}, "second"), Catch::Contains("not in the sum"));
}

TEST_CASE("several adapters: every recorded combination has PEFT's factors and changes") {
  const std::map<std::string, std::size_t> combinations{{"three", 9}, {"two-rslora", 2}};
  for (const auto& [name, count] : combinations) {
    const Recorded recorded(name);
    SeveralUnderTest model = recorded.model();
    const Json& all = json_member(recorded.facts, "combinations", name);
    REQUIRE(all.size() == count);
    for (const Json& combination : all) {
      const auto title = combination["name"].get<std::string>();
      INFO(title);
      const AdapterPlan plan = model.combine(title, parts_of(combination), options_of(combination));
      REQUIRE(plan.modules.size() == combination["modules"].size());
      for (std::size_t i = 0; i < plan.modules.size(); ++i)
        CHECK(plan.modules[i].name == combination["modules"][i]["module"].get<std::string>());
      CHECK(check_combination(recorded, model, combination) >= static_cast<int>(plan.modules.size()));
    }
    if (name == "three") {
      const auto cat = model.combine("outputs", {{"first"}, {"second"}, {"third"}}, {.type = Combination::cat});
      CHECK(cat.modules.front().rank == 10);
      // The same sum in two orders, in float32.
      CHECK(relative_distance(model.logits("outputs", recorded.batch), recorded.logits("sum_of_all")) < tolerance);
    }
  }
}

TEST_CASE("several adapters: a sum merges into the weights that cat merges into") {
  const Recorded recorded("two-rslora");
  SeveralUnderTest model = recorded.model();
  model.combine("cat", {{"first"}, {"second"}}, {.type = Combination::cat});
  const NamedValues sum = model.merged({"first", "second"}), cat = model.merged({"cat"}), base = model.merged({});
  int changed = 0;
  for (const auto& [name, values] : sum) {
    INFO(name);
    CHECK(relative_distance(values, cat.at(name)) < 0.01);  // rounded to bfloat16: one step in the last place
    changed += values != base.at(name) ? 1 : 0;
  }
  CHECK(changed == 4);
}

TEST_CASE("export: every folder that is a low-rank term becomes plain LoRA with the same logits") {
  std::set<std::string> rewritten, refused;
  int exported = 0;
  for (const std::string& name : folders_with("adapters", "expected.safetensors")) {
    const fs::path folder = test_data / "adapters" / name;
    const fs::path base = test_data / json_text(read_json(folder / "expected.json"), "base", name);
    const SafetensorsFile tensors(folder / "expected.safetensors");
    const TokenBatch batch = token_batch(tensors.at("input_ids"), nullptr, nullptr);
    const TemporaryFolder temporary;
    SeveralUnderTest model(base);
    try {
      model.load("before", folder);
    } catch (const FormatError&) {
      continue;  // adapters_test.cpp has these
    }
    INFO(name);
    const Json config_of_base = read_json(base / "config.json");
    const bool resized = tensors.at("logits").shape.back() != config_of_base["vocab_size"];
    if (resized || name == "whole-embeddings") continue;  // contain the embedding itself: the program refuses these
    try {
      if (model.export_lora("before", temporary / "out")) rewritten.insert(name);
    } catch (const ArgumentError& error) {
      CHECK_THAT(error.what(), Catch::Contains("merge"));
      refused.insert(name);
      continue;
    }
    model.load("after", temporary / "out");
    CHECK(relative_distance(model.logits("after", batch), floats(tensors.at("logits"))) < tolerance);
    const Json config = read_json(temporary / "out" / "adapter_config.json");
    CHECK(config["peft_type"] == "LORA");
    CHECK(config["use_rslora"] == false);
    CHECK(config["rank_pattern"].empty());
    CHECK(config["alpha_pattern"].empty());
    if (rewritten.count(name) == 1) CHECK(config["r"].get<double>() == config["lora_alpha"].get<double>());
    for (const auto& [module, factors] : model.factors("after")) {
      CHECK(factors.rank == config["r"].get<index_t>());
      CHECK(factors.scaling == config["lora_alpha"].get<double>() / config["r"].get<double>());
    }
    ++exported;
  }
  CHECK(refused == std::set<std::string>{"dora", "dora-qwen2-bias", "dora-rslora-embedding", "ia3", "loftq",
                                         "lora-trainable-tokens", "olora-raw", "pissa-raw", "pissa-rslora-raw",
                                         "tokens-and-head", "tokens-tied", "tokens-tied-one-list", "tokens-two-lists"});
  CHECK(exported == 28);
  for (const char* one :
       {"adalora", "adalora-unpruned", "rslora", "rslora-patterns", "lora-all-linear-patterns", "vera"})
    CHECK(rewritten.count(one) == 1);
  CHECK(rewritten.count("lora-qv") == 0);
}

TEST_CASE("several adapters: DoRA has rows of its own in a mixed batch, and is no term of a sum") {
  const fs::path adapters = test_data / "adapters";
  const Json facts = read_json(adapters / "dora" / "expected.json");
  const SafetensorsFile tensors(adapters / "dora" / "expected.safetensors");
  const TokenBatch batch = token_batch(tensors.at("input_ids"), nullptr, nullptr);
  SeveralUnderTest model(test_data / json_text(facts, "base", "dora"));
  model.load("dora", adapters / "dora");
  const std::vector<float> mixed = model.mixed({"__base__", "dora"}, batch);
  CHECK(relative_distance(row_of(mixed, 0, 2), row_of(model.logits("__base__", batch), 0, 2)) < rounding);
  CHECK(relative_distance(row_of(mixed, 1, 2), row_of(model.logits("dora", batch), 1, 2)) < rounding);
  CHECK(relative_distance(row_of(mixed, 1, 2), row_of(floats(tensors.at("logits")), 1, 2)) < tolerance);
  CHECK_THROWS_WITH(model.sum({"dora"}, batch), Catch::Contains("no term of a sum"));
  CHECK_THROWS_WITH(model.combine("new", {{"dora"}}, {}), Catch::Contains("DoRA"));
}

TEST_CASE("several adapters: names and weights of the base are checked by name") {
  const fs::path adapters = test_data / "adapters";
  const auto base_of = [&](const std::string& name) {
    return test_data / json_text(read_json(adapters / name / "expected.json"), "base", name);
  };
  const SafetensorsFile tensors(adapters / "lora-modules-to-save" / "expected.safetensors");
  const TokenBatch batch = token_batch(tensors.at("input_ids"), nullptr, nullptr);
  SeveralUnderTest model(base_of("lora-modules-to-save"));
  model.load("head", adapters / "lora-modules-to-save");
  model.load("again", adapters / "lora-modules-to-save");
  CHECK_THROWS_WITH(model.load("head", adapters / "lora-modules-to-save"), Catch::Contains("already"));
  CHECK_THROWS_AS(model.load("__base__", adapters / "lora-modules-to-save"), ArgumentError);
  CHECK_THROWS_WITH(model.logits("other", batch), Catch::Contains("\"other\"") && Catch::Contains("head, again"));
  CHECK_THROWS_WITH(model.mixed({"head", "__base__"}, batch), Catch::Contains("trained"));
  CHECK_THROWS_WITH(model.sum({"head", "again"}, batch), Catch::Contains("modules_to_save"));
  CHECK_THROWS_WITH(model.sum({"head", "head"}, batch), Catch::Contains("twice"));
  CHECK(relative_distance(model.sum({"head"}, batch), floats(tensors.at("logits"))) < tolerance);
  CHECK(model.learning({"head"}, "").empty());
  CHECK(model.learning({"head"}, "head") == model.learning({}, "head"));
}

}  // namespace combine_test
