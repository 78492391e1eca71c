// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/peft_config.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/llama_config.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace peft_config_test {

using namespace veneer;
using Catch::Contains;
using veneer::testing::file_bytes;
namespace fs = std::filesystem;

namespace {

const fs::path adapters = fs::path(VENEER_TEST_DATA) / "adapters";

/// The folders of adapters that PEFT 0.21.2 wrote with the method LORA and options that are supported.
std::vector<fs::path> lora_folders() {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(adapters)) {
    const fs::path config = entry.path() / "adapter_config.json";
    if (!fs::exists(config)) continue;
    const Json json = read_json(config);
    if (json.value("peft_type", "") == "LORA" && json.value("peft_version", "") == "0.21.2") {
      folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

AdapterFile parse(const std::string& text) { return parse_adapter_config(parse_json(text, "a.json"), "a.json"); }

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

/// Returns a file with one key in addition to the required ones.
std::string with(const std::string& key_and_value) {
  return "{\"peft_type\":\"LORA\",\"target_modules\":[\"q_proj\"]," + key_and_value + "}";
}

/// The modules of the reference's little models that can be adapted, with their kinds.
std::vector<std::pair<std::string, ModuleKind>> modules_of(index_t layers) {
  std::vector<std::pair<std::string, ModuleKind>> modules{{"model.embed_tokens", ModuleKind::embedding}};
  for (index_t i = 0; i < layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      modules.emplace_back(layer + name, ModuleKind::linear);
    }
    modules.emplace_back(layer + "input_layernorm", ModuleKind::other);
    modules.emplace_back(layer + "post_attention_layernorm", ModuleKind::other);
  }
  modules.emplace_back("model.norm", ModuleKind::other);
  modules.emplace_back("lm_head", ModuleKind::output_head);
  return modules;
}

}  // namespace

TEST_CASE("read and written again, PEFT's files keep every byte") {
  const std::vector<fs::path> folders = lora_folders();
  REQUIRE(folders.size() >= 29);
  for (const fs::path& folder : folders) {
    INFO(folder.filename().string());
    const AdapterFile file = read_adapter_config(folder / "adapter_config.json");
    CHECK(file.warnings.empty());
    CHECK(file.peft_type == "LORA");
    CHECK(adapter_config_json(file.config, &file.raw) == file_bytes(folder / "adapter_config.json"));
  }
}

TEST_CASE("the modules, ranks and scalings are those that PEFT gave the same adapter") {
  int modules = 0;
  for (const fs::path& folder : lora_folders()) {
    if (!fs::exists(folder / "expected.json")) continue;
    INFO(folder.filename().string());
    const Json expected = read_json(folder / "expected.json");
    const LlamaConfig model =
        read_llama_config(fs::path(VENEER_TEST_DATA) / expected["base"].get<std::string>() / "config.json").config;
    const ModuleMatcher matcher(read_adapter_config(folder / "adapter_config.json").config);
    std::size_t next = 0;
    for (const auto& entry : modules_of(model.num_hidden_layers)) {
      if (!matcher.targets(entry.first, entry.second)) continue;
      REQUIRE(next < expected["modules"].size());
      const Json& module_expected = expected["modules"][next++];
      CHECK(entry.first == module_expected["module"].get<std::string>());
      CHECK(matcher.rank_for(entry.first) == module_expected["rank"].get<index_t>());
      CHECK(matcher.alpha_for(entry.first) == Approx(module_expected["alpha"].get<double>()));
      CHECK(matcher.scaling_for(entry.first) == Approx(module_expected["scaling"].get<double>()).epsilon(1e-12));
      ++modules;
    }
    CHECK(next == expected["modules"].size());
  }
  CHECK(modules > 100);
}

TEST_CASE("a configuration of one's own is written as PEFT writes it") {
  for (const Json& entry : read_json(fs::path(VENEER_TEST_DATA) / "peft/written.json")) {
    INFO(dump_python(entry["arguments"], {.indent = -1}));
    std::string expected = entry["file"].get<std::string>();
    const std::string before =
        "\"inference_mode\": false";  // PEFT's model sets it when it saves, the bare configuration does not
    expected.replace(expected.find(before), before.size(), "\"inference_mode\": true");
    CHECK(adapter_config_json(lora_fields(entry["arguments"], "written.json")) == expected);
  }
}

TEST_CASE("reading what was written gives the same settings") {
  const AdapterConfig config{.r = 3,
                             .lora_alpha = 4.5,
                             .lora_dropout = 0.05,
                             .target_modules = {"q_proj", "v_proj"},
                             .exclude_modules = ModuleChoice::regex(".*\\.0\\..*"),
                             .bias = LoraBias::all,
                             .use_rslora = true,
                             .use_dora = true,
                             .modules_to_save = {{"lm_head"}},
                             .init_lora_weights = "gaussian",
                             .layers_to_transform = {{0, 2}},
                             .layers_pattern = {"layers"},
                             .rank_pattern = {{"z", 4}, {"a", 2}},
                             .alpha_pattern = {{"z", 4}, {"a", 2.5}},
                             .task_type = "CAUSAL_LM",
                             .base_model_name_or_path = "models/é",
                             .revision = "main",
                             .inference_mode = true};
  const std::string text = adapter_config_json(config);
  CHECK(parse(text).config == config);  // the order of the patterns too
  CHECK(adapter_config_json(parse(text).config, nullptr) == text);
  CHECK(text.find("\"z\": 4") < text.find("\"a\": 2"));
  CHECK(text.back() == '}');
}

TEST_CASE("absent keys take the defaults, and the type of the adapter must be there") {
  const AdapterFile file = parse(R"({"peft_type": "LORA"})");
  CHECK(file.config == AdapterConfig{});
  CHECK(file.warnings.empty());
  CHECK(error_of("{}") == "a.json: the key \"peft_type\" is missing");
  CHECK(error_of(R"({"peft_type": null})") == "a.json: \"peft_type\": expected a text, found null");
  CHECK_THAT(error_of("[]"), Contains("expected an object, found an array"));
}

TEST_CASE("the forms of each key") {
  CHECK(parse(with("\"lora_alpha\": 4.5")).config.lora_alpha == 4.5);
  CHECK(parse(with("\"lora_dropout\": null")).config.lora_dropout == 0);
  CHECK(parse(R"({"peft_type":"LORA","target_modules":"All-Linear"})").config.target_modules ==
        ModuleChoice::all_linear());
  CHECK(parse(R"({"peft_type":"LORA","target_modules":"q.*"})").config.target_modules == ModuleChoice::regex("q.*"));
  CHECK(parse(R"({"peft_type":"LORA","target_modules":null})").config.target_modules == ModuleChoice());
  CHECK(parse(R"({"peft_type":"LORA","target_modules":[]})").config.target_modules.kind == ModuleChoice::Kind::names);
  CHECK(parse(with("\"exclude_modules\": \"all-linear\"")).config.exclude_modules == ModuleChoice::regex("all-linear"));
  CHECK(parse(with("\"init_lora_weights\": false")).config.init_lora_weights == "false");
  CHECK(parse(with("\"init_lora_weights\": \"pissa_niter_4\"")).config.init_lora_weights == "pissa_niter_4");
  CHECK(*parse(with("\"layers_to_transform\": 3")).config.layers_to_transform == std::vector<index_t>{3});
  CHECK(parse(with("\"layers_to_transform\": [1], \"layers_pattern\": \"h\"")).config.layers_pattern ==
        std::vector<std::string>{"h"});
  CHECK(parse(with("\"rank_pattern\": null")).config.rank_pattern.empty());
  CHECK(parse(with("\"bias\": \"lora_only\"")).config.bias == LoraBias::lora_only);
  const AdapterFile loftq =
      parse(with("\"init_lora_weights\": \"loftq\", \"loftq_config\": {\"loftq_bits\": 4, \"loftq_iter\": 5}"));
  CHECK(loftq.config.loftq_config->loftq_iter == 5);
}

TEST_CASE("values that PEFT refuses too are refused with file and key") {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"\"r\": 0", "a.json: r: found 0"},
      {"\"r\": -2", "a.json: r: found -2"},
      {"\"r\": null", "\"r\": expected an integer, found null"},
      {"\"r\": 2.0", "\"r\": expected an integer, found the number 2.0"},
      {"\"r\": \"8\"", "\"r\": expected an integer, found the text \"8\""},
      {"\"lora_alpha\": \"sixteen\"", "\"lora_alpha\": expected a number, found the text \"sixteen\""},
      {"\"lora_alpha\": null", "\"lora_alpha\": expected a number, found null"},
      {"\"lora_dropout\": 2", "lora_dropout: found 2"},
      {"\"bias\": \"some\"", "\"bias\": found \"some\", expected none, all or lora_only"},
      {"\"use_dora\": 1", "\"use_dora\": expected true or false"},
      {"\"exclude_modules\": 5", "\"exclude_modules\": expected a list, found the number 5"},
      {"\"exclude_modules\": [5]", "\"exclude_modules\"[0]: expected a text"},
      {"\"rank_pattern\": [1]", "\"rank_pattern\": expected an object, found an array"},
      {"\"rank_pattern\": {\"a\": 1.5}", "\"rank_pattern\": \"a\": expected an integer"},
      {"\"rank_pattern\": {\"a\": 0}", "rank_pattern: \"a\": found 0"},
      {"\"alpha_pattern\": {\"a\": true}", "\"alpha_pattern\": \"a\": expected a number, found true"},
      {"\"layers_to_transform\": \"x\"", "\"layers_to_transform\": expected an integer"},
      {"\"layers_pattern\": \"h\"", "layers_pattern: has a meaning together with layers_to_transform only"},
      {"\"lora_bias\": true, \"use_dora\": true", "lora_bias: does not work together with use_dora"},
      {"\"lora_bias\": true, \"init_lora_weights\": \"pissa\"",
       "lora_bias: works with init_lora_weights true or false only"},
      {"\"init_lora_weights\": \"loftq\"", "init_lora_weights: loftq needs a loftq_config"},
      {"\"init_lora_weights\": 3", "\"init_lora_weights\": expected a text"},
  };
  for (const auto& entry : cases) {
    INFO(entry.first);
    CHECK_THAT(error_of(with(entry.first)), Contains(entry.second) && Contains("a.json: "));
  }
  CHECK_THAT(error_of(R"({"peft_type":"LORA","target_modules":"q.*","layers_to_transform":[1]})"),
             Contains("layers_to_transform"));
  CHECK_THAT(error_of(R"({"peft_type":"LORA","target_modules":{"q":1}})"),
             Contains("\"target_modules\": expected a list, found an object"));
}

TEST_CASE("methods that are not there are refused by their name") {
  for (const char* type : {"PREFIX_TUNING", "LOHA", "lora", "LoRA", ""}) {
    CHECK_THAT(error_of("{\"peft_type\":\"" + std::string(type) + "\"}"),
               Contains("\"peft_type\" is \"" + std::string(type) + "\", expected one of LORA, ADALORA, IA3, VERA"));
  }
}

TEST_CASE("the settings of other methods are read, written and checked") {
  const AdapterFile adalora = read_adapter_config(adapters / "adalora/adapter_config.json");
  const auto& budget = std::get<AdaLora>(adalora.config.method);
  CHECK(budget.init_r == 4);
  CHECK(budget.target_r == 1);
  CHECK(budget.total_step == 16);
  REQUIRE(budget.rank_pattern->size() == 14);
  CHECK(budget.rank_pattern->front().second == std::vector<bool>{true, true, true, true});
  CHECK(adalora.config.rank_pattern.empty());
  CHECK(adalora.warnings.empty());
  const AdapterFile vera = read_adapter_config(adapters / "vera/adapter_config.json");
  CHECK(std::get<Vera>(vera.config.method).r == 6);
  CHECK(std::get<Vera>(vera.config.method).projection_prng_key == 11);
  const AdapterFile ia3 = read_adapter_config(adapters / "ia3/adapter_config.json");
  CHECK(std::get<Ia3>(ia3.config.method).feedforward_modules == ModuleChoice{"down_proj"});

  const auto feedforward = [&](const ModuleChoice& targets) {
    return std::get<Ia3>(parse(adapter_config_json({.target_modules = targets, .method = Ia3{}})).config.method)
        .feedforward_modules;
  };
  CHECK(feedforward({"k_proj", "mlp.down_proj"}) == ModuleChoice{"mlp.down_proj"});
  CHECK(feedforward({"k_proj"}).names.empty());
  CHECK_THAT(adapter_config_json({.target_modules = {"k_proj"}, .method = Ia3{}}),
             Contains("\"feedforward_modules\": []"));
  CHECK(feedforward(ModuleChoice::all_linear()) == ModuleChoice{"down_proj"});

  AdapterConfig fresh{.target_modules = {"q_proj"}, .task_type = "CAUSAL_LM", .method = Vera{.r = 3}};
  const AdapterFile again = parse(adapter_config_json(fresh));
  CHECK(again.config.method == fresh.method);
  CHECK(again.warnings.empty());
  fresh.bias = LoraBias::lora_only;
  CHECK_THAT(adapter_config_json(fresh), Contains("\"bias\": \"vera_only\"") && !Contains("lora_alpha"));
  CHECK(parse(adapter_config_json(fresh)).config.bias == LoraBias::lora_only);

  CHECK_THAT(error_of(R"({"peft_type":"ADALORA","init_r":4,"target_r":2})"), Contains("total_step"));
  CHECK_THAT(error_of(R"({"peft_type":"ADALORA","init_r":4,"target_r":4,"total_step":9})"), Contains("target_r"));
  CHECK_THAT(error_of(R"({"peft_type":"ADALORA","init_r":4,"target_r":2,"total_step":9,"tinit":5,"tfinal":4})"),
             Contains("tinit, tfinal: 5"));
  CHECK_THAT(error_of(R"({"peft_type":"ADALORA","init_r":4,"target_r":2,"total_step":9,"beta1":1.0})"),
             Contains("beta1"));
  CHECK_THAT(error_of(R"({"peft_type":"ADALORA","init_r":2,"target_r":1,"total_step":9,"rank_pattern":{"a":[true]}})"),
             Contains("rank_pattern") && Contains("init_r, 2"));
  CHECK_THAT(error_of(R"({"peft_type":"VERA","r":0})"), Contains("r: found 0"));
  CHECK_THAT(error_of(R"({"peft_type":"IA3","init_ia3_weights":1})"), Contains("init_ia3_weights"));
}

TEST_CASE("options that change the function and are not supported are refused by name") {
  const std::vector<std::pair<const char*, const char*>> active{{"layer_replication", "[[0, 2], [1, 2]]"},
                                                                {"alora_invocation_tokens", "[1, 2]"},
                                                                {"use_qalora", "true"},
                                                                {"megatron_config", "{\"a\": 1}"},
                                                                {"target_parameters", "[\"experts.w\"]"},
                                                                {"velora_config", "{\"a\": 1}"},
                                                                {"arrow_config", "{\"a\": 1}"},
                                                                {"use_bdlora", "{\"a\": 1}"},
                                                                {"kasa_config", "{\"a\": 1}"},
                                                                {"monteclora_config", "{\"a\": 1}"},
                                                                {"enable_lora", "[true, false, true]"}};
  for (const auto& entry : active) {
    INFO(entry.first);
    const std::string key = "\"" + std::string(entry.first) + "\"";
    CHECK_THAT(error_of(with(key + ": " + entry.second)), Contains(key + " is ") && Contains("is not supported"));
    CHECK(error_of(with(key + ": null")) == "no error");
    CHECK(error_of(with(key + ": false")) == "no error");
    CHECK(error_of(with(key + ": []")) == "no error");
    CHECK(error_of(with(key + ": {}")) == "no error");
  }
  CHECK_THAT(error_of(with("\"ensure_weight_tying\": true, \"modules_to_save\": [\"lm_head\"]")),
             Contains("ensure_weight_tying"));
}

TEST_CASE("tokens that train are a list, or lists by module, of integers") {
  using Tokens = PatternMap<std::vector<index_t>>;
  const auto tokens = [](const std::string& value) {
    return parse(with("\"trainable_token_indices\": " + value)).config.trainable_token_indices;
  };
  CHECK(tokens("[3, 7]") == Tokens{{"", {3, 7}}});
  CHECK(tokens("{\"lm_head\": [1], \"embed_tokens\": [3, 2]}") == Tokens{{"lm_head", {1}}, {"embed_tokens", {3, 2}}});
  CHECK_FALSE(tokens("null").has_value());
  for (const char* bad : {"3", "\"a\"", "[1.5]", "[\"a\"]", "{\"a\": 1}", "true"}) {
    INFO(bad);
    CHECK_THAT(error_of(with("\"trainable_token_indices\": " + std::string(bad))), Contains("trainable_token_indices"));
  }
}

TEST_CASE("unknown keys give a warning, are kept and written back in their place") {
  const std::string text =
      with("\"field_of_the_future\": {\"b\": 1, \"a\": 2}, \"runtime_config\": null, \"lora_alpha\": 8.0");
  const AdapterFile file = parse(text);
  REQUIRE(file.warnings.size() == 2);
  CHECK_THAT(file.warnings[0], Contains("a.json: the unknown key \"field_of_the_future\" is ignored"));
  const std::string out = adapter_config_json(file.config, &file.raw);
  CHECK_THAT(out,
             Contains("  \"field_of_the_future\": {\n    \"b\": 1,\n    \"a\": 2\n  },\n  \"inference_mode\": true,"));
  CHECK_THAT(out, Contains("\"lora_alpha\": 8.0,"));  // the form of the file
  CHECK_THAT(adapter_config_json(file.config), Contains("\"lora_alpha\": 8,"));

  AdapterConfig changed = file.config;
  changed.lora_alpha = 16;
  changed.r = 2;
  CHECK_THAT(adapter_config_json(changed, &file.raw),
             Contains("\"lora_alpha\": 16,") && Contains("\"r\": 2,") && Contains("field_of_the_future"));
  CHECK_THROWS_AS(adapter_config_json({.r = 0}), ArgumentError);

  CHECK(parse(with("\"init_lora_weights\": \"of_the_future\"")).warnings.size() == 1);
  const AdapterFile unused = parse(with("\"loftq_config\": {\"loftq_bits\": 4}"));
  CHECK(unused.warnings.size() == 1);
  CHECK_FALSE(unused.config.loftq_config.has_value());
}

TEST_CASE("files of PEFT's first releases are read") {
  const AdapterFile file =
      parse(R"({"base_model_name_or_path": "m", "bias": "none", "enable_lora": null, "fan_in_fan_out": false,
    "inference_mode": true, "lora_alpha": 4, "lora_dropout": 0.05, "merge_weights": false, "modules_to_save": null,
    "peft_type": "LORA", "r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"})");
  CHECK(file.config.r == 2);
  CHECK(file.config.lora_alpha == 4);
  CHECK(file.config.target_modules == ModuleChoice{"q_proj", "v_proj"});
  CHECK(file.warnings.size() == 2);
}

TEST_CASE("a file with a key twice, or no file, is refused") {
  const veneer::testing::TemporaryFolder folder;
  CHECK_THROWS_WITH(read_adapter_config(folder.file("a.json", with("\"r\": 3, \"r\": 2"))),
                    Contains("\"r\" is given twice"));
  CHECK_THROWS_AS(read_adapter_config(folder / "absent.json"), IoError);
}

}  // namespace peft_config_test
