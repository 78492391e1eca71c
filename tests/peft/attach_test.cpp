// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/attach.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/llama.hpp"
#include "veneer/peft/merge.hpp"

#include "support/catch.hpp"

namespace attach_test {

using namespace veneer;

namespace {

using AnyModel = Llama<LlamaExtents{}, Cpu, stored<float>, AnyAdapter<Cpu>, AnyEmbeddingAdapter<Cpu>>;

/// Shapes only: nothing of a model's size is allocated.
AnyModel shape_only(index_t vocabulary, index_t hidden, index_t intermediate, index_t layers, index_t heads,
                    index_t kv_heads) {
  LlamaConfig config;
  config.vocab_size = vocabulary;
  config.hidden_size = hidden;
  config.intermediate_size = intermediate;
  config.num_hidden_layers = layers;
  config.num_attention_heads = heads;
  config.num_key_value_heads = kv_heads;
  config.head_dim = hidden / heads;
  config.window.assign(static_cast<std::size_t>(layers), 0);
  return AnyModel(config);
}

AdapterConfig lora(index_t r, ModuleChoice modules) {
  AdapterConfig config{.r = r, .lora_alpha = 2.0 * static_cast<double>(r)};
  config.target_modules = std::move(modules);
  return config;
}

std::vector<std::string> names_of(const AdapterPlan& plan) {
  std::vector<std::string> names;
  for (const AdaptedModule& adapted : plan.modules) names.push_back(adapted.name);
  return names;
}

using Layer = Linear<Tensor<float, Shape<dyn, dyn>, Cpu>, AnyAdapter<Cpu>>;
struct Own {
  Layer first, second;
  auto operator()(const auto& x) const { return second(silu(first(x))); }
  static constexpr auto fields = std::tuple{field("first", &Own::first), field("second", &Own::second)};
};

struct Bare {
  Linear<Tensor<float, Shape<8, 4>, Cpu>> up;
  static constexpr auto fields = std::tuple{field("up", &Bare::up)};
};

/// A device among several.
struct NumberedCpu : Cpu {
  int number = 0;
};
static_assert(Backend<NumberedCpu>);

struct OnOneDevice {
  using Slot = AdapterSlot<LowRankAdapter<NumberedCpu>, DoraAdapter<NumberedCpu>, VeraAdapter<NumberedCpu>>;
  Linear<Tensor<float, Shape<dyn, dyn>, NumberedCpu>, Slot> fixed;
  Linear<WeightSlot<float, Shape<dyn, dyn>, NumberedCpu>, Slot> stored;
  static constexpr auto fields = std::tuple{field("fixed", &OnOneDevice::fixed), field("stored", &OnOneDevice::stored)};
};

}  // namespace

TEST_CASE("an adapter is made on the device of its weight") {
  const NumberedCpu device{{}, 3};
  OnOneDevice model;
  model.fixed.weight = normal<float>(Shape<dyn, dyn>(6, 4), {1, 1}, 1.0, device);
  model.stored.weight = convert<bfloat16>(normal<float>(Shape<dyn, dyn>(6, 4), {1, 2}, 1.0, device));
  CHECK(DoraAdapter<NumberedCpu>(model.fixed.weight, {}, {}, 2).direction.down.device().number == 3);
  std::vector<AdapterConfig> configs(3, lora(2, {"fixed", "stored"}));
  configs[1].use_dora = true;
  configs[2].method = Vera{.r = 2};
  for (const AdapterConfig& config : configs) {
    for (const bool initialise : {true, false}) {
      attach(model, config, {.initialise = initialise});
      int found = 0;
      visit(model, [&](const std::string& name, const auto& part) {
        if constexpr (ParameterLike<decltype(part)>) {
          if (part.slot() == nullptr) return;
          INFO(name);
          CHECK(part.device().number == 3);
          ++found;
        }
      });
      CHECK(found >= 4);
    }
  }
}

TEST_CASE("Parameter counts of real models, without allocating them") {
  const std::size_t before = cpu::Memory::instance().use().used;
  AnyModel llama2 = shape_only(32000, 4096, 11008, 32, 32, 32);
  CHECK(plan_adapter(llama2, lora(16, {"q_proj", "v_proj"})).trainable() == 8'388'608);
  const AdapterPlan eight = plan_adapter(llama2, lora(8, {"q_proj", "v_proj"}));
  CHECK(eight.all() == 6'742'609'920);
  std::ostringstream text;
  text << eight;
  const std::string line = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622\n";
  CHECK(text.str().ends_with(line));
  CHECK(plan_adapter(llama2, lora(16, ModuleChoice::all_linear())).trainable() == 39'976'960);
  AnyModel mistral = shape_only(32000, 4096, 14336, 32, 32, 8);
  CHECK(plan_adapter(mistral, lora(16, {"q_proj", "k_proj", "v_proj", "o_proj"})).trainable() == 13'631'488);
  AnyModel llama3 = shape_only(128256, 4096, 14336, 32, 32, 8);
  CHECK(plan_adapter(llama3, lora(16, {"q_proj", "v_proj"})).all() == 8'037'076'992);
  CHECK(cpu::Memory::instance().use().used == before);
}

TEST_CASE("Modules are chosen by list, expression, all-linear, exclusion and layer") {
  AnyModel model = shape_only(32, 16, 24, 3, 2, 2);
  CHECK(plan_adapter(model, lora(2, ModuleChoice::all_linear())).modules.size() == 3 * 7);
  CHECK(names_of(plan_adapter(model, lora(2, ModuleChoice::regex(".*layers\\.1\\.mlp\\.(up|down)_proj")))) ==
        std::vector<std::string>{"model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"});
  AdapterConfig some = lora(2, {"q_proj", "v_proj"});
  some.layers_to_transform = std::vector<index_t>{2};
  some.exclude_modules = {"v_proj"};
  CHECK(names_of(plan_adapter(model, some)) == std::vector<std::string>{"model.layers.2.self_attn.q_proj"});
}

TEST_CASE("The first pattern that matches decides rank and alpha") {
  AnyModel model = shape_only(32, 16, 24, 2, 2, 2);
  AdapterConfig config = lora(4, {"q_proj", "down_proj"});
  config.rank_pattern = {{"layers.1.mlp.down_proj", 7}, {"down_proj", 3}};
  config.alpha_pattern = {{"q_proj", 5}};
  const AdapterPlan plan = plan_adapter(model, config);
  for (const AdaptedModule& adapted : plan.modules) {
    const bool down = adapted.name.ends_with("down_proj");
    CHECK(adapted.rank == (!down ? 4 : adapted.name.find(".1.") != std::string::npos ? 7 : 3));
    CHECK(adapted.alpha == (down ? 8 : 5));
    CHECK(adapted.scaling == Approx(adapted.alpha / static_cast<double>(adapted.rank)));
    CHECK(adapted.parameters == adapted.rank * (adapted.in + adapted.out));
  }
}

TEST_CASE("What matches nothing is an error that names the candidates") {
  AnyModel model = shape_only(32, 16, 24, 2, 2, 2);
  CHECK_THROWS_WITH(plan_adapter(model, lora(2, {"query"})), Catch::Contains("q_proj"));
  AdapterConfig unused = lora(2, {"q_proj", "query"});
  CHECK_THROWS_WITH(plan_adapter(model, unused), Catch::Contains("\"query\" matches no module"));
  CHECK(plan_adapter(model, unused, false).warnings.size() == 1);
  AdapterConfig pattern = lora(2, {"q_proj"});
  pattern.rank_pattern = {{"v_proj", 3}};
  CHECK_THROWS_AS(plan_adapter(model, pattern), ArgumentError);
  AdapterConfig dora = lora(2, {"q_proj"});
  dora.use_dora = true;  // its lengths are those of weights, and here are shapes only
  CHECK_THROWS_WITH(attach(model, dora), Catch::Contains("load its weights first"));
  AdapterConfig pissa = lora(2, {"q_proj"});
  pissa.init_lora_weights = "pissa";
  CHECK_THROWS_WITH(attach(model, pissa), Catch::Contains("pissa"));
}

TEST_CASE("attach works on a model of one's own, and starts as the model was") {
  Own model;
  model.first.weight = normal<float>(Shape<dyn, dyn>(12, 6), RandomStream{1, 1}, 1.0, Cpu{});
  model.second.weight = normal<float>(Shape<dyn, dyn>(3, 12), RandomStream{1, 2}, 1.0, Cpu{});
  const auto x = normal<float>(Shape<dyn, dyn>(5, 6), RandomStream{1, 3}, 1.0, Cpu{});
  const auto before = to_host(model(x));
  const AdapterPlan plan = attach(model, lora(2, {"first"}), {.seed = 9});
  CHECK(to_host(model(x)) == before);
  CHECK(trainable_count(model) == plan.trainable());
  CHECK(plan.all() == 12 * 6 + 3 * 12 + 2 * (12 + 6));
  CHECK_FALSE(model.second.adapter);
  auto* adapter = model.first.adapter.get<LowRankAdapter<Cpu>>();
  REQUIRE(adapter != nullptr);
  const auto down = to_host(adapter->down.value());
  const float bound = 1.0f / std::sqrt(6.0f);
  for (const float value : down) CHECK(std::abs(value) <= bound);

  Own again = model;
  attach(again, lora(2, {"first"}), {.seed = 9});
  CHECK(to_host(again.first.adapter.get<LowRankAdapter<Cpu>>()->down.value()) == down);
  attach(again, lora(2, {"first"}), {.seed = 10});
  CHECK(to_host(again.first.adapter.get<LowRankAdapter<Cpu>>()->down.value()) != down);
  detach(again);
  CHECK_FALSE(again.first.adapter);
}

namespace {

/// A small model with values; `tied` shares the head.
AnyModel small(bool tied = false) {
  LlamaConfig config;
  config.vocab_size = 32, config.hidden_size = 16, config.intermediate_size = 24, config.num_hidden_layers = 2;
  config.num_attention_heads = config.num_key_value_heads = 2, config.head_dim = 8;
  config.window = {0, 0};
  config.qkv_bias = true;
  config.tie_word_embeddings = tied;
  AnyModel model(config);
  visit(model, [](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (WeightSlotLike<Part>) {
      if (present(part)) part = Part(normal<float>(part.shape(), RandomStream{8, detail::name_hash(name)}, 0.3, Cpu{}));
    }
  });
  return model;
}

std::vector<std::string> trainable_names(AnyModel& model) {
  std::vector<std::string> names;
  visit_parameters(model, [&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

std::vector<AdapterConfig> configs() {
  std::vector<AdapterConfig> all{lora(2, {"q_proj", "v_proj"}), lora(3, ModuleChoice::all_linear())};
  AdapterConfig saved = lora(2, {"q_proj"});
  saved.modules_to_save = std::vector<std::string>{"lm_head"};
  all.push_back(saved);
  saved.modules_to_save = std::vector<std::string>{"model.norm", "k_proj"};
  all.push_back(saved);
  for (const LoraBias bias : {LoraBias::all, LoraBias::lora_only}) {
    AdapterConfig biased = lora(2, {"q_proj", "o_proj"});
    biased.bias = bias;
    all.push_back(biased);
  }
  AdapterConfig own_bias = lora(2, {"gate_proj"});
  own_bias.lora_bias = true;
  all.push_back(own_bias);
  all.push_back(lora(2, {"embed_tokens", "q_proj"}));
  all.push_back(lora(2, {"lm_head"}));
  return all;
}

}  // namespace

TEST_CASE("What a plan counts is what trains, whatever was attached before") {
  for (const bool tied : {false, true}) {
    AnyModel model = small(tied);
    for (const AdapterConfig& config : configs()) {
      AnyModel fresh = small(tied);
      const AdapterPlan first = attach(fresh, config), later = attach(model, config);
      CHECK(first.trainable() == trainable_count(fresh));
      CHECK(later.trainable() == trainable_count(model));
      CHECK(trainable_names(model) == trainable_names(fresh));
    }
    detach(model);
    CHECK(trainable_count(model) == 0);
    const AdapterPlan whole = train_everything(model);
    CHECK(whole.trainable() == trainable_count(model));
    attach(model, lora(2, {"q_proj"}));
    CHECK(trainable_count(model) == 2 * 2 * (16 + 16));
  }
}

TEST_CASE("Modules that are saved train as copies, and count beside the base") {
  AnyModel model = small();
  AdapterConfig config = lora(2, {"q_proj"});
  config.modules_to_save = std::vector<std::string>{"lm_head"};
  const AdapterPlan plan = attach(model, config);
  REQUIRE(plan.trained.size() == 1);
  CHECK(plan.trained[0].name == "lm_head.weight");
  CHECK(plan.trained[0].copied);
  CHECK(plan.all() == plan.base_parameters + plan.trainable());
  CHECK(model.lm_head.weight.trainable());
  CHECK(std::holds_alternative<Tensor<float, Shape<dyn, dyn>, Cpu>>(model.lm_head.weight.stored()));
}

TEST_CASE("Biases train in place: all of them, or those of adapted modules") {
  const auto biases = [](LoraBias choice) {
    AnyModel model = small();
    AdapterConfig config = lora(2, {"q_proj", "o_proj"});
    config.bias = choice;
    const AdapterPlan plan = attach(model, config);
    for (const TrainedWeight& weight : plan.trained) CHECK_FALSE(weight.copied);
    return plan.trained.size();
  };
  CHECK(biases(LoraBias::none) == 0);
  CHECK(biases(LoraBias::all) == 2 * 3);        // q, k and v of two layers
  CHECK(biases(LoraBias::lora_only) == 2 * 1);  // o has none
}

TEST_CASE("An attach that is refused leaves the model as it was") {
  AnyModel model = small();
  attach(model, lora(2, {"embed_tokens", "q_proj"}));
  const auto before = trainable_names(model);
  AdapterConfig corda = lora(2, {"v_proj"});
  corda.init_lora_weights = "corda";
  for (const AdapterConfig& refused : {corda, lora(2, {"nothing"}), lora(0, {"v_proj"})}) {
    CHECK_THROWS_AS(attach(model, refused), ArgumentError);
    CHECK(trainable_names(model) == before);
  }
}

TEST_CASE("A model of shapes alone takes an adapter of shapes alone") {
  AnyModel model = shape_only(32, 16, 24, 2, 2, 2);
  AdapterConfig config = lora(2, {"q_proj"});
  config.modules_to_save = std::vector<std::string>{"lm_head"};
  const std::size_t before = cpu::Memory::instance().use().used;
  const AdapterPlan plan = attach(model, config, {.initialise = false});
  CHECK(cpu::Memory::instance().use().used == before);
  CHECK(plan.trainable() == 2 * 2 * (16 + 16) + 32 * 16);
  CHECK(model.lm_head.weight.trainable());
}

TEST_CASE("Initialisations: A as named, B zero unless told otherwise") {
  const auto factors = [](const std::string& start) {
    AnyModel model = small();
    AdapterConfig config = lora(4, {"q_proj"});
    config.init_lora_weights = start;
    attach(model, config, {.seed = 3});
    const auto* adapter = model.model.layers[0].self_attn.q_proj.adapter.get<LowRankAdapter<Cpu>>();
    REQUIRE(adapter != nullptr);
    return std::pair{to_host(adapter->down.value()), to_host(adapter->up.value())};
  };
  const auto largest = [](const std::vector<float>& values) {
    float most = 0.0f;
    for (const float value : values) most = std::max(most, std::abs(value));
    return most;
  };
  CHECK(largest(factors("true").second) == 0.0f);
  CHECK(largest(factors("gaussian").second) == 0.0f);
  CHECK(largest(factors("gaussian").first) > 0.25f);  // a stddev of 1/4: some of 64 values lie beyond it
  CHECK(largest(factors("false").second) > 0.0f);
  CHECK(factors("true").first != factors("gaussian").first);
  CHECK(factors("true").first == factors("false").first);
}

TEST_CASE("a layer whose 4-bit weight is in its type takes an adapter, and merges into it") {
  using Packed = Linear<NF4Tensor<Shape<64, 32>, Cpu>, AnyAdapter<Cpu>>;
  const auto w = normal<float>(Shape<64, 32>(), RandomStream{1, 2}, 0.5, Cpu{});
  const auto x = normal<float>(Shape<dyn, 32>(5), RandomStream{1, 3}, 1.0, Cpu{});
  std::vector<Packed> model{Packed{.weight = NF4Tensor(w)}};
  const auto before = to_host(model[0](x));
  attach(model, lora(4, {"0"}), {.seed = 1});
  CHECK(to_host(model[0](x)) == before);  // B is zero
  auto* adapter = model[0].adapter.get<LowRankAdapter<Cpu>>();
  REQUIRE(adapter != nullptr);
  adapter->up.value() = normal<float>(Shape<dyn, dyn>(64, 4), RandomStream{1, 4}, 1.0, Cpu{});
  const auto sum = to_host(adapter->merged(model[0].weight, NoBias{}).weight);
  merge(model);
  CHECK_FALSE(model[0].adapter);
  CHECK(to_host(decode(model[0].weight)) == to_host(decode(NF4Tensor(from_host<float>(Shape<64, 32>(), sum, Cpu{})))));
}

TEST_CASE("a model without an adapter slot is named as such") {
  Bare model;
  CHECK_THROWS_WITH(attach(model, lora(2, {"up"})), Catch::Contains("no layer of this model has an adapter slot"));
}

TEST_CASE("tokens do not train where config.json says tied and the files hold another head") {
  const AdapterConfig config{.target_modules = {"q_proj"}, .trainable_token_indices = {{{"", {1, 2}}}}};
  AnyModel tied = small(true), separated = small(true);
  separated.separate_head();
  CHECK_THROWS_WITH(attach(separated, config), Catch::Contains("Set tie_word_embeddings to false"));
  CHECK(attach(tied, config).tokens.at(0).shared);
}

}  // namespace attach_test
