// SPDX-License-Identifier: Apache-2.0
/// Models against what transformers computed from the same folders: logits, every block's output, loss and gradients.
#include <filesystem>
#include <fstream>

#include "veneer/io/llama_config.hpp"
#include "veneer/nn/llama_config.hpp"

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace models_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

/// Ten times the error of float in the recorded runs.
constexpr double tolerance = 1e-5;

void check_gradients(ModelUnderTest& model, const SafetensorsFile& expected, const std::string& prefix) {
  const NamedValues gradients = model.gradients();
  int compared = 0;
  for (const std::string& name : expected.names()) {
    if (name.rfind(prefix, 0) != 0) continue;
    const auto found = gradients.find(name.substr(prefix.size()));
    INFO(name);
    REQUIRE(found != gradients.end());
    CHECK(relative_distance(found->second, floats(expected.at(name))) < tolerance);
    ++compared;
  }
  CHECK(compared >= 4);
}

/// Copies the weights of `model` to a folder.
void copy_weights(const fs::path& model, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(model)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("model", 0) == 0) fs::copy_file(entry.path(), to / name, fs::copy_options::overwrite_existing);
  }
}

/// The tensors of a file, which can be written again with changes.
struct Tensors {
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, std::vector<std::int64_t>> shapes;

  explicit Tensors(const SafetensorsFile& file) {
    for (const std::string& name : file.names()) {
      values[name] = floats(file.at(name));
      shapes[name] = file.at(name).shape;
    }
  }
  void write(const fs::path& path) const {
    std::vector<TensorView> views;
    for (const auto& [name, shape] : shapes) views.push_back({name, Dtype::f32, shape, values.at(name).data()});
    write_safetensors(path, views, {{"format", "pt"}});
  }
};

std::string message_of(const fs::path& folder) {
  try {
    const ModelUnderTest model(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every recorded model computes the recorded logits, hidden states, loss and gradients") {
  const std::vector<std::string> names = folders_with("models", "expected.safetensors");
  REQUIRE(names.size() == 7);
  for (const std::string& name : names) {
    const SafetensorsFile expected(test_data / "models" / name / "expected.safetensors");
    for (const std::string which : {"full", "padded"}) {
      INFO(name << ", " << which);
      const TokenBatch batch = recorded_case(expected, which);
      ModelUnderTest model(test_data / "models" / name);
      CHECK(relative_distance(model.logits(batch), floats(expected.at(which + ".logits"))) < tolerance);
      const NamedValues hidden = model.hidden(batch);
      REQUIRE(hidden.size() == static_cast<std::size_t>(model.config().num_hidden_layers) + 2);
      for (const auto& [part, values] : hidden) {
        INFO(part);
        CHECK(relative_distance(values, floats(expected.at(which + ".hidden." + part))) < tolerance);
      }
      model.train_everything();
      const double loss = model.backward(batch);
      CHECK(relative_distance({static_cast<float>(loss)}, floats(expected.at(which + ".loss"))) < tolerance);
      check_gradients(model, expected, which + ".grad.");
    }
  }
}

TEST_CASE("rotary frequencies are the recorded ones") {
  for (const std::string& name : folders_with("models", "expected.safetensors")) {
    INFO(name);
    const LlamaConfig config = read_llama_config(test_data / "models" / name / "config.json").config;
    const SafetensorsFile expected(test_data / "models" / name / "expected.safetensors");
    const std::vector<float> frequencies = inverse_frequencies(config), recorded = floats(expected.at("inv_freq"));
    REQUIRE(frequencies.size() == recorded.size());
    for (std::size_t i = 0; i < recorded.size(); ++i) CHECK(frequencies[i] == Approx(recorded[i]).epsilon(1e-6));
  }
}

TEST_CASE("a config.json of transformers 4 gives the same model as its twin of transformers 5") {
  for (const std::string name : {"llama-linear-rope-old-config", "llama3-rope-old-config"}) {
    INFO(name);
    const fs::path folder = test_data / "models" / name;
    const std::string twin = json_text(read_json(folder / "expected.json"), "same_model_as", name);
    const LlamaConfig config = read_llama_config(folder / "config.json").config;
    const LlamaConfig twin_config = read_llama_config(test_data / "models" / twin / "config.json").config;
    CHECK(inverse_frequencies(config) == inverse_frequencies(twin_config));

    const TemporaryFolder temporary;
    copy_weights(test_data / "models" / twin, temporary.path());
    fs::copy_file(folder / "config.json", temporary / "config.json");
    const SafetensorsFile expected(test_data / "models" / twin / "expected.safetensors");
    const TokenBatch batch = recorded_case(expected, "padded");
    const std::vector<float> logits = ModelUnderTest(temporary.path()).logits(batch);
    CHECK(logits == ModelUnderTest(test_data / "models" / twin).logits(batch));
  }
}

TEST_CASE("a model that computes something else is refused by name") {
  const std::map<std::string, std::string> words{
      {"gpt-neox", "gpt_neox"},         {"llama-dynamic", "dynamic"},
      {"llama-dynamic-old", "dynamic"}, {"llama-gelu", "gelu"},
      {"llama-gptq", "gptq"},           {"llama-heads-do-not-divide", "heads"},
      {"llama-longrope", "longrope"},   {"llama-no-hidden-size", "hidden_size"},
      {"llama-unknown-rope", "spiral"}, {"mixtral", "mixtral"}};
  for (const std::string& name : folders_with("models-refused", "config.json")) {
    INFO(name);
    const fs::path folder = test_data / "models-refused" / name;
    if (name == "llama-yarn") {  // supported: only the weights are missing
      CHECK(read_llama_config(folder / "config.json").config.rope.type == "yarn");
      continue;
    }
    REQUIRE(words.count(name) == 1);
    const std::string message = message_of(folder);
    CHECK_THAT(message, Catch::Contains(words.at(name)));
    CHECK_THAT(message, Catch::Contains((folder / "config.json").string()));
  }
}

TEST_CASE("one error lists all tensors of a checkpoint that are missing, extra or misshapen") {
  const fs::path source = test_data / "models" / "llama-linear-rope-biases";
  const TemporaryFolder temporary;
  fs::copy_file(source / "config.json", temporary / "config.json");
  Tensors tensors(SafetensorsFile(source / "model.safetensors"));
  tensors.shapes.erase("model.norm.weight");
  tensors.shapes.erase("model.layers.1.self_attn.q_proj.bias");
  tensors.shapes["model.layers.2.mlp.up_proj.weight"] = {2, 2};
  tensors.values["model.layers.2.mlp.up_proj.weight"] = {1, 2, 3, 4};
  std::vector<std::int64_t>& shape = tensors.shapes.at("model.layers.0.mlp.down_proj.weight");
  std::swap(shape[0], shape[1]);
  tensors.write(temporary / "model.safetensors");

  const std::string message = message_of(temporary.path());
  CHECK_THAT(message, Catch::Contains(temporary.path().string()));
  CHECK_THAT(message, Catch::Contains("4 tensors"));
  CHECK_THAT(message, Catch::Contains("model.norm.weight: missing"));
  CHECK_THAT(message, Catch::Contains("model.layers.1.self_attn.q_proj.bias: missing"));
  CHECK_THAT(message, Catch::Contains("model.layers.2.mlp.up_proj.weight: the model has no such tensor"));
  CHECK_THAT(message, Catch::Contains("model.layers.0.mlp.down_proj.weight: shape [72, 40], expected [40, 72]"));
}

TEST_CASE("a head of its own is used although config.json says tied") {
  const fs::path source = test_data / "models" / "llama-tied-bf16";
  const TemporaryFolder tied, untied;
  Tensors tensors(SafetensorsFile(source / "model.safetensors"));
  tensors.shapes["lm_head.weight"] = tensors.shapes.at("model.embed_tokens.weight");
  tensors.values["lm_head.weight"] = tensors.values.at("model.embed_tokens.weight");
  for (float& value : tensors.values["lm_head.weight"]) value = -0.5f * value;
  for (const TemporaryFolder* folder : {&tied, &untied}) tensors.write(*folder / "model.safetensors");
  std::string config = file_bytes(source / "config.json");
  tied.file("config.json", config);
  const std::string yes = "\"tie_word_embeddings\": true";
  REQUIRE(config.find(yes) != std::string::npos);
  untied.file("config.json", config.replace(config.find(yes), yes.size(), "\"tie_word_embeddings\": false"));
  const TokenBatch batch = recorded_case(SafetensorsFile(source / "expected.safetensors"), "full");
  ModelUnderTest model(tied.path());
  CHECK(model.logits(batch) == ModelUnderTest(untied.path()).logits(batch));
  CHECK(model.logits(batch) != ModelUnderTest(source).logits(batch));
  CHECK_FALSE(model.config().tie_word_embeddings);
}

TEST_CASE("a tied model takes a file that stores the shared weight twice, or as the head alone") {
  const fs::path source = test_data / "models" / "llama-tied-bf16";
  const SafetensorsFile expected(source / "expected.safetensors");
  const TokenBatch batch = recorded_case(expected, "full");
  Tensors tensors(SafetensorsFile(source / "model.safetensors"));
  tensors.shapes["lm_head.weight"] = tensors.shapes.at("model.embed_tokens.weight");
  tensors.values["lm_head.weight"] = tensors.values.at("model.embed_tokens.weight");
  for (const bool alone : {false, true}) {
    if (alone) tensors.shapes.erase("model.embed_tokens.weight");
    const TemporaryFolder temporary;
    fs::copy_file(source / "config.json", temporary / "config.json");
    tensors.write(temporary / "model.safetensors");
    ModelUnderTest model(temporary.path());
    CHECK(model.logits(batch) == ModelUnderTest(source).logits(batch));
    CHECK(model.config().tie_word_embeddings);
  }
}

}  // namespace models_test
