// SPDX-License-Identifier: Apache-2.0
/// Training runs of PEFT with torch.optim.AdamW, repeated step by step.
#include <filesystem>

#include "veneer/backend/cpu.hpp"
#include "veneer/optim/lora_plus.hpp"
#include "veneer/optim/schedule.hpp"

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace curves_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

struct Curve {
  fs::path folder, initial;
  Json settings, losses;
  SafetensorsFile batches;
  std::size_t steps, micro_batches;

  explicit Curve(const std::string& name)
      : Curve(test_data / "curves" / name, "initial", read_json(test_data / "curves" / name / "settings.json")) {}
  Curve(const fs::path& run, const char* start, Json of_run)
      : folder(run),
        initial(folder / start),
        settings(std::move(of_run)),
        losses(read_json(folder / "losses.json")),
        batches(folder / "batches.safetensors"),
        steps(static_cast<std::size_t>(integer("steps"))),
        micro_batches(static_cast<std::size_t>(integer("micro_batches"))) {}

  std::int64_t integer(const char* key) const { return json_integer(settings, key, folder.string()); }
  double number(const char* key) const { return json_number(settings, key, folder.string()); }
  double max_norm() const { return find_number(settings, "max_grad_norm", folder.string()).value_or(0.0); }
  std::vector<double> rates() const {
    return json_get<std::vector<double>>(settings, "learning_rates", folder.string());
  }

  /// Returns the initial model: base, and adapter or everything trainable.
  ModelUnderTest model() const {
    ModelUnderTest start(test_data / json_text(settings, "base", folder.string()));
    if (json_text(settings, "method", folder.string()) == "full") {
      start.train_everything();
    } else {
      start.load_adapter(initial);
    }
    const auto betas = json_get<std::vector<double>>(settings, "betas", folder.string());
    std::function<ParameterGroup(const std::string&, int)> groups;
    if (const auto ratio = find_number(settings, "loraplus_lr_ratio", folder.string()))
      groups = LoraPlus{.ratio = *ratio, .learning_rate = number("learning_rate")};
    start.optimise({.learning_rate = number("learning_rate"),
                    .beta1 = betas[0],
                    .beta2 = betas[1],
                    .epsilon = number("eps"),
                    .weight_decay = number("weight_decay")},
                   groups);
    return start;
  }

  std::vector<TokenBatch> step_batches(std::size_t step) const {
    std::vector<TokenBatch> micro;
    const bool alone = batches.contains("batches");  // every token is the label of the one before it
    const TensorEntry &ids = batches.at(alone ? "batches" : "input_ids"), &labels = alone ? ids : batches.at("labels");
    for (std::size_t k = 0; k < micro_batches; ++k) {
      const auto entry = static_cast<index_t>(step * micro_batches + k);
      micro.push_back(token_batch(ids, &labels, nullptr, entry));
    }
    return micro;
  }

  std::vector<StepResult> run(ModelUnderTest& model, std::size_t count) const {
    const std::vector<double> rate = rates();
    std::vector<StepResult> results;
    for (std::size_t step = 0; step < count; ++step)
      results.push_back(model.step(step_batches(step), rate[step], max_norm()));
    return results;
  }
};

const std::vector<std::string> curves{"dora",           "dora-bias",         "full",
                                      "lora-bf16-base", "lora-bias-all",     "lora-patterns-cosine-clip-accumulate",
                                      "lora-qv",        "lora-qv-nonzero-b", "loraplus",
                                      "rslora"};

double magnitude(const NamedValues& a) {
  double sum = 0.0;
  for (const auto& [key, values] : a)
    for (const float x : values) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

double distance(const NamedValues& a, const NamedValues& b) {
  double sum = 0.0;
  for (const auto& [key, values] : b) {
    const std::vector<float>& other = a.at(key);
    REQUIRE(other.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double apart = static_cast<double>(other[i]) - static_cast<double>(values[i]);
      sum += apart * apart;
    }
  }
  return std::sqrt(sum);
}

NamedValues read_all(const SafetensorsFile& file, const std::string& prefix = "") {
  NamedValues values;
  for (const std::string& name : file.names()) {
    if (name.rfind(prefix, 0) == 0) values[name.substr(prefix.size())] = floats(file.at(name));
  }
  return values;
}

/// Returns the folder's weights after training.
SafetensorsFile final_weights(const Curve& curve) {
  const fs::path full = curve.folder / "final.safetensors";
  return SafetensorsFile(fs::exists(full) ? full : curve.folder / "final" / "adapter_model.safetensors");
}

}  // namespace

TEST_CASE("training follows the recorded losses and gradient norms, and ends at the recorded weights") {
  for (const std::string& name : curves) {
    INFO(name);
    const Curve curve(name);
    const std::string where = curve.folder.string();
    ModelUnderTest model = curve.model();
    const NamedValues start = model.parameters();
    const std::vector<StepResult> steps = curve.run(model, curve.steps);
    REQUIRE(curve.losses.size() == steps.size());
    const double tolerance = curve.number("suggested_relative_tolerance_of_losses");
    for (std::size_t i = 0; i < steps.size(); ++i) {
      INFO("step " << i + 1);
      const Json& row = curve.losses[i];
      CHECK(steps[i].loss == Approx(json_number(row, "loss", where)).epsilon(tolerance));
      CHECK(steps[i].gradient_norm == Approx(json_number(row, "gradient_norm", where)).epsilon(1e-4));
      const auto micro = json_find<std::vector<double>>(row, "micro_losses", where).value_or(std::vector<double>());
      for (std::size_t k = 0; k < micro.size(); ++k)
        CHECK(steps[i].micro_losses.at(k) == Approx(micro[k]).epsilon(tolerance));
    }
    const NamedValues recorded = read_all(final_weights(curve)), found = model.parameters();
    const double moved = distance(start, recorded), apart = distance(found, recorded);
    const double allowed = json_number(json_member(curve.settings, "fp64_divergence", where),
                                       "parameters_apart_over_parameters_moved", where);
    CHECK(moved > 0.1);
    CHECK(apart / moved < 10.0 * allowed);
  }
}

namespace {

/// Returns a run over a 4-bit base, with settings in the form of the others.
Curve quantised_curve(const std::string& name) {
  const fs::path folder = test_data / "nf4/qlora" / name;
  Json settings = read_json(folder / "settings.json");
  const Json optimizer = settings.at("optimizer");
  for (const char* key : {"betas", "eps", "weight_decay"}) settings[key] = optimizer.at(key);
  settings["learning_rate"] = optimizer.at("lr");
  settings["learning_rates"] = std::vector<double>(settings.at("steps").get<std::size_t>(), optimizer.at("lr"));
  settings["base"] = "nf4/" + settings.at("base").get<std::string>();
  settings["method"] = settings.at("adapter");
  settings["micro_batches"] = 1;
  return Curve(folder, "init", std::move(settings));
}

}  // namespace

TEST_CASE("training over a base in 4 bits follows the recorded losses and gradient norms to the recorded adapter") {
  for (const std::string name : {"lora", "dora", "lora_bf16"}) {
    INFO(name);
    const Curve curve = quantised_curve(name);
    const Json& apart = curve.settings.at("divergence_at_last_step");  // of the recorded run from one in double
    const auto allowed = [&](const char* what) { return 10.0 * apart.at(what).get<double>(); };
    ModelUnderTest model = curve.model();
    const NamedValues start = model.parameters();
    const std::vector<StepResult> steps = curve.run(model, curve.steps);
    const Json &recorded = curve.losses.at("float32"), &exact = curve.losses.at("float64");
    REQUIRE(recorded.size() == steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      INFO("step " << i + 1);
      const double loss = recorded[i].at("loss").get<double>(), norm = recorded[i].at("grad_norm").get<double>();
      CHECK(std::abs(steps[i].loss / loss - 1.0) < allowed("loss_rel_max"));
      CHECK(std::abs(steps[i].gradient_norm / norm - 1.0) < allowed("grad_norm_rel_max"));
      // The matmuls are in float, whatever the type of the recorded run: the run in double is nearer.
      CHECK(steps[i].loss == Approx(exact[i].at("loss").get<double>()).epsilon(1e-6));
      CHECK(steps[i].gradient_norm == Approx(exact[i].at("grad_norm").get<double>()).epsilon(2e-6));
    }
    const NamedValues end = read_all(final_weights(curve)), found = model.parameters();
    CHECK(distance(start, end) > 1.0);
    CHECK(distance(found, end) < allowed("adapter_update_rel") * distance(start, end));
  }
}

TEST_CASE("AdaLoRA follows the recorded losses, keeps the recorded triplets, and is written as PEFT writes it") {
  const Curve curve("adalora");
  const std::string where = curve.folder.string();
  const double tolerance = curve.number("suggested_relative_tolerance_of_losses");
  ModelUnderTest model = curve.model();
  int allocations = 0;
  for (std::size_t i = 0; i < curve.steps; ++i) {
    INFO("step " << i + 1);
    const Json& row = curve.losses[i];
    const StepResult step = model.step(curve.step_batches(i), curve.rates()[i], curve.max_norm());
    CHECK(step.loss == Approx(json_number(row, "loss", where)).epsilon(tolerance));
    CHECK(step.micro_losses.at(0) == Approx(json_number(row, "cross_entropy", where)).epsilon(tolerance));
    CHECK(step.gradient_norm == Approx(json_number(row, "gradient_norm", where)).epsilon(1e-4));
    const Json* allocation = find_json(row, "allocation");
    if (allocation == nullptr) continue;
    ++allocations;
    const auto kept = model.kept_triplets();
    for (const auto& entry : json_member(*allocation, "kept", where).get_ref<const Json::object_t&>()) {
      INFO(entry.first);
      std::vector<bool> expected;
      for (const Json& one : entry.second) expected.push_back(one == Json(1) || one == Json(true));
      CHECK(kept.at(entry.first) == expected);
    }
  }
  CHECK(allocations == curve.integer("allocations"));

  const TemporaryFolder temporary;
  const NamedValues start = model.parameters();
  model.save_adapter(temporary / "final");
  CHECK(model.parameters() == start);  // what is cut out of the file stays in the model
  const SafetensorsFile recorded(curve.folder / "final" / "adapter_model.safetensors"),
      found(temporary / "final" / "adapter_model.safetensors");
  REQUIRE(found.names() == recorded.names());
  for (const std::string& name : recorded.names()) CHECK(found.at(name).shape == recorded.at(name).shape);
  CHECK(distance(read_all(found), read_all(recorded)) < 1e-4 * magnitude(read_all(recorded)));
  const std::string written = file_bytes(temporary / "final" / "adapter_config.json");
  CHECK(written == file_bytes(curve.folder / "final" / "adapter_config.json"));

  ModelUnderTest again(test_data / json_text(curve.settings, "base", where));
  again.load_adapter(temporary / "final");
  const TokenBatch batch = curve.step_batches(0)[0];
  CHECK(relative_distance(again.logits(batch), model.logits(batch)) < 1e-6);
  CHECK_THROWS_WITH(again.optimise({}), Catch::Contains("was masked"));
}

TEST_CASE("the first step has the recorded gradients and leads to the recorded weights") {
  std::vector<std::string> all = curves;
  all.push_back("adalora");
  for (const std::string& name : all) {
    const Curve curve(name);
    const SafetensorsFile expected(curve.folder / "first_step.safetensors");
    ModelUnderTest model = curve.model();
    model.gather(curve.step_batches(0));
    const NamedValues gradients = model.gradients(), recorded = read_all(expected, "grad.");
    REQUIRE_FALSE(recorded.empty());
    for (const auto& [key, values] : recorded) {
      INFO(name << ": grad of " << key);
      CHECK(relative_distance(gradients.at(key), values) < 1e-5);  // exactly 0 where 0 was recorded
    }
    model.clear_gradients();
    const NamedValues start = model.parameters();
    curve.run(model, 1);
    // The first update is rate * g / (|g| + eps): if g is as small as eps it depends on the last bits of g, so single
    // elements may differ more than all of them together; and each sum with the weight may round to an adjacent value.
    const NamedValues after = model.parameters(), weights = read_all(expected, "param.");
    REQUIRE(weights.size() == recorded.size());
    for (const auto& [key, values] : weights) {
      INFO(name << ": " << key);
      const NamedValues one{{key, values}};
      const NamedValues zero{{key, std::vector<float>(values.size(), 0.0f)}};
      const double last_bits = static_cast<double>(std::numeric_limits<float>::epsilon()) * distance(zero, one);
      CHECK(distance(after, one) <= 1e-5 * distance(start, one) + last_bits);
    }
  }
}

TEST_CASE("schedules give the recorded rates") {
  for (const std::string& name : curves) {
    INFO(name);
    const Curve curve(name);
    const Schedule schedule{.kind = Schedule::kind_of(json_text(curve.settings, "schedule", name)),
                            .warmup = curve.integer("warmup_steps"),
                            .total = curve.integer("steps")};
    const std::vector<double> rates = curve.rates();
    for (std::size_t i = 0; i < rates.size(); ++i) {
      CHECK(curve.number("learning_rate") * schedule.factor(static_cast<index_t>(i)) ==
            Approx(rates[i]).epsilon(1e-12).margin(1e-18));
    }
  }
}

TEST_CASE("an adapter trained at any number of threads, or again, has the same bytes") {
  const Curve curve("lora-patterns-cosine-clip-accumulate");
  const TemporaryFolder temporary;
  const int threads_before = Cpu::threads();
  std::string first;
  for (const int threads : {1, 2, 3, 4, 1}) {
    INFO(threads << " threads");
    Cpu::set_threads(threads);
    ModelUnderTest model = curve.model();
    curve.run(model, 3);
    model.save_adapter(temporary / "adapter");
    const std::string bytes = file_bytes(temporary / "adapter" / "adapter_model.safetensors");
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
  Cpu::set_threads(threads_before);
  CHECK(first != file_bytes(curve.folder / "initial" / "adapter_model.safetensors"));
}

TEST_CASE("a trained adapter goes on from its folder as from memory when the optimiser starts anew") {
  const Curve curve("lora-qv");
  const TemporaryFolder temporary;
  ModelUnderTest model = curve.model();
  curve.run(model, 2);
  model.save_adapter(temporary / "adapter");
  ModelUnderTest again = curve.model();
  again.load_adapter(temporary / "adapter");
  CHECK(again.parameters() == model.parameters());
  model.optimise({});
  again.optimise({});
  for (std::size_t step = 2; step < 4; ++step) {
    CHECK(model.step(curve.step_batches(step), 0.01).loss == again.step(curve.step_batches(step), 0.01).loss);
  }
  CHECK(again.parameters() == model.parameters());
}

TEST_CASE("training leaves frozen weights as they are and makes no gradient for them") {
  for (const std::string name : {"lora-qv", "lora-bf16-base", "lora-bias-all"}) {
    INFO(name);
    const Curve curve(name);
    ModelUnderTest model = curve.model();
    const auto before = model.stored();
    std::size_t trained_bytes = 0, frozen_bytes = 0;
    for (const auto& [key, values] : model.parameters()) trained_bytes += values.size() * sizeof(float) + 64;
    for (const auto& [weight, bytes] : before) frozen_bytes += bytes.size();

    const std::size_t used = cpu::Memory::instance().use().used;
    model.gather(curve.step_batches(0));
    const std::size_t gradients = cpu::Memory::instance().use().used - used;
    CHECK(gradients > 0);
    CHECK(gradients < 2 * trained_bytes);  // memory after the backward pass: gradients of the trained parameters
    CHECK(2 * trained_bytes < frozen_bytes);
    model.clear_gradients();

    curve.run(model, 6);
    CHECK(model.stored() == before);
  }
}

}  // namespace curves_test
