// SPDX-License-Identifier: Apache-2.0
/// Every family of dense decoders against what transformers and PEFT computed from the same folders: logits, loss,
/// gradients, an adapter, the merged model, greedy text with and without a cache, 4-bit weights, files.
///
/// VENEER_FAMILIES names another folder of such folders (tests/data/make/families.py --out FOLDER makes
/// FOLDER/families); they are then tested instead.
#include <cstdlib>
#include <filesystem>

#include "veneer/io/llama_config.hpp"
#include "veneer/nn/llama_config.hpp"

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace families_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

/// Ten times the error of float in the recorded runs.
constexpr double tolerance = 1e-5;

fs::path root() {
  const char* other = std::getenv("VENEER_FAMILIES");
  return other == nullptr ? test_data / "families" : fs::path(other);
}

std::vector<fs::path> folders() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(root())) {
    if (fs::exists(entry.path() / "expected.safetensors")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  REQUIRE(!found.empty());
  return found;
}

std::vector<std::int32_t> ids_of(const TensorEntry& entry) {
  const std::vector<std::int64_t> values = read_integers(entry);
  return {values.begin(), values.end()};
}

/// Generates without a cache: the whole sequence is recomputed for each id.
std::vector<std::int32_t> continued(const ModelUnderTest& model, std::vector<std::int32_t> ids, std::size_t count) {
  const std::size_t prompt = ids.size();
  while (ids.size() < prompt + count) {
    TokenBatch batch;
    batch.rows = 1;
    batch.length = static_cast<index_t>(ids.size());
    batch.valid = {batch.length};
    batch.ids = ids;
    const std::vector<float> logits = model.logits(batch);
    const auto last = logits.end() - static_cast<std::ptrdiff_t>(model.config().vocab_size);
    ids.push_back(static_cast<std::int32_t>(std::max_element(last, logits.end()) - last));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end()};
}

}  // namespace

TEST_CASE("every family computes the recorded logits, loss and gradients, padded rows too", "[families]") {
  for (const fs::path& folder : folders()) {
    const SafetensorsFile expected(folder / "expected.safetensors");
    for (const std::string which : {"full", "padded"}) {
      INFO(folder.filename().string() << ", " << which);
      const TokenBatch batch = recorded_case(expected, which);
      ModelUnderTest model(folder);
      CHECK(relative_distance(model.logits(batch), floats(expected.at(which + ".logits"))) < tolerance);
      model.train_everything();
      const double loss = model.backward(batch);
      CHECK(relative_distance({static_cast<float>(loss)}, floats(expected.at(which + ".loss"))) < tolerance);
      const NamedValues gradients = model.gradients();
      int compared = 0;
      const std::string prefix = which + ".grad.";
      for (const std::string& name : expected.names()) {
        if (!name.starts_with(prefix)) continue;
        INFO(name);
        const auto found = gradients.find(name.substr(prefix.size()));
        REQUIRE(found != gradients.end());
        CHECK(relative_distance(found->second, floats(expected.at(name))) < tolerance);
        ++compared;
      }
      CHECK(compared >= 5);
    }
  }
}

TEST_CASE("every family has the recorded parameters, before and after values are there", "[families]") {
  for (const fs::path& folder : folders()) {
    INFO(folder.filename().string());
    const Json facts = read_json(folder / "expected.json");
    const index_t parameters = json_integer(facts, "parameters", "expected.json");
    CHECK(parameter_count(read_llama_config(folder / "config.json").config) == parameters);
    ModelUnderTest model(folder);
    CHECK(model.plan_all_linear(1).base_parameters == parameters);
  }
}

TEST_CASE("every family takes PEFT's adapter of all linear layers, and merges it", "[families]") {
  for (const fs::path& folder : folders()) {
    INFO(folder.filename().string());
    const SafetensorsFile expected(folder / "adapter_expected.safetensors");
    const Json facts = read_json(folder / "expected.json").at("adapter");
    const TokenBatch batch = token_batch(expected.at("input_ids"), nullptr, nullptr);
    ModelUnderTest model(folder);
    model.widen();  // the reference has its weights in float
    const AdapterPlan all_linear = model.plan_all_linear(3);
    const AdapterPlan plan = model.load_adapter(folder / "adapter");
    CHECK(plan.warnings.empty());
    CHECK(parameter_line(plan.trainable(), plan.all()) == json_text(facts, "printed", "expected.json"));
    CHECK(all_linear.trainable() == plan.trainable());
    CHECK(all_linear.modules.size() == plan.modules.size());
    CHECK(relative_distance(model.logits(batch), floats(expected.at("logits"))) < tolerance);

    const TemporaryFolder temporary;
    model.save_adapter(temporary / "again");
    const SafetensorsFile before(folder / "adapter" / "adapter_model.safetensors");
    const SafetensorsFile after(temporary / "again" / "adapter_model.safetensors");
    CHECK(after.names() == before.names());

    model.merge();
    CHECK(relative_distance(model.logits(batch), floats(expected.at("merged_logits"))) < tolerance);
  }
}

TEST_CASE("every family continues a prompt greedily, with a cache and without", "[families]") {
  for (const fs::path& folder : folders()) {
    INFO(folder.filename().string());
    const SafetensorsFile expected(folder / "expected.safetensors");
    const std::vector<std::int32_t> prompt = ids_of(expected.at("greedy.prompt"));
    const std::vector<std::int32_t> ids = ids_of(expected.at("greedy.ids"));
    const ModelUnderTest model(folder);
    CHECK(model.generate(prompt, static_cast<index_t>(ids.size())) == ids);
    CHECK(continued(model, prompt, ids.size()) == ids);
  }
}

TEST_CASE("a family in 4 bits computes what its decoded weights compute, and is written and read again", "[families]") {
  for (const fs::path& folder : folders()) {
    INFO(folder.filename().string());
    const SafetensorsFile expected(folder / "expected.safetensors");
    const TokenBatch batch = recorded_case(expected, "padded");
    ModelUnderTest model(folder, true);
    const std::vector<float> logits = model.logits(batch);
    CHECK(relative_distance(logits, floats(expected.at("padded.logits"))) > 1e-3);  // it is quantised

    const TemporaryFolder temporary;
    model.save(temporary / "nf4");
    CHECK(ModelUnderTest(temporary / "nf4").logits(batch) == logits);

    model.widen();
    CHECK(relative_distance(logits, model.logits(batch)) < tolerance);
    model.save(temporary / "wide");
    CHECK(ModelUnderTest(temporary / "wide").logits(batch) == model.logits(batch));
  }
}

}  // namespace families_test
