// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/named_adapters.hpp"

#include "veneer/backend/cpu.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/peft/combine.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace named_adapters_test {

using namespace veneer;

namespace {

using Layer = Linear<WeightSlot<float, Shape<dyn, dyn>, Cpu>, AnyAdapter<Cpu>, WeightSlot<float, Shape<dyn>, Cpu>>;

/// Two layers, for which a batch is its rows.
struct Own {
  using backend = Cpu;
  Cpu device{};
  Layer first, second;
  auto operator()(const auto& x) const { return second(silu(first(x))); }
  static constexpr auto fields = std::tuple{field("first", &Own::first), field("second", &Own::second)};
};

Own own(bool four_bits = false) {
  const auto weight = [&](index_t rows, index_t columns, std::uint64_t seed) {
    const auto values = testing::random_matrix<float, Cpu>(rows, columns, seed, 0.3);
    using Slot = WeightSlot<float, Shape<dyn, dyn>, Cpu>;
    return four_bits ? Slot(NF4Tensor(values, NF4Options{})) : Slot(values);
  };
  Own model;
  model.first.weight = weight(32, 16, 1), model.second.weight = weight(6, 32, 2);
  model.second.bias = testing::random_vector<float, Cpu>(6, 3);
  return model;
}

AdapterConfig config(index_t rank, ModuleChoice targets) {
  AdapterConfig config{.r = rank, .lora_alpha = 3};
  config.target_modules = std::move(targets);
  config.init_lora_weights = "false";  // so that an adapter does something at once
  return config;
}

NamedAdapters<Own> three(bool four_bits = false) {
  NamedAdapters<Own> adapters(own(four_bits));
  adapters.attach("a", config(2, {"first", "second"}), {.seed = 1});
  adapters.attach("b", config(4, {"second"}), {.seed = 2});
  adapters.attach("c", config(3, {"first", "second"}), {.seed = 3});
  return adapters;
}

const auto x = [] { return testing::random_matrix<float, Cpu>(40, 16, 9); };

}  // namespace

TEST_CASE("models by name share the weights of the base and leave it alone") {
  for (const bool four_bits : {false, true}) {
    const Own before = own(four_bits);
    const std::size_t used = cpu::Memory::instance().use().used;
    const NamedAdapters<Own> adapters = three(four_bits);
    const auto values = static_cast<std::size_t>(adapters.at("a").plan.trainable() + adapters.at("b").plan.trainable() +
                                                 adapters.at("c").plan.trainable());
    const std::size_t loaded = cpu::Memory::instance().use().used;
    const Own a = adapters.with("a"), sum = adapters.sum({"a", "b", "c"}), base = adapters.with("__base__");
    CHECK(cpu::Memory::instance().use().used == loaded);  // handles
    CHECK(loaded - used >= values * sizeof(float));
    CHECK(to_host(base(x())) == to_host(before(x())));
    CHECK(to_host(a(x())) != to_host(base(x())));
    CHECK(to_host(sum(x())) != to_host(a(x())));
    CHECK(to_host(adapters.with("a")(x())) == to_host(a(x())));
    CHECK(detail::place_of(a.first.weight) == detail::place_of(adapters.base().first.weight));
  }
}

TEST_CASE("one adapter of a sum learns, and nothing else moves a bit") {
  for (const bool four_bits : {false, true}) {
    const NamedAdapters<Own> adapters = three(four_bits);
    const auto values = [&](const std::string& name) {
      std::vector<float> all;
      Own model = adapters.with(name);
      visit_parameters(model, [&](const std::string&, auto& parameter) {
        const auto some = to_host(parameter.value());
        all.insert(all.end(), some.begin(), some.end());
      });
      return all;
    };
    const auto a = values("a"), b = values("b"), c = values("c");
    const auto base = to_host(adapters.base()(x()));
    Own model = adapters.sum({"a", "c", "b"}, "c");
    CHECK(trainable_count(model) == adapters.at("c").plan.trainable());
    AdamW optimizer(model, {.learning_rate = 0.01});
    const auto target = testing::random_matrix<float, Cpu>(40, 6, 11);
    const auto loss = [&](const Own& m) { return item(mean_squared_error(m(x()), target)); };
    const float before = loss(model);
    for (int step = 0; step < 20; ++step) {
      Tape tape;
      backward(mean_squared_error(model(tape.input(x())), target));
      optimizer.step();
    }
    CHECK(loss(model) < 0.9f * before);
    CHECK(values("a") == a);
    CHECK(values("b") == b);
    CHECK(values("c") != c);
    CHECK(to_host(adapters.base()(x())) == base);
    // One set of values, wherever it is seen; a learner is added first.
    CHECK(to_host(adapters.sum({"c", "a", "b"})(x())) == to_host(model(x())));
  }
}

TEST_CASE("the sum of outputs is the combination cat, in a model and merged") {
  NamedAdapters<Own> adapters = three();
  combine(adapters, "cat", {{"a", 1.0}, {"b", 1.0}, {"c", 1.0}}, {.type = Combination::cat});
  Own sum = adapters.sum({"a", "b", "c"}), cat = adapters.with("cat");
  CHECK(testing::largest_difference(sum(x()), cat(x())) < 1e-4);
  const auto adapted = sum(x());
  merge(sum), merge(cat);
  CHECK(testing::largest_difference(sum(x()), adapted) < 1e-4);
  CHECK(testing::largest_difference(sum(x()), cat(x())) < 1e-4);
  CHECK(adapters.at("cat").config.r == 9);
  CHECK(adapters.at("cat").config.target_modules.names == std::vector<std::string>{"first", "second"});
}

TEST_CASE("methods other than LoRA: what is a term joins a sum, what is not is refused by name") {
  NamedAdapters<Own> adapters = three();
  AdapterConfig vera = config(1, {"first"});
  vera.method = Vera{.r = 5, .init_weights = false};
  adapters.attach("vera", vera);
  AdapterConfig dora = config(2, {"first"}), ia3;
  dora.use_dora = true;
  ia3.target_modules = {"second"};
  ia3.method = Ia3{.init_ia3_weights = false};
  adapters.attach("dora", dora);
  adapters.attach("ia3", ia3);
  const Own sum = adapters.sum({"a", "vera"});
  const auto expected = add(add(adapters.with("a").first(x()), adapters.with("vera").first(x())),
                            scale(adapters.base().first(x()), -1.0));
  CHECK(testing::largest_difference(sum.first(x()), expected) < 1e-4);
  CHECK_THROWS_WITH(adapters.sum({"a", "dora"}), Catch::Contains("\"dora\" of first") && Catch::Contains("merge"));
  CHECK_THROWS_WITH(adapters.sum({"ia3"}), Catch::Contains("\"ia3\" of second"));
  CHECK_THROWS_WITH(adapters.sum({"a", "vera"}, "vera"), Catch::Contains("only LoRA learns"));
  CHECK_THROWS_WITH(combine(adapters, "d", {{"a", 1.0}, {"dora", 1.0}}), Catch::Contains("\"dora\" of first"));
}

TEST_CASE("names are checked, and a model that is adapted is no base") {
  NamedAdapters<Own> adapters = three();
  CHECK(adapters.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK_THROWS_WITH(adapters.attach("a", config(2, {"first"})), Catch::Contains("\"a\" already"));
  CHECK_THROWS_AS(adapters.attach("", config(2, {"first"})), ArgumentError);
  CHECK_THROWS_WITH(adapters.with("d"), Catch::Contains("\"d\"; there are a, b, c"));
  CHECK_THROWS_WITH(adapters.sum({"a", "a"}), Catch::Contains("twice"));
  CHECK_THROWS_WITH(adapters.sum({"a"}, "b"), Catch::Contains("\"b\" is to learn"));
  adapters.erase("b");
  CHECK_FALSE(adapters.contains("b"));
  CHECK_NOTHROW(adapters.attach("b", config(2, {"first"})));
  CHECK_THROWS_WITH(NamedAdapters<Own>(adapters.with("a")), Catch::Contains("first has an adapter already"));
}

TEST_CASE("biases that trained come from one adapter at most, and are frozen where another learns") {
  NamedAdapters<Own> adapters(own());
  AdapterConfig biased = config(2, {"second"});
  biased.bias = LoraBias::all;
  adapters.attach("biased", biased);
  adapters.attach("other", biased);
  adapters.attach("plain", config(2, {"first"}), {.seed = 4});
  Own trained = adapters.with("biased");
  const std::vector<float> values = to_host(testing::random_vector<float, Cpu>(6, 8));
  auto& bias = trained.second.bias.parameter();
  bias.device().copy_in(bias.value().data(), values.data(), 6);  // as an optimiser does
  CHECK_THROWS_WITH(adapters.sum({"biased", "other"}),
                    Catch::Contains("\"biased\"") && Catch::Contains("\"other\"") && Catch::Contains("second.bias"));
  Own sum = adapters.sum({"biased", "plain"}, "plain");
  CHECK(trainable_count(sum) == adapters.at("plain").plan.trainable());
  CHECK(testing::same_bits(sum.second.bias.dense_copy(), adapters.with("biased").second.bias.dense_copy()));
  CHECK(to_host(sum.second.bias.dense_copy()) == values);
  CHECK(to_host(adapters.base().second.bias.dense_copy()) != values);
}

TEST_CASE("an adapter that replaced a weight of the base is used alone") {
  NamedAdapters<Own> adapters = three();
  Own other = adapters.base();
  const AdapterPlan plan = attach(other, config(2, {"first"}));
  other.first.weight = testing::random_matrix<float, Cpu>(32, 16, 77);
  adapters.add("moved", other, config(2, {"first"}), plan);
  CHECK(to_host(adapters.with("moved")(x())) == to_host(other(x())));
  CHECK_THROWS_WITH(adapters.sum({"a", "moved"}), Catch::Contains("another first.weight"));
}

}  // namespace named_adapters_test
