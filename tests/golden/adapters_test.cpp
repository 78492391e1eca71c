// SPDX-License-Identifier: Apache-2.0
/// Adapter folders that PEFT wrote: the adapted model, its parameter line, the merged model, the folder written back.
#include <filesystem>
#include <set>

#include "veneer/peft/init.hpp"

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace adapters_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

constexpr double logit_tolerance = 1e-5;
constexpr double weight_tolerance = 1e-6;

/// PEFT decomposes in float: its singular vectors are off by 1.2e-7 s_1 / (s_4 - s_5), up to 2e-5 here. Its residuals
/// lie up to 4.7e-6 from those of numpy's float64 decomposition, which is what ours are.
constexpr double float_svd_tolerance = 1e-5;
double tolerance_of(const std::string& name) {
  return name.starts_with("pissa") && name.ends_with("-raw") ? float_svd_tolerance : weight_tolerance;
}

/// Adapters that change the base when they are read. PEFT recorded them over a base in float: over one in 16 bits what
/// is left of it is rounded again.
bool changes_base(const std::string& name) { return name == "loftq" || name.ends_with("-raw"); }

std::vector<std::string> recorded_adapters() { return folders_with("adapters", "expected.safetensors"); }

void check_modules(const AdapterPlan& plan, const Json& expected, const std::string& where) {
  REQUIRE(plan.modules.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const AdaptedModule& found = plan.modules[i];
    INFO(found.name);
    CHECK(found.name == json_text(expected[i], "module", where));
    if (find_json(expected[i], "rank") == nullptr) continue;  // a method without
    CHECK(found.rank == json_integer(expected[i], "rank", where));
    CHECK(found.alpha == json_number(expected[i], "alpha", where));
    CHECK(found.scaling == Approx(json_number(expected[i], "scaling", where)).epsilon(1e-14));
  }
}

/// Compares all `<prefix><module>.weight` and `.bias` of a file with weights of the model.
int check_weights(const ModelUnderTest& model, const SafetensorsFile& tensors, const std::string& prefix,
                  double tolerance) {
  const NamedValues weights = model.weights();
  int compared = 0;
  for (const std::string& name : tensors.names()) {
    if (name.rfind(prefix, 0) != 0) continue;
    INFO(name);
    const auto found = weights.find(name.substr(prefix.size()));
    REQUIRE(found != weights.end());
    CHECK(relative_distance(found->second, floats(tensors.at(name))) <= tolerance);
    ++compared;
  }
  return compared;
}

}  // namespace

TEST_CASE("every recorded adapter gives the recorded logits, modules and parameter line") {
  const std::vector<std::string> names = recorded_adapters();
  REQUIRE(names.size() == 49);
  for (const std::string& name : names) {
    INFO(name);
    const RecordedAdapter recorded("adapters", name);
    ModelUnderTest model(recorded.base());
    if (changes_base(name)) model.widen();
    const AdapterPlan plan = model.load_adapter(recorded.folder);
    CHECK(relative_distance(model.logits(recorded.batch), recorded.logits()) < logit_tolerance);
    if (changes_base(name)) CHECK(check_weights(model, recorded.tensors, "residual.", tolerance_of(name)) >= 1);
    CHECK(parameter_line(plan.trainable(), plan.all()) == json_text(recorded.facts, "printed", name));
    CHECK(plan.warnings.empty());
    check_modules(plan, json_member(recorded.facts, "modules", name), name);
  }
}

TEST_CASE("an adapter that is read and written again gives the same bytes") {
  for (const std::string& name : recorded_adapters()) {
    INFO(name);
    const RecordedAdapter recorded("adapters", name);
    const TemporaryFolder temporary;
    ModelUnderTest model(recorded.base());
    model.load_adapter(recorded.folder);
    model.save_adapter(temporary / "again");
    const SafetensorsFile before(recorded.folder / "adapter_model.safetensors");
    const SafetensorsFile after(temporary / "again" / "adapter_model.safetensors");
    REQUIRE(after.names() == before.names());
    for (const std::string& tensor : before.names()) CHECK(after.at(tensor).shape == before.at(tensor).shape);
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json"}) {
      INFO(file);
      CHECK(file_bytes(temporary / "again" / file) == file_bytes(recorded.folder / file));
    }
    CHECK(temporary.count() == 1);
  }
}

TEST_CASE("merging gives the recorded weights and logits, and unmerging every bit of the base") {
  for (const std::string& name : recorded_adapters()) {
    INFO(name);
    const RecordedAdapter recorded("adapters", name);
    ModelUnderTest model(recorded.base());
    model.widen();
    const bool tied = model.config().tie_word_embeddings;
    model.load_adapter(recorded.folder);
    if (name == "loftq") model.widen();  // PEFT merges into the values of the 4 bits
    const std::vector<float> adapted = model.logits(recorded.batch);
    const auto before = model.stored();
    const std::vector<MergedWeight> report = model.merge();

    CHECK(check_weights(model, recorded.tensors, "merged.", tolerance_of(name)) >= 1);
    CHECK(relative_distance(model.logits(recorded.batch), recorded.merged_logits()) < logit_tolerance);
    CHECK(model.parameters().empty());
    CHECK(model.config().tie_word_embeddings == (tied && name.rfind("lora-tied", 0) != 0));
    REQUIRE_FALSE(report.empty());
    const auto after = model.stored();
    std::set<std::string> changed;
    for (const MergedWeight& weight : report) {
      INFO(weight.name);
      CHECK(weight.largest_rounding == 0.0);
      CHECK(changed.insert(weight.name).second);
    }
    for (const auto& [weight, bytes] : after) {
      INFO(weight);
      const auto old = before.find(weight);
      CHECK((changed.count(weight) == 1 || (old != before.end() && old->second == bytes)));
    }

    model.unmerge();
    CHECK(model.stored() == before);
    CHECK(model.logits(recorded.batch) == adapted);
    CHECK(model.config().tie_word_embeddings == tied);
  }
}

TEST_CASE("merging into 16 bits keeps the storage type and rounds as PEFT does") {
  for (const std::string name : {"lora-qv-bf16", "lora-qv-f16"}) {
    const RecordedAdapter recorded("adapters", name);
    ModelUnderTest model(recorded.base());
    const std::string letter = name == "lora-qv-f16" ? "h" : "b";
    model.load_adapter(recorded.folder);
    const auto before = model.stored();
    for (const Rounding rounding : {Rounding::once, Rounding::twice}) {
      INFO(name << (rounding == Rounding::once ? ", one rounding" : ", two roundings"));
      const std::vector<MergedWeight> report = model.merge(rounding);
      const std::string prefix = rounding == Rounding::once ? "merged16.one_rounding." : "merged16.two_roundings.";
      CHECK(check_weights(model, recorded.tensors, prefix, 0.0) == 2);
      REQUIRE(report.size() == 4);
      for (const MergedWeight& weight : report) {
        CHECK(model.stored().at(weight.name).substr(0, 1) == letter);
        CHECK(weight.largest_change > 0.0);
        CHECK(weight.largest_rounding > 0.0);
        CHECK(weight.largest_rounding < weight.largest_change);
      }
      model.unmerge();
      CHECK(model.stored() == before);
    }
  }
}

TEST_CASE("an adapter with a bias on B cannot be merged where the layer has none, and one that is not finite nowhere") {
  const RecordedAdapter recorded("adapters", "lora-b-bias");
  const TemporaryFolder temporary;
  const fs::path folder = temporary / "adapter";
  fs::create_directories(folder);
  fs::copy_file(recorded.folder / "adapter_config.json", folder / "adapter_config.json");
  const fs::path without_bias = test_data / "models" / "llama-f16";
  // The same modules on a base without biases: q_proj (64, 32), o_proj (32, 64).
  const std::vector<float> values(64 * 2, 0.5f), huge(64 * 2, 1e4f);
  const auto write = [&](const std::vector<float>& up, bool bias) {
    std::vector<TensorView> views;
    for (const std::string layer : {"0", "1"}) {
      for (const std::string module : {"q_proj", "o_proj"}) {
        const std::string key = "base_model.model.model.layers." + layer + ".self_attn." + module + ".";
        const std::int64_t out = module == "q_proj" ? 64 : 32, in = module == "q_proj" ? 32 : 64;
        views.push_back({key + "lora_A.weight", Dtype::f32, {2, in}, up.data()});
        views.push_back({key + "lora_B.weight", Dtype::f32, {out, 2}, up.data()});
        if (bias) views.push_back({key + "lora_B.bias", Dtype::f32, {out}, values.data()});
      }
    }
    write_safetensors(folder / "adapter_model.safetensors", views);
  };

  write(values, true);
  ModelUnderTest model(without_bias);
  model.load_adapter(folder);
  auto before = model.stored();
  CHECK_THROWS_WITH(model.merge(), Catch::Contains("model.layers.0.self_attn.q_proj") && Catch::Contains("bias"));
  CHECK(model.stored() == before);
  CHECK(model.parameters().size() == 12);

  std::string config = file_bytes(folder / "adapter_config.json");
  const std::string with = "\"lora_bias\": true";
  REQUIRE(config.find(with) != std::string::npos);
  temporary.file("adapter/adapter_config.json", config.replace(config.find(with), with.size(), "\"lora_bias\": false"));
  write(huge, false);  // 1e4 * 1e4 leaves float16
  model.load_adapter(folder);
  before = model.stored();
  CHECK_THROWS_AS(model.merge(), DivergedError);
  CHECK_THROWS_WITH(model.merge(),
                    Catch::Contains("model.layers.0.self_attn.q_proj.weight") && Catch::Contains("float16"));
  CHECK(model.stored() == before);
  CHECK(model.parameters().size() == 8);
  model.widen();
  CHECK_NOTHROW(model.merge());
}

TEST_CASE("a merged model that is written and read again is the same model") {
  for (const std::string name :
       {"lora-qv", "lora-tied-lm-head", "lora-tied-embedding-to-save", "lora-embedding-tied", "lora-qv-f16"}) {
    INFO(name);
    const RecordedAdapter recorded("adapters", name);
    const TemporaryFolder temporary;
    const fs::path folder = temporary / "merged";
    ModelUnderTest model(recorded.base());
    model.load_adapter(recorded.folder);
    CHECK_THROWS_WITH(model.save(folder), Catch::Contains("merge"));
    model.merge();
    model.save(folder);
    const ModelUnderTest again(folder);
    CHECK(again.stored() == model.stored());
    CHECK(again.logits(recorded.batch) == model.logits(recorded.batch));
    CHECK(again.config() == model.config());
    CHECK(file_bytes(folder / "generation_config.json") == file_bytes(recorded.base() / "generation_config.json"));
    CHECK(temporary.count() == 1);
  }
}

TEST_CASE("a model is not written over its base, nor where an adapter or shards would be read with it") {
  const TemporaryFolder temporary;
  const fs::path base = temporary / "base";
  fs::copy(test_data / "models" / "llama-f16", base);
  ModelUnderTest model(base);
  CHECK_THROWS_AS(model.save(base), ArgumentError);
  for (const char* name : {"adapter_config.json", "model.safetensors.index.json"}) {
    temporary.file(std::string("other/") + name, "{}");
    CHECK_THROWS_WITH(model.save(temporary / "other"), Catch::Contains(name));
    fs::remove(temporary / "other" / name);
  }
  temporary.file("other/notes.txt", "kept");
  model.save(temporary / "other", false);
  CHECK(file_bytes(temporary / "other" / "notes.txt") == "kept");
  CHECK_FALSE(fs::exists(temporary / "other" / "generation_config.json"));
  CHECK(ModelUnderTest(temporary / "other").stored() == model.stored());
}

TEST_CASE("detaching leaves the base alone, also where weights were trained in full") {
  for (const std::string name :
       {"lora-qv", "lora-modules-to-save", "lora-norms-to-save", "lora-bias-all", "lora-tied-both-to-save"}) {
    INFO(name);
    const RecordedAdapter recorded("adapters", name);
    ModelUnderTest model(recorded.base());
    const std::vector<float> base = model.logits(recorded.batch);
    model.load_adapter(recorded.folder);
    CHECK(model.logits(recorded.batch) != base);
    model.detach();
    CHECK(model.logits(recorded.batch) == base);
    CHECK(model.parameters().empty());
  }
}

TEST_CASE("an adapter that started from a part of the base is converted as PEFT converts it") {
  for (const std::string name : {"pissa", "pissa-rslora", "olora"}) {
    INFO(name);
    const RecordedAdapter raw("adapters", name + "-raw"), converted("adapters", name + "-converted");
    const TemporaryFolder temporary;
    ModelUnderTest model(raw.base());
    model.widen();
    model.load_adapter(raw.folder);
    model.save_adapter(temporary / "plain", false);
    CHECK(file_bytes(temporary / "plain" / "adapter_config.json") ==
          file_bytes(converted.folder / "adapter_config.json"));
    const SafetensorsFile ours(temporary / "plain" / "adapter_model.safetensors");
    const SafetensorsFile theirs(converted.folder / "adapter_model.safetensors");
    REQUIRE(ours.names() == theirs.names());
    for (const std::string& tensor : ours.names()) CHECK(ours.at(tensor).shape == theirs.at(tensor).shape);
    model.detach();
    model.load_adapter(temporary / "plain");
    CHECK(relative_distance(model.logits(raw.batch), converted.logits()) < logit_tolerance);
    ModelUnderTest fresh(raw.base());
    fresh.load_adapter(temporary / "plain");
    CHECK(relative_distance(fresh.logits(raw.batch), raw.logits()) < logit_tolerance);
  }
}

TEST_CASE("over a base in 16 bits what an initialisation leaves is rounded to 16, and put back when it is detached") {
  const RecordedAdapter recorded("adapters", "pissa-rslora-raw");
  ModelUnderTest model(recorded.base());
  const std::vector<float> base = model.logits(recorded.batch);
  model.load_adapter(recorded.folder);
  const double apart = relative_distance(model.logits(recorded.batch), recorded.logits());
  CHECK(apart > logit_tolerance);
  CHECK(apart < 1.0 / 256);  // half a unit of bfloat16
  model.detach();
  CHECK(relative_distance(model.logits(recorded.batch), base) < 1.0 / 256);
}

TEST_CASE("an initialisation that changed the base and cannot be repeated is refused by name") {
  const RecordedAdapter recorded("adapters", "pissa-raw");
  for (const std::string init : {"pissa_niter_16", "corda", "lora_ga"}) {
    INFO(init);
    const TemporaryFolder temporary;
    fs::copy(recorded.folder, temporary / "adapter");
    std::string config = file_bytes(recorded.folder / "adapter_config.json");
    config.replace(config.find("\"pissa\""), 7, '"' + init + '"');
    temporary.file("adapter/adapter_config.json", config);
    ModelUnderTest model(recorded.base());
    CHECK_THROWS_AS(model.load_adapter(temporary / "adapter"), FormatError);
    CHECK_THROWS_WITH(model.load_adapter(temporary / "adapter"),
                      Catch::Contains(init) && Catch::Contains("path_initial_model_for_weight_conversion"));
  }
}

TEST_CASE("tokens that can't train are refused with the reason") {
  const RecordedAdapter recorded("adapters", "lora-trainable-tokens");
  const auto message = [&](const std::string& key, const std::string& value) {
    const TemporaryFolder temporary;
    fs::copy(recorded.folder, temporary / "adapter");
    Json config = read_json(recorded.folder / "adapter_config.json");
    config[key] = parse_json(value, "test");
    temporary.file("adapter/adapter_config.json", dump_python(config));
    ModelUnderTest model(recorded.base());
    try {
      model.load_adapter(temporary / "adapter");
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const std::string tokens = "trainable_token_indices";
  CHECK_THAT(message(tokens, "[3, 7, 144]"), Catch::Contains("144 is not in the vocabulary of 144 rows"));
  CHECK_THAT(message(tokens, "[3, 7, -1]"), Catch::Contains("-1 is not in the vocabulary"));
  CHECK_THAT(message(tokens, "[3, 7, 3]"), Catch::Contains("3 is given twice"));
  CHECK_THAT(message(tokens, "[]"), Catch::Contains("names no token"));
  CHECK_THAT(message(tokens, "[3, 7]"), Catch::Contains("shape [3, 32], expected [2, 32]"));
  CHECK_THAT(message(tokens, "{\"q_proj\": [3, 7, 11]}"), Catch::Contains("neither the embedding"));
  CHECK_THAT(message("target_modules", "[\"q_proj\", \"embed_tokens\"]"), Catch::Contains("target_modules"));
  CHECK_THAT(message("modules_to_save", "[\"embed_tokens\"]"), Catch::Contains("modules_to_save"));
}

}  // namespace adapters_test
