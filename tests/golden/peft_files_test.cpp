// SPDX-License-Identifier: Apache-2.0
/// Adapter folders with one thing wrong or unusual: refused with a message that names it, or read, perhaps
/// with a warning.
#include <filesystem>

#include "golden/support.hpp"

namespace peft_files_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

const std::string layer0 = "base_model.model.model.layers.0.self_attn.",
                  layer1 = "base_model.model.model.layers.1.self_attn.";

/// The texts that the message of each refused folder must contain.
const std::map<std::string, std::vector<std::string>> messages{
    {"alpha-text", {"adapter_config.json", "lora_alpha"}},
    {"bias-missing", {"base_layer.bias: missing"}},
    {"bin-only", {"adapter_model.bin", "safe_serialization"}},
    {"dora-without-magnitude", {"use_dora"}},
    {"duplicate-json-key", {"adapter_config.json", "\"r\"", "twice"}},
    {"extra-module", {"layers.9."}},
    {"extra-tensor", {"belongs to nothing"}},
    {"inf-weights", {"lora_B.weight", "not finite"}},
    {"integer-tensors", {"dtype I", "expected F32"}},
    {"invalid-json", {"adapter_config.json"}},
    {"lower-case-peft-type", {"\"lora\"", "upper case"}},
    {"magnitude-without-dora", {"lora_magnitude_vector"}},
    {"missing-module", {layer1 + "v_proj.lora_A.weight: missing"}},
    {"missing-peft-type", {"\"peft_type\"", "missing"}},
    {"missing-tensor", {"lora_B.weight: missing"}},
    {"module-not-targeted", {"k_proj"}},
    {"modules-to-save-missing", {"base_model.model.lm_head.weight: missing"}},
    {"nan-weights", {"lora_A.weight", "not finite"}},
    {"negative-r", {"r: found -", "at least 1"}},
    {"no-config", {"no adapter_config.json"}},
    {"no-prefix", {"base_model.model.", "rename"}},
    {"no-weights", {"no adapter_model.safetensors"}},
    {"not-a-folder", {"is a file"}},
    {"one-dimensional-a", {"lora_A.weight: shape [", "expected ["}},
    {"one-model-less", {"one `model.` less"}},
    {"patterns-shadowed", {"lora_A.weight: shape ["}},
    {"r-differs", {"shape [", "Check that r"}},
    {"r-missing", {"shape [2, ", "expected [8, "}},
    {"rank-zero-tensors", {"r: found 0"}},
    {"targets-nothing", {"target_modules matches no module", "q_proj"}},
    {"truncated-weights", {"adapter_model.safetensors"}},
    {"unknown-peft-type", {"peft_type"}},
    {"unsupported-option", {"layer_replication"}},
    {"wrong-shape-a", {"lora_A.weight: shape ["}},
    {"wrong-shape-b-transposed", {"lora_B.weight: shape ["}}};

/// The texts that a warning of an accepted folder must contain; all others give none.
const std::map<std::string, std::string> warnings{{"old-config", "merge_weights"},
                                                  {"pattern-unused", "rank_pattern"},
                                                  {"target-entry-unused", "target_modules"},
                                                  {"unknown-config-field", "unknown key"}};

std::vector<std::string> folders(const std::string& expectation) {
  std::vector<std::string> names;
  for (const std::string& name : folders_with("peft_files", "expect.json")) {
    const Json expect = read_json(test_data / "peft_files" / name / "expect.json");
    if (json_text(expect, "expect", name) == expectation) names.push_back(name);
  }
  return names;
}

struct Case {
  fs::path base, adapter;

  explicit Case(const std::string& name) {
    const Json expect = read_json(test_data / "peft_files" / name / "expect.json");
    base = test_data / json_text(expect, "base", name);
    adapter = (test_data / "peft_files" / name / json_text(expect, "open", name)).lexically_normal();
  }
};

}  // namespace

TEST_CASE("an adapter folder with one thing wrong is refused with a message that names it") {
  const std::vector<std::string> names = folders("error");
  REQUIRE(names.size() == messages.size());
  for (const std::string& name : names) {
    const Case files(name);
    ModelUnderTest model(files.base);
    std::string message;
    try {
      model.load_adapter(files.adapter);
    } catch (const Error& error) {
      message = error.what();
    }
    INFO(name << ": " << message);
    REQUIRE(messages.count(name) == 1);
    for (const std::string& words : messages.at(name)) CHECK_THAT(message, Catch::Contains(words));
    CHECK_THAT(message, Catch::Contains(name));  // the path
  }
}

TEST_CASE("an unusual adapter folder is read, with a warning where something in it has no effect") {
  const std::vector<std::string> names = folders("ok");
  REQUIRE(names.size() >= 10);
  for (const std::string& name : names) {
    INFO(name);
    const Case files(name);
    ModelUnderTest model(files.base);
    const SafetensorsFile tokens(files.base / "expected.safetensors");
    const TokenBatch batch = recorded_case(tokens, "full");
    const std::vector<float> base = model.logits(batch);
    const AdapterPlan plan = model.load_adapter(files.adapter);
    const std::vector<float> logits = model.logits(batch);
    CHECK(std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }));
    CHECK(logits != base);
    const auto expected = warnings.find(name);
    REQUIRE(plan.warnings.empty() == (expected == warnings.end()));
    if (expected != warnings.end()) {
      CHECK(std::any_of(plan.warnings.begin(), plan.warnings.end(),
                        [&](const std::string& w) { return w.find(expected->second) != std::string::npos; }));
    }
  }
}

TEST_CASE("what an unusual form does not change, it does not change") {
  const auto logits = [](const std::string& name) {
    const Case files(name);
    ModelUnderTest model(files.base);
    const SafetensorsFile tokens(files.base / "expected.safetensors");
    model.load_adapter(files.adapter);
    return model.logits(recorded_case(tokens, "full"));
  };
  const std::vector<float> good = logits("good");
  for (const char* name :
       {"adapter-name-in-keys", "old-config", "pattern-unused", "target-entry-unused", "unknown-config-field"}) {
    INFO(name);
    CHECK(logits(name) == good);
  }
}

}  // namespace peft_files_test
