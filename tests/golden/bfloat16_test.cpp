// SPDX-License-Identifier: Apache-2.0
/// Models that compute in bfloat16: no further from float64 than PyTorch's own bfloat16 run of the same stored weights.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "veneer/io/json.hpp"

#include "golden/support.hpp"

namespace bfloat16_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

const fs::path folder = test_data / "bf16";

/// Returns the root mean square of x - exact, relative to that of exact.
double rms_distance(const std::vector<float>& x, const std::vector<float>& exact) {
  REQUIRE(x.size() == exact.size());
  double apart = 0.0, size = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(exact[i]);
    apart += difference * difference, size += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
  }
  return std::sqrt(apart / size);
}

double median_distance(const NamedValues& found, const NamedValues& exact) {
  std::vector<double> distances;
  for (const auto& [name, values] : exact) {
    if (values.empty()) continue;
    INFO(name);
    REQUIRE(found.count(name) == 1);
    distances.push_back(rms_distance(found.at(name), values));
  }
  REQUIRE(!distances.empty());
  std::sort(distances.begin(), distances.end());
  return distances[distances.size() / 2];
}

NamedValues gradients_of(ModelUnderTest& model, const TokenBatch& batch, double& loss) {
  model.train_everything();
  loss = model.backward(batch);
  return model.gradients();
}

std::vector<std::string> models() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("logits and gradients in bfloat16 are as near to float64 as PyTorch's") {
  const std::vector<std::string> names = models();
  REQUIRE(names.size() == 7);
  for (const std::string& name : names) {
    INFO(name);
    const Json record = read_json(folder / (name + ".json"));
    const Json& peer = record.at("distance_from_float64").at("bfloat16");
    const SafetensorsFile file(folder / (name + ".safetensors"));
    const TokenBatch batch = token_batch(file.at("input_ids"), &file.at("labels"), nullptr);
    ModelUnderTest model(test_data / "models" / name), exact(test_data / "models" / name);
    model.narrow(), exact.round();

    const double logits = rms_distance(model.logits(batch), floats(file.at("logits")));
    CAPTURE(logits);
    CHECK(logits > 0.0);
    CHECK(logits <= 1.15 * peer.at("logits").at("rms").get<double>());

    // The gradients in float serve as those in float64: their error is ten thousand times smaller.
    double loss = 0.0, exact_loss = 0.0;
    const NamedValues expected = gradients_of(exact, batch, exact_loss);
    const double gradients = median_distance(gradients_of(model, batch, loss), expected);
    CAPTURE(gradients, loss, exact_loss);
    CHECK(exact_loss == Approx(record.at("loss").get<double>()).epsilon(1e-5));
    CHECK(std::abs(loss - exact_loss) <= 0.01 * exact_loss);
    CHECK(gradients <= 1.15 * peer.at("gradients_rms_median").get<double>());
  }
}

TEST_CASE("training in bfloat16 stays as near to the float64 curve as PyTorch and PEFT do") {
  for (const std::string& name : models()) {
    INFO(name);
    const Json record = read_json(folder / (name + ".json"));
    const Json& training = record.at("training");
    const SafetensorsFile file(folder / (name + ".safetensors"));
    ModelUnderTest model(test_data / "models" / name);
    model.narrow();
    model.load_adapter(folder / ("adapter-" + name));
    model.optimise({.weight_decay = 0.0});
    const Json& exact = training.at("losses").at("float64");
    double away = 0.0;
    for (std::size_t step = 0; step < exact.size(); ++step) {
      const TensorEntry& ids = file.at("batches");
      const StepResult result =
          model.step({token_batch(ids, &ids, nullptr, static_cast<index_t>(step))}, training.at("learning_rate"));
      away += std::abs(result.loss - exact.at(step).get<double>()) / static_cast<double>(exact.size());
    }
    CAPTURE(away);
    CHECK(away <= 1.5 * training.at("mean_distance_from_float64").at("bfloat16").get<double>());
  }
}

}  // namespace bfloat16_test
