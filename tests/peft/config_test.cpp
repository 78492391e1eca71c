// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/config.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/io/peft_config.hpp"

#include "support/catch.hpp"

namespace config_test {

using namespace veneer;
using Catch::Contains;

namespace {

const std::string q0 = "model.layers.0.self_attn.q_proj";

/// The message of what `check` throws, or nothing.
std::string problem(const AdapterConfig& config) {
  try {
    check(config);
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "";
}

/// data/peft/matching.json: what PEFT's own functions say for many configurations and module names.
const Json& matching() {
  static const Json json = read_json(VENEER_TEST_DATA "/peft/matching.json");
  return json;
}

}  // namespace

TEST_CASE("scaling is alpha over the rank, or over its root") {
  for (index_t r = 1; r <= 64; ++r) {
    for (const double alpha : {-3.0, 0.0, 0.5, 16.0}) {
      CHECK(lora_scaling(r, alpha, false) * static_cast<double>(r) == Approx(alpha));
      CHECK(lora_scaling(r, alpha, true) * std::sqrt(static_cast<double>(r)) == Approx(alpha));
    }
  }
  CHECK(scaling({.use_rslora = true}, 16, 8) == 2);
  CHECK(scaling({}, 16, 8) == 0.5);
  CHECK_THROWS_AS(lora_scaling(0, 1, false), ArgumentError);
}

TEST_CASE("defaults are PEFT's") {
  const AdapterConfig config;
  CHECK(config.r == 8);
  CHECK(config.lora_alpha == 8);
  CHECK(config.lora_dropout == 0);
  CHECK(config.bias == LoraBias::none);
  CHECK(config.init_lora_weights == "true");
  CHECK(config.target_modules.kind == ModuleChoice::Kind::none);
  CHECK(problem(config).empty());
}

TEST_CASE("settings that do not go together are refused by name") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(problem({.r = 0}), Contains("r: found 0, expected a rank of at least 1"));
  CHECK_THAT(problem({.r = -2}), Contains("r: found -2"));
  CHECK_THAT(problem({.lora_alpha = nan}), Contains("lora_alpha"));
  CHECK_THAT(problem({.lora_dropout = 1.5}), Contains("lora_dropout"));
  CHECK_THAT(problem({.lora_dropout = -0.1}), Contains("lora_dropout"));
  CHECK_THAT(problem({.lora_dropout = nan}), Contains("lora_dropout"));
  CHECK_THAT(problem({.rank_pattern = {{"q_proj", 0}}}), Contains("rank_pattern: \"q_proj\": found 0"));
  CHECK_THAT(problem({.alpha_pattern = {{"q_proj", nan}}}), Contains("alpha_pattern: \"q_proj\""));
  CHECK_THAT(problem({.target_modules = ModuleChoice::regex("x"), .layers_to_transform = {{1}}}),
             Contains("layers_to_transform"));
  CHECK_THAT(problem({.target_modules = ModuleChoice::all_linear(), .layers_to_transform = {{1}}}),
             Contains("layers_to_transform"));
  CHECK_THAT(problem({.target_modules = ModuleChoice::regex("x"), .layers_pattern = {"layers"}}),
             Contains("layers_pattern"));
  CHECK_THAT(problem({.target_modules = {"x"}, .layers_pattern = {"layers"}}),
             Contains("together with layers_to_transform"));
  CHECK_THAT(problem({.exclude_modules = ModuleChoice::all_linear()}), Contains("exclude_modules"));
  CHECK_THAT(problem({.lora_bias = true, .init_lora_weights = "pissa"}), Contains("lora_bias"));
  CHECK_THAT(problem({.use_dora = true, .lora_bias = true}),
             Contains("lora_bias: does not work together with use_dora"));
  CHECK_THAT(problem({.init_lora_weights = "loftq"}), Contains("needs a loftq_config"));

  CHECK(problem({.lora_dropout = 1}).empty());
  CHECK(problem({.lora_alpha = -4}).empty());
  CHECK(problem({.lora_bias = true, .init_lora_weights = "false"}).empty());
  CHECK(problem({.init_lora_weights = "loftq", .loftq_config = LoftqConfig{}}).empty());
  CHECK(problem({.target_modules = {"x"}, .layers_to_transform = {{1}}, .layers_pattern = {"layers"}}).empty());
}

TEST_CASE("the names of initialisations are PEFT's") {
  for (const char* name : {"true", "false", "gaussian", "eva", "olora", "pissa", "pissa_niter_16", "corda", "loftq",
                           "orthogonal", "mica", "lora_ga"}) {
    CHECK(known_initialization(name));
  }
  for (const char* name :
       {"", "True", "kaiming", "pissa_niter_", "pissa_niter_x", "pissa_niter_-1", "pissa_niter_99999", "lora-ga"}) {
    CHECK_FALSE(known_initialization(name));
  }
}

TEST_CASE("the modules hit are those that PEFT hits") {
  const auto names = json_get<std::vector<std::string>>(matching(), "names", "matching.json");
  REQUIRE(matching()["targets"].size() >= 30);
  for (const Json& entry : matching()["targets"]) {
    INFO(dump_python(entry["config"], {.indent = -1}));
    const ModuleMatcher matcher(lora_fields(entry["config"], "matching.json"));
    std::vector<std::string> hits;
    for (const std::string& name : names) {
      if (matcher.targets(name, ModuleKind::linear)) hits.push_back(name);
    }
    CHECK(hits == json_get<std::vector<std::string>>(entry, "hits", "matching.json"));
  }
}

TEST_CASE("patterns choose rank and alpha as PEFT's do: the first in order that matches") {
  const auto names = json_get<std::vector<std::string>>(matching(), "names", "matching.json");
  REQUIRE(matching()["patterns"].size() >= 9);
  for (const Json& entry : matching()["patterns"]) {
    INFO(dump_python(entry["pattern"], {.indent = -1, .sort_keys = false}));
    AdapterConfig config{.r = 99, .lora_alpha = 98, .target_modules = {"x"}};
    for (const auto& pattern : entry["pattern"].get_ref<const Json::object_t&>()) {
      config.rank_pattern.emplace_back(pattern.first, pattern.second.get<index_t>());
      config.alpha_pattern.emplace_back(pattern.first, pattern.second.get<double>());
    }
    const ModuleMatcher matcher(config);
    for (std::size_t i = 0; i < names.size(); ++i) {
      INFO(names[i]);
      const Json& expected = entry["values"][i];
      CHECK(matcher.rank_for(names[i]) == (expected.is_null() ? 99 : expected.get<index_t>()));
      CHECK(matcher.alpha_for(names[i]) == (expected.is_null() ? 98 : expected.get<double>()));
    }
  }
}

TEST_CASE("all-linear takes linear modules, but not the head, an embedding or a norm") {
  const AdapterConfig config{.target_modules = ModuleChoice::all_linear(), .exclude_modules = {"k_proj"}};
  CHECK(targets(config, q0, ModuleKind::linear));
  CHECK_FALSE(targets(config, "model.layers.0.self_attn.k_proj", ModuleKind::linear));
  CHECK_FALSE(targets(config, "lm_head", ModuleKind::output_head));
  CHECK_FALSE(targets(config, "model.embed_tokens", ModuleKind::embedding));
  CHECK_FALSE(targets(config, "model.norm", ModuleKind::other));
  CHECK(targets({.target_modules = {"lm_head"}}, "lm_head", ModuleKind::output_head));
  CHECK(targets({.target_modules = {"embed_tokens"}}, "model.embed_tokens", ModuleKind::embedding));
}

TEST_CASE("one module at a time gives the same as a matcher") {
  const AdapterConfig config{.r = 4,
                             .lora_alpha = 6,
                             .target_modules = {"q_proj"},
                             .rank_pattern = {{"q_proj", 3}},
                             .alpha_pattern = {{"v_proj", 9}}};
  const ModuleMatcher matcher(config);
  CHECK(rank_for(config, q0) == 3);
  CHECK(alpha_for(config, q0) == 6);
  CHECK(matcher.scaling_for(q0) == 2);
  CHECK(matcher.scaling_for("v_proj") == 2.25);
  CHECK(matcher.config() == config);
  CHECK_THROWS_WITH(targets({}, q0, ModuleKind::linear), Contains("target_modules: not set"));
  CHECK_THROWS_AS(ModuleMatcher({.r = 0, .target_modules = {"q_proj"}}), ArgumentError);
}

TEST_CASE("modules saved in full match by the end of their name") {
  const ModuleMatcher matcher({.target_modules = {"q_proj"}, .modules_to_save = {{"norm", "lm_head"}}});
  CHECK(matcher.saved_in_full("lm_head"));
  CHECK(matcher.saved_in_full("model.norm"));
  CHECK(matcher.saved_in_full("model.layers.0.input_layernorm"));  // PEFT does not ask for a dot
  CHECK_FALSE(matcher.saved_in_full("model.embed_tokens"));
  CHECK_FALSE(ModuleMatcher({.target_modules = {"q_proj"}}).saved_in_full("lm_head"));
}

TEST_CASE("a name that is no pattern is found literally in a pattern map") {
  const AdapterConfig config{.target_modules = {"x"}, .rank_pattern = {{"block[0].q", 3}}};
  CHECK(rank_for(config, "block[0].q") == 3);
  CHECK(rank_for(config, "block0.q") == 3);  // as a pattern it means this
}

TEST_CASE("patterns that can't be read are refused by setting and text") {
  for (const char* pattern : {"(", "[a", "a{2", "*", "(?P<name>a)", "(?i)a", "(?<=a)b", "(a)\\1", "a{3,1}"}) {
    INFO(pattern);
    CHECK_THROWS_WITH(ModuleMatcher({.target_modules = ModuleChoice::regex(pattern)}),
                      Contains("target_modules: the regular expression \"") && Contains(pattern));
  }
  CHECK_THROWS_WITH(ModuleMatcher({.target_modules = {"x"}, .exclude_modules = ModuleChoice::regex("(")}),
                    Contains("exclude_modules"));
  CHECK_THROWS_WITH(ModuleMatcher({.target_modules = {"x"}, .modules_to_save = {{"("}}}), Contains("modules_to_save"));
  CHECK_THROWS_WITH(ModuleMatcher({.target_modules = {"x"}, .layers_to_transform = {{1}}, .layers_pattern = {"("}}),
                    Contains("layers_pattern"));
  CHECK_THROWS_WITH(ModuleMatcher({.target_modules = {"x"}, .rank_pattern = {{"(", 1}}}), Contains("rank_pattern"));
  CHECK_THROWS_WITH(ModuleMatcher({.target_modules = {"x"}, .alpha_pattern = {{"(", 1}}}), Contains("alpha_pattern"));
}

TEST_CASE("hostile patterns take no time and no stack") {
  const std::string name(300, 'a');
  const auto repeated = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  const std::vector<std::string> heavy{"(a*)*b",
                                       "(a+)+b",
                                       "(a|a)*b",
                                       "(a|aa)+b",
                                       "((a*)*)*b",
                                       ".*.*.*.*.*.*.*.*b",
                                       "(.*)*(.*)*(.*)*b",
                                       "(?=.*(?=.*(?=.*b)))a*b",
                                       repeated("(", 330) + "a" + repeated(")*", 330) + "b",
                                       repeated("a?", 490) + "b",
                                       repeated("(a|", 200) + "b" + repeated(")", 200) + "c",
                                       "(a{30}){30}b",
                                       repeated("a|", 499) + "b",
                                       repeated("[a]?", 249) + "b",
                                       repeated("(", 490) + "a" + repeated(")", 490),
                                       repeated(".*", 499)};
  for (const std::string& pattern : heavy) {  // in exponential time the test would not end
    INFO(pattern.substr(0, 60));
    const bool matches_all = pattern == heavy.back();
    CHECK(targets({.target_modules = ModuleChoice::regex(pattern)}, name + "!", ModuleKind::linear) == matches_all);
  }
  for (const std::string& pattern :
       {std::string(1001, 'a'), std::string("(a{1000}){1000}"), std::string("((a{50}){50}){50}"),
        std::string("a{99999999999999999999}"), repeated("(?=.*", 4) + repeated(")", 4), std::string("a\0b", 3)}) {
    INFO(pattern.substr(0, 60));
    CHECK_THROWS_AS(NamePattern(pattern, "target_modules"), ArgumentError);
  }
}

TEST_CASE("a layer number too large for a number matches no layer") {
  const AdapterConfig config{.target_modules = {"q_proj"}, .layers_to_transform = {{0, 999999999}}};
  CHECK_FALSE(targets(config, "model.layers.99999999999999999999.q_proj", ModuleKind::linear));
  CHECK_FALSE(targets(config, "model.layers.1000000000.q_proj", ModuleKind::linear));
  CHECK(targets(config, "model.layers.999999999.q_proj", ModuleKind::linear));
  CHECK(targets(config, "model.layers.0.q_proj", ModuleKind::linear));
}

}  // namespace config_test
