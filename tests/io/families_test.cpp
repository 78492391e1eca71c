// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/families.hpp"

#include <cmath>
#include <set>

#include "veneer/io/llama_config.hpp"

#include "support/catch.hpp"

namespace families_test {

using namespace veneer;
using Catch::Contains;

namespace {

/// A config.json of two or more small layers, with more keys.
Json small(const std::string& model_type, const char* more = "{}") {
  Json json = Json::parse(R"({"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4,
                              "num_attention_heads": 4, "num_key_value_heads": 2})");
  json["model_type"] = model_type;
  json.update(Json::parse(more));
  return json;
}

LlamaConfig read(const Json& json) { return parse_llama_config(json, "c.json").config; }

std::string error_of(const Json& json) {
  try {
    read(json);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

using Rope = std::vector<LayerRope>;
constexpr LayerRope none = LayerRope::none, global = LayerRope::global, local = LayerRope::local;

}  // namespace

TEST_CASE("every family is listed once and reads the smallest config.json") {
  std::set<std::string_view> types, classes;
  for (const ModelFamily* family : model_families) {
    INFO(family->model_type);
    types.insert(family->model_type), classes.insert(family->architecture);
    Json json = small(std::string(family->model_type));
    CHECK(read(json).model_type == family->model_type);
    json.erase("model_type");
    json["architectures"] = {std::string(family->architecture)};
    CHECK(read(json).architecture == family->architecture);
    CHECK(read(json).tie_word_embeddings == family->tied);
    json["architectures"] = {"Other"};
    json["model_type"] = std::string(family->model_type);
    CHECK_THAT(error_of(json), Contains("only " + std::string(family->architecture)));
  }
  CHECK(types.size() == model_families.size());
  CHECK(classes.size() == model_families.size());
}

TEST_CASE("options that are absent from Llama's block stay away from the others") {
  for (const char* type : {"llama", "mistral", "qwen2"}) {
    const LlamaConfig config = read(small(type));
    CHECK((config.norms == NormPlacement::before && config.qk_norm == QkNorm::none && !config.fused_projections));
    CHECK((config.embedding_multiplier == 1 && config.residual_multiplier == 1 && config.logits_divisor == 1));
    CHECK((!config.attention_scale && config.layer_rope.empty() && config.norm_offset == 0));
  }
}

TEST_CASE("qwen3: norms per head, a head_dim of its own, biases and windows where the file asks") {
  const LlamaConfig plain = read(small("qwen3"));
  CHECK(plain.qk_norm == QkNorm::per_head);
  CHECK(plain.head_dim == 128);
  CHECK_FALSE((plain.qkv_bias || plain.o_bias));
  CHECK(read(small("qwen3", R"({"head_dim": null})")).head_dim == 4);
  const LlamaConfig more = read(small("qwen3", R"({"attention_bias": true, "use_sliding_window": true,
                                                   "sliding_window": 3, "max_window_layers": 2})"));
  CHECK((more.qkv_bias && more.o_bias));
  CHECK(more.window == std::vector<index_t>{0, 0, 3, 3});
}

TEST_CASE("smollm3: layers without rotation by list or interval") {
  CHECK(read(small("smollm3")).layer_rope == Rope{global, global, global, none});
  CHECK(read(small("smollm3")).rope.theta == 2e6);
  CHECK(read(small("smollm3", R"({"no_rope_layer_interval": 2})")).layer_rope == Rope{global, none, global, none});
  const LlamaConfig listed = read(small("smollm3", R"({"no_rope_layers": [0, 1, 1, 0], "use_sliding_window": true,
                                                       "sliding_window": 5})"));
  CHECK(listed.layer_rope == Rope{none, global, global, none});
  CHECK(listed.window == std::vector<index_t>{5, 0, 0, 5});
  CHECK_THAT(error_of(small("smollm3", R"({"no_rope_layers": [0, 1]})")), Contains("\"no_rope_layers\": expected 4"));
  CHECK_THAT(error_of(small("smollm3", R"({"no_rope_layer_interval": 0})")), Contains("no_rope_layer_interval"));
}

TEST_CASE("phi3: fused projections, part of a head turns, one window") {
  const LlamaConfig plain = read(small("phi3"));
  CHECK(plain.fused_projections);
  CHECK(plain.rms_norm_eps == 1e-5);
  const LlamaConfig part = read(small("phi3", R"({"partial_rotary_factor": 0.5, "sliding_window": 6})"));
  CHECK(rotary_dim(part, part.rope) == 2);
  CHECK(inverse_frequencies(part).size() == 1);
  CHECK(part.window == std::vector<index_t>{6, 6, 6, 6});
  const LlamaConfig inside = read(small("phi3", R"({"partial_rotary_factor": 1.0, "rope_parameters":
                                                    {"rope_type": "default", "partial_rotary_factor": 0.5}})"));
  CHECK(rotary_dim(inside, inside.rope) == 2);
  CHECK_THAT(error_of(small("phi3", R"({"partial_rotary_factor": 0.3})")), Contains("partial_rotary_factor"));
  CHECK_THAT(error_of(small("phi3", R"({"rope_scaling": {"type": "linear", "factor": 2}})")),
             Contains("\"linear\" is not supported; default and longrope are"));
  CHECK(parse_llama_config(small("phi3", R"({"resid_pdrop": 0.1, "embd_pdrop": 0.1})"), "c").warnings.size() == 2);
}

TEST_CASE("phi3: longrope under its three names, in both forms") {
  const char* form = R"({"max_position_embeddings": 64, "original_max_position_embeddings": 16, "PLACE":
      {"TYPE": "NAME", "short_factor": [1.0, 2.0], "long_factor": [1.5, 4.0]}})";
  const auto config = [&](const std::string& place, const std::string& key, const std::string& name) {
    std::string text = form;
    text.replace(text.find("PLACE"), 5, place);
    text.replace(text.find("TYPE"), 4, key);
    text.replace(text.find("NAME"), 4, name);
    return small("phi3", text.c_str());
  };
  const LlamaConfig read_now = read(config("rope_parameters", "rope_type", "longrope"));
  CHECK(read(config("rope_scaling", "type", "su")).rope == read_now.rope);
  CHECK(read(config("rope_scaling", "type", "yarn")).rope == read_now.rope);
  CHECK((read_now.rope.original_max_position_embeddings == 16 && read_now.rope.factor == 4));
  CHECK(attention_factor(read_now) == Approx(std::sqrt(1.5)).epsilon(1e-15));  // log 4 / log 16
  CHECK(inverse_frequencies(read_now) == std::vector<float>{1.0f, 1 / (2.0f * 100.0f)});
  CHECK(inverse_frequencies(read_now, read_now.rope, true) == std::vector<float>{1 / 1.5f, 1 / (4.0f * 100.0f)});
  CHECK_FALSE(long_sequence(read_now.rope, 16));
  CHECK(long_sequence(read_now.rope, 17));
  Json wrong = config("rope_parameters", "rope_type", "longrope");
  wrong["rope_parameters"]["long_factor"] = {1.0};
  CHECK_THAT(error_of(wrong), Contains("expected 2 numbers each, found 2 and 1"));
  wrong["rope_parameters"].erase("long_factor");
  CHECK_THAT(error_of(wrong), Contains("\"long_factor\" is missing"));
}

TEST_CASE("gemma3_text: both forms of the rotary settings, windows by pattern or list") {
  const LlamaConfig plain = read(small("gemma3_text", R"({"sliding_window_pattern": 2, "sliding_window": 7})"));
  CHECK(plain.window == std::vector<index_t>{7, 0, 7, 0});
  CHECK(plain.layer_rope == Rope{local, global, local, global});
  CHECK((plain.rope.theta == 1e6 && plain.local_rope->theta == 1e4));
  CHECK((plain.embedding_multiplier == 4 && plain.attention_scale == 1.0 / 16 && plain.norm_offset == 1));
  CHECK((plain.activation == Activation::gelu_tanh && plain.tie_word_embeddings && plain.head_dim == 256));
  CHECK(read(small("gemma3_text")).window == std::vector<index_t>{4096, 4096, 4096, 4096});

  const LlamaConfig old = read(small("gemma3_text", R"({"rope_theta": 5e5, "rope_local_base_freq": 500,
      "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window": 3,
      "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]})"));
  CHECK((old.rope.theta == 5e5 && old.rope.type == "linear" && old.rope.factor == 8));
  CHECK((old.local_rope->theta == 500 && old.local_rope->type == "default"));
  CHECK(old.layer_rope == Rope{global, local, global, global});
  const LlamaConfig fresh = read(small("gemma3_text", R"({"rope_parameters": {
      "full_attention": {"rope_theta": 5e5, "rope_type": "linear", "factor": 8.0},
      "sliding_attention": {"rope_theta": 500, "rope_type": "default"}}})"));
  CHECK((fresh.rope == old.rope && *fresh.local_rope == *old.local_rope));

  CHECK_THAT(error_of(small("gemma3_text", R"({"final_logit_softcapping": 30.0})")),
             Contains("\"final_logit_softcapping\" is not supported: expected null"));
  CHECK_THAT(error_of(small("gemma3_text", R"({"use_bidirectional_attention": true})")),
             Contains("use_bidirectional_attention"));
  CHECK_THAT(error_of(small("gemma3_text", R"({"query_pre_attn_scalar": 0})")), Contains("query_pre_attn_scalar"));
  CHECK_THAT(error_of(small("gemma3_text", R"({"hidden_activation": "gelu"})")),
             Contains("\"hidden_activation\": \"gelu\" is not supported"));
  CHECK_THAT(error_of(small("gemma3")), Contains("\"gemma3\", another architecture"));
}

TEST_CASE("granite: factors, 1 where the file has none") {
  const LlamaConfig config = read(small("granite", R"({"embedding_multiplier": 12, "residual_multiplier": 0.22,
                                                       "attention_multiplier": 0.5, "logits_scaling": 8})"));
  CHECK((config.embedding_multiplier == 12 && config.residual_multiplier == 0.22));
  CHECK((config.attention_scale == 0.5 && config.logits_divisor == 8));
  CHECK(read(small("granite")).attention_scale == 1.0);
  CHECK_THAT(error_of(small("granite", R"({"logits_scaling": 0})")), Contains("logits_scaling"));
}

TEST_CASE("olmo2: norms after, queries and keys normalised as a whole") {
  const LlamaConfig config = read(small("olmo2", R"({"attention_bias": true})"));
  CHECK((config.norms == NormPlacement::after && config.qk_norm == QkNorm::whole));
  CHECK((config.qkv_bias && config.o_bias && config.rms_norm_eps == 1e-5));
}

TEST_CASE("default targets are PEFT's for each model type and method") {
  const ModuleChoice query_value{"q_proj", "v_proj"};
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
    CHECK(default_target_modules(type) == query_value);
  CHECK(default_target_modules("llama", Ia3{}) == ModuleChoice{"k_proj", "v_proj", "down_proj"});
  CHECK(default_target_modules("qwen2", Ia3{}) == ModuleChoice{"q_proj", "v_proj", "down_proj"});
  CHECK(default_target_modules("qwen3", AdaLora{}) == query_value);
  CHECK_THROWS_WITH(default_target_modules("mistral", AdaLora{}),
                    Contains("no default for the model type \"mistral\""));
  for (const char* type : {"phi3", "smollm3", "granite", "olmo2", "gpt_neox"})
    CHECK_THROWS_WITH(default_target_modules(type), Contains("name the modules, or all-linear"));
}

}  // namespace families_test
