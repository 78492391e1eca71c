// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/llama_config.hpp"

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace llama_config_test {

using namespace veneer;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

const fs::path data = VENEER_TEST_DATA;

LlamaConfig model(const std::string& name) { return read_llama_config(data / "models" / name / "config.json").config; }

/// A small model as JSON, with keys replaced or added.
Json small(const std::string& changes = "{}") {
  Json json = parse_json(
      R"({"model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2})",
      "small");
  json.update(parse_json(changes, "changes"));
  return json;
}

LlamaConfig read(const Json& json) { return parse_llama_config(json, "c.json").config; }

std::string error_of(const Json& json) {
  try {
    parse_llama_config(json, "c.json");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

Json without(const char* key) {
  Json json = small();
  json.erase(key);
  return json;
}

/// The largest distance of two lists, relative to each value.
double distance(const std::vector<float>& values, const Json& expected) {
  if (values.size() != expected.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double exact = expected[i].get<double>();
    worst = std::max(worst, std::abs(static_cast<double>(values[i]) - exact) / exact);
  }
  return worst;
}

}  // namespace

TEST_CASE("a model's configuration is the same in the forms of transformers 4 and 5") {
  const auto same = [](const char* old_form, const char* new_form) {
    const LlamaConfig a = model(old_form);
    const LlamaConfig b = model(new_form);
    CHECK(a == b);
    CHECK(inverse_frequencies(a) == inverse_frequencies(b));
  };
  same("llama-linear-rope-old-config", "llama-linear-rope-biases");
  same("llama3-rope-old-config", "llama-gqa-llama3rope-sharded");
}

TEST_CASE("the reference's models are read as they are") {
  const LlamaConfig gqa = model("llama-gqa-llama3rope-sharded");
  CHECK(gqa.hidden_size == 64);
  CHECK(gqa.num_key_value_heads == 2);
  CHECK(gqa.head_dim == 16);
  CHECK(gqa.rope.type == "llama3");
  CHECK(gqa.rope.original_max_position_embeddings == 64);
  CHECK(gqa.rms_norm_eps == 1e-5);
  CHECK(gqa.bos_token_ids == std::vector<index_t>{1});
  CHECK(gqa.eos_token_ids == std::vector<index_t>{2, 3});
  CHECK(gqa.window == std::vector<index_t>{0, 0});
  CHECK_FALSE((gqa.qkv_bias || gqa.o_bias || gqa.mlp_bias || gqa.tie_word_embeddings));
  CHECK_FALSE(gqa.pad_token_id.has_value());

  const LlamaConfig biases = model("llama-linear-rope-biases");
  CHECK((biases.qkv_bias && biases.o_bias && biases.mlp_bias));
  CHECK(biases.rope.factor == 4);

  const LlamaConfig tied = model("llama-tied-bf16");
  CHECK(tied.tie_word_embeddings);
  CHECK(tied.dtype == "bfloat16");
  CHECK(model("llama-f16").dtype == "float16");
  CHECK(model("llama-f16").head_dim == 16);  // not hidden_size / heads

  const LlamaConfig mistral = model("mistral-swa");
  CHECK(mistral.model_type == "mistral");
  CHECK(mistral.architecture == "MistralForCausalLM");
  CHECK(mistral.window == std::vector<index_t>{8, 8});
  CHECK_FALSE(mistral.qkv_bias);

  const LlamaConfig qwen = model("qwen2-bias");
  CHECK(qwen.qkv_bias);
  CHECK_FALSE((qwen.o_bias || qwen.mlp_bias));
  CHECK(qwen.window == std::vector<index_t>{0, 0});
  CHECK(qwen.rope.theta == 1000000);
  CHECK(qwen.bos_token_ids.empty());
  CHECK(model("qwen2-mixed-window").window == std::vector<index_t>{0, 6, 6});
}

TEST_CASE("the parameters are as many as the models have") {
  const std::vector<std::pair<const char*, index_t>> counts{
      {"llama-f16", 37024}, {"llama-gqa-llama3rope-sharded", 133440}, {"mistral-swa", 51504}};
  for (const auto& entry : counts) CHECK(parameter_count(model(entry.first)) == entry.second);
  const auto published = [](index_t vocabulary, index_t inner, index_t key_value_heads) {
    LlamaConfig config;
    config.vocab_size = vocabulary;
    config.hidden_size = 4096;
    config.intermediate_size = inner;
    config.num_hidden_layers = 32;
    config.num_attention_heads = 32;
    config.num_key_value_heads = key_value_heads;
    config.head_dim = 128;
    return parameter_count(config);
  };
  CHECK(published(32000, 11008, 32) == 6738415616);  // Llama 2 7B
  CHECK(published(32000, 14336, 8) == 7241732096);   // Mistral 7B
  CHECK(published(128256, 14336, 8) == 8030261248);  // Llama 3 8B
  LlamaConfig huge = model("llama-f16");
  huge.hidden_size = huge.intermediate_size = huge.vocab_size = index_t{1} << 31;
  huge.num_hidden_layers = 10000;
  CHECK_THROWS_AS(parameter_count(huge), OverflowError);
}

TEST_CASE("rotary frequencies are those of transformers") {
  for (const char* name : {"default", "linear", "llama3-1b", "llama3-8b", "yarn"}) {
    INFO(name);
    const Json expected = read_json(data / "rope" / (std::string(name) + ".json"));
    Json json = small();
    json.update(expected["config"]);
    const LlamaConfig config = read(json);
    const Json& frequencies = expected["inverse_frequencies"][0];
    CHECK(distance(inverse_frequencies(config), frequencies["inv_freq"]) < 1e-6);
    CHECK(attention_factor(config) == Approx(frequencies["attention_factor"].get<double>()).epsilon(1e-12));
  }
  const Json options = read_json(data / "rope/options.json");
  REQUIRE(options.size() >= 13);
  for (const Json& entry : options) {
    INFO(dump_python(entry["config"]["rope_parameters"], {.indent = -1}));
    const LlamaConfig config = read(entry["config"]);
    CHECK(distance(inverse_frequencies(config), entry["inv_freq"]) < 1e-6);
    CHECK(attention_factor(config) == Approx(entry["attention_factor"].get<double>()).epsilon(1e-12));
  }
}

TEST_CASE("what can't be computed is refused by its name") {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"gpt-neox", "\"model_type\" is \"gpt_neox\", another architecture"},
      {"mixtral", "\"model_type\" is \"mixtral\", another architecture"},
      {"llama-dynamic", "the rope type \"dynamic\" is not supported"},
      {"llama-dynamic-old", "rope_scaling: the rope type \"dynamic\" is not supported"},
      {"llama-longrope", "the rope type \"longrope\" is not supported"},
      {"llama-unknown-rope", "the rope type \"spiral\" is not supported"},
      {"llama-gelu", "\"hidden_act\": \"gelu\" is not supported"},
      {"llama-gptq", "quantised with the text \"gptq\""},
      {"llama-heads-do-not-divide", "5 query heads can't share 2 key/value heads"},
      {"llama-no-hidden-size", "the key \"hidden_size\" is missing"}};
  for (const auto& entry : cases) {
    INFO(entry.first);
    const fs::path path = data / "models-refused" / entry.first / "config.json";
    CHECK_THROWS_WITH(read_llama_config(path), Contains(entry.second) && Contains(path.string()));
    CHECK_THROWS_AS(read_llama_config(path), FormatError);
  }
  // yarn is computed, so the file that a reader without it refuses is read.
  const LlamaConfig yarn = read_llama_config(data / "models-refused/llama-yarn/config.json").config;
  CHECK(yarn.rope.type == "yarn");
  CHECK(yarn.rope.original_max_position_embeddings == 128);
}

TEST_CASE("defaults are those of the model type") {
  CHECK(read(without("num_key_value_heads")).num_key_value_heads == 4);
  CHECK(read(small(R"({"num_key_value_heads": null})")).num_key_value_heads == 4);
  Json mistral = small(R"({"model_type": "mistral", "num_attention_heads": 16})");
  mistral.erase("num_key_value_heads");
  CHECK(read(mistral).num_key_value_heads == 8);
  CHECK(read(mistral).window == std::vector<index_t>{4096, 4096});
  CHECK(read(mistral).max_position_embeddings == 131072);
  mistral["sliding_window"] = nullptr;
  mistral["num_key_value_heads"] = nullptr;
  CHECK(read(mistral).num_key_value_heads == 16);
  CHECK(read(mistral).window == std::vector<index_t>{0, 0});
  Json qwen = small(R"({"model_type": "qwen2", "num_attention_heads": 32})");
  qwen.erase("num_key_value_heads");
  CHECK(read(qwen).num_key_value_heads == 32);
  CHECK(read(qwen).max_position_embeddings == 32768);

  const LlamaConfig config = read(small());
  CHECK(config.max_position_embeddings == 2048);
  CHECK(config.rms_norm_eps == 1e-6);
  CHECK(config.rope == RopeConfig{});
  CHECK(config.dtype == "float32");
  CHECK(config.head_dim == 16);
  CHECK(config.architecture == "LlamaForCausalLM");
  Json by_architecture = without("model_type");
  by_architecture["architectures"] = {"Qwen2ForCausalLM"};
  CHECK(read(by_architecture).model_type == "qwen2");
}

TEST_CASE("windows follow the rules of each model type") {
  CHECK(read(small(R"({"sliding_window": 5})")).window == std::vector<index_t>{0, 0});  // llama has none
  CHECK(read(small(R"({"model_type": "mistral", "sliding_window": 5})")).window == std::vector<index_t>{5, 5});
  CHECK(read(small(R"({"model_type": "qwen2", "sliding_window": 5})")).window == std::vector<index_t>{0, 0});
  CHECK(
      read(small(R"({"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1})"))
          .window == std::vector<index_t>{0, 5});
  CHECK(read(small(R"({"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 5})")).window ==
        std::vector<index_t>{0, 0});
  CHECK(read(small(R"({"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1,
                       "layer_types": ["sliding_attention", "full_attention"]})"))
            .window == std::vector<index_t>{5, 0});
  CHECK_THAT(error_of(small(R"({"layer_types": ["full_attention"]})")),
             Contains("\"layer_types\" has 1 entries for 2 layers"));
  CHECK_THAT(error_of(small(R"({"layer_types": ["full_attention", "linear_attention"]})")),
             Contains("\"linear_attention\" is not supported"));
  CHECK_THAT(error_of(small(R"({"layer_types": ["full_attention", "sliding_attention"]})")),
             Contains("there is no sliding_window"));
  CHECK_THAT(error_of(small(R"({"model_type": "mistral", "sliding_window": 0})")),
             Contains("\"sliding_window\": found 0, expected at least 1"));
  CHECK_THAT(error_of(small(R"({"model_type": "mistral", "sliding_window": -1})")), Contains("found -1"));
}

TEST_CASE("both forms of the rotary settings, and which one counts") {
  CHECK(read(small(R"({"rope_theta": 500000})")).rope.theta == 500000);
  CHECK(
      read(small(R"({"rope_theta": 1, "rope_parameters": {"rope_theta": 7.0, "rope_type": "default"}})")).rope.theta ==
      7);
  CHECK(read(small(R"({"rope_theta": 5.0, "rope_parameters": {"rope_type": "default"}})")).rope.theta == 5);
  CHECK(read(small(R"({"rope_theta": 5.0, "rope_scaling": null, "rope_parameters": null})")).rope.theta == 5);
  CHECK(read(small(R"({"rope_scaling": {"type": "linear", "factor": 2}})")).rope.factor == 2);
  CHECK(read(small(R"({"rope_scaling": {"rope_type": "linear", "type": "x", "factor": 2}})")).rope.type == "linear");
  CHECK(read(small(R"({"rope_scaling": {"factor": 2}})")).rope.type == "default");
  CHECK(
      read(small(R"({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"type": "dynamic"}})")).rope.type ==
      "default");
  const RopeConfig yarn =
      read(small(R"({"max_position_embeddings": 77, "rope_scaling": {"type": "yarn", "factor": 2}})")).rope;
  CHECK(yarn.original_max_position_embeddings == 77);

  CHECK_THAT(error_of(small(R"({"rope_scaling": {"type": "linear"}})")),
             Contains("rope_scaling: the key \"factor\" is missing"));
  CHECK_THAT(error_of(small(R"({"rope_scaling": {"type": "yarn"}})")), Contains("\"factor\" is missing"));
  CHECK_THAT(error_of(small(R"({"rope_scaling": {"type": "linear", "factor": 0}})")),
             Contains("rope factor: expected a number above 0"));
  CHECK_THAT(error_of(small(R"({"rope_scaling": {"type": "llama3", "factor": 8}})")),
             Contains("\"low_freq_factor\" is missing"));
  CHECK_THAT(error_of(small(
                 R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
              "high_freq_factor": 4, "original_max_position_embeddings": 8}})")),
             Contains("high_freq_factor: expected more than low_freq_factor"));
  CHECK_THAT(
      error_of(small(R"({"rope_scaling": {"type": "yarn", "factor": 8, "original_max_position_embeddings": 0}})")),
      Contains("original_max_position_embeddings"));
  CHECK_THAT(error_of(small(R"({"rope_theta": 0})")), Contains("rope_theta: expected a number above 0"));
  CHECK_THAT(error_of(small(R"({"rope_theta": -1e4})")), Contains("rope_theta"));
  CHECK_THAT(error_of(small(R"({"rope_theta": 1e300})")), Contains("rope_theta"));
  CHECK_THAT(error_of(small(R"({"rope_scaling": "linear"})")), Contains("expected an object, found the text"));
  CHECK_THAT(error_of(small(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})")),
             Contains("partial_rotary_factor"));
  CHECK_THAT(error_of(small(R"({"partial_rotary_factor": 0.5})")), Contains("partial_rotary_factor"));
}

TEST_CASE("impossible sizes are refused before anything is divided or allocated") {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    INFO(key);
    const std::string name = "\"" + std::string(key) + "\"";
    CHECK_THAT(error_of(without(key)), Contains("the key " + name + " is missing"));
    for (const char* value : {"0", "-1"}) {
      CHECK_THAT(error_of(small("{" + name + ": " + value + "}")),
                 Contains("c.json: " + name + ": found " + value + ", expected at least 1"));
    }
    for (const char* value : {"null", "1.5", "\"64\"", "[64]", "true", "18446744073709551615"}) {
      CHECK_THAT(error_of(small("{" + name + ": " + value + "}")), Contains(name + ": expected an integer"));
    }
    CHECK(error_of(small("{" + name + ": 9223372036854775807}")) != "no error");
  }
  CHECK_THAT(error_of(small(R"({"num_key_value_heads": 0})")), Contains("\"num_key_value_heads\": found 0"));
  CHECK_THAT(error_of(small(R"({"num_key_value_heads": 3})")), Contains("4 query heads can't share 3 key/value heads"));
  CHECK_THAT(error_of(small(R"({"num_key_value_heads": 8})")), Contains("4 query heads can't share 8"));
  CHECK_THAT(error_of(small(R"({"hidden_size": 66})")), Contains("can't be divided among 4 heads"));
  CHECK_THAT(error_of(small(R"({"head_dim": 0})")), Contains("head_dim: found 0"));
  CHECK_THAT(error_of(small(R"({"head_dim": 15})")), Contains("head_dim: found 15, expected an even number"));
  CHECK_THAT(error_of(small(R"({"max_position_embeddings": 0})")), Contains("max_position_embeddings: found 0"));
  CHECK_THAT(error_of(small(R"({"num_hidden_layers": 1000000000})")), Contains("at most 10000"));
  CHECK_THAT(error_of(small(R"({"rms_norm_eps": 0})")), Contains("rms_norm_eps"));
  CHECK_THAT(error_of(small(R"({"rms_norm_eps": "1e-5"})")), Contains("expected a number"));
  CHECK(read(small(R"({"hidden_size": 66, "head_dim": 16})")).head_dim == 16);
}

TEST_CASE("other models and other tasks are refused by name") {
  CHECK_THAT(error_of(small(R"({"architectures": ["LlamaForSequenceClassification"]})")),
             Contains("found LlamaForSequenceClassification") && Contains("only LlamaForCausalLM"));
  CHECK_THAT(error_of(small(R"({"architectures": ["MistralForCausalLM"]})")),
             Contains("only LlamaForCausalLM is supported"));
  CHECK_THAT(error_of(without("model_type")), Contains("\"model_type\" is missing"));
  CHECK_THAT(error_of(small(R"({"model_type": "Llama"})")), Contains("\"Llama\", another architecture"));
  CHECK_THAT(error_of(small(R"({"quantization_config": {"quant_method": "awq"}})")), Contains("\"awq\""));
  CHECK_THAT(error_of(small(R"({"quantization_config": {}})")), Contains("an unnamed method"));
  CHECK(error_of(small(R"({"quantization_config": null})")) == "no error");
  CHECK_THAT(error_of(small(R"({"hidden_act": "relu"})")), Contains("\"relu\" is not supported"));
  CHECK(read(small(R"({"hidden_act": "gelu_pytorch_tanh"})")).activation == Activation::gelu_tanh);
  CHECK_THAT(error_of(Json::array()), Contains("expected an object, found an array"));
}

TEST_CASE("tokens, types and what is odd but legal") {
  const LlamaConfigFile file = parse_llama_config(
      small(R"({"bos_token_id": [5], "eos_token_id": null, "pad_token_id": 0, "torch_dtype": "torch.bfloat16"})"),
      "c.json");
  CHECK(file.config.bos_token_ids == std::vector<index_t>{5});
  CHECK(file.config.eos_token_ids.empty());
  CHECK(file.config.pad_token_id == 0);
  CHECK(file.config.dtype == "bfloat16");
  CHECK(file.warnings.empty());
  CHECK(file.raw["torch_dtype"] == "torch.bfloat16");
  CHECK(read(small(R"({"dtype": "float16", "torch_dtype": "float32"})")).dtype == "float16");
  CHECK(parse_llama_config(small(R"({"eos_token_id": [2, 320]})"), "c").warnings.size() == 1);
  CHECK(parse_llama_config(small(R"({"attention_dropout": 0.1, "auto_map": {"AutoModel": "x.Y"}})"), "c")
            .warnings.size() == 2);
  CHECK_THAT(error_of(small(R"({"eos_token_id": "2"})")), Contains("\"eos_token_id\": expected an integer"));
}

TEST_CASE("a file is read whole or refused") {
  const veneer::testing::TemporaryFolder folder;
  CHECK_THROWS_AS(read_llama_config(folder / "config.json"), IoError);
  CHECK_THROWS_WITH(
      read_llama_config(folder.file("config.json", "{\"model_type\": \"llama\", \"model_type\": \"qwen2\"}")),
      Contains("given twice"));
  CHECK_THROWS_WITH(read_llama_config(folder.file("config.json", "")), Contains("empty"));
}

}  // namespace llama_config_test
