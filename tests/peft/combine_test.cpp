// SPDX-License-Identifier: Apache-2.0
/// What PEFT's recorded combinations do not say; these are compared in tests/golden/combine_test.cpp.
#include "veneer/peft/combine.hpp"

#include "veneer/backend/cpu.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace combine_test {

using namespace veneer;

namespace {

using Layer = Linear<Matrix<float, Cpu>, AnyAdapter<Cpu>>;
struct Own {
  using backend = Cpu;
  Cpu device{};
  Layer first, second;
  static constexpr auto fields = std::tuple{field("first", &Own::first), field("second", &Own::second)};
};

AdapterConfig config(index_t rank, ModuleChoice targets) {
  AdapterConfig config{.r = rank, .lora_alpha = 3};
  config.target_modules = std::move(targets);
  config.init_lora_weights = "false";
  return config;
}

NamedAdapters<Own> some() {
  Own model;
  model.first.weight = testing::random_matrix<float, Cpu>(12, 10, 1);
  model.second.weight = testing::random_matrix<float, Cpu>(8, 12, 2);
  NamedAdapters<Own> adapters(model);
  adapters.attach("a", config(2, {"first", "second"}), {.seed = 1});
  adapters.attach("b", config(2, {"second"}), {.seed = 2});
  adapters.attach("c", config(3, {"second"}), {.seed = 3});
  return adapters;
}

/// s B A of `second`.
Matrix<float, Cpu> change(const NamedAdapters<Own>& adapters, const std::string& name) {
  return adapters.with(name).second.adapter.get<LowRankAdapter<Cpu>>()->delta().weight;
}

}  // namespace

TEST_CASE("every combination of one adapter scales it") {
  NamedAdapters<Own> adapters = some();
  for (const std::string_view name : combination_names) {
    const std::string made(name);
    combine(adapters, made, {{"a", -2.0}}, {.type = combination_named(name), .density = 0.5});
    CHECK(testing::largest_difference(change(adapters, made), scale(change(adapters, "a"), -2.0)) < 1e-5);
  }
  CHECK_THROWS_WITH(combination_named("slerp"), Catch::Contains("slerp") && Catch::Contains("dare_ties_svd"));
}

TEST_CASE("svd of a rank that suffices is the sum of the changes, as cat is") {
  NamedAdapters<Own> adapters = some();
  const std::vector<WeightedAdapter> parts{{"a", 0.5}, {"b", 2.0}, {"c", -1.0}};
  combine(adapters, "cat", parts, {.type = Combination::cat});
  combine(adapters, "svd", parts, {.type = Combination::svd, .rank = 7});
  combine(adapters, "prune_svd", parts, {.type = Combination::magnitude_prune_svd, .rank = 8});
  const auto expected = add(add(scale(change(adapters, "a"), 0.5), scale(change(adapters, "b"), 2.0)),
                            scale(change(adapters, "c"), -1.0));
  for (const std::string name : {"cat", "svd", "prune_svd"}) {
    INFO(name);
    CHECK(testing::largest_difference(change(adapters, name), expected) < 1e-5);
  }
  CHECK(adapters.at("cat").config.r == 7);
  CHECK(adapters.at("cat").plan.modules.size() == 2);
  combine(adapters, "small", parts, {});
  CHECK(adapters.at("small").config.r == 3);  // the largest
}

TEST_CASE("linear has cross terms: it is the product of two sums") {
  NamedAdapters<Own> adapters = some();
  combine(adapters, "linear", {{"a", 1.0}, {"b", 1.0}}, {.type = Combination::linear});
  const Own with_a = adapters.with("a"), with_b = adapters.with("b");
  const auto* a = with_a.second.adapter.get<LowRankAdapter<Cpu>>();
  const auto* b = with_b.second.adapter.get<LowRankAdapter<Cpu>>();
  const auto up = add(a->up.value(), b->up.value()), down = add(a->down.value(), b->down.value());
  Matrix<float, Cpu> product(Shape<dyn, dyn>(8, 12));
  ops::matmul<false, false>(product, up, down, 1.5);  // s = 3 / 2 of both
  CHECK(testing::largest_difference(change(adapters, "linear"), product) < 1e-5);
  CHECK(testing::largest_difference(change(adapters, "linear"), add(change(adapters, "a"), change(adapters, "b"))) >
        0.01);
}

TEST_CASE("dare drops values by seed and module, and keeps the mean") {
  NamedAdapters<Own> adapters = some();
  const auto made = [&](const std::string& name, std::uint64_t seed, Combination type) {
    combine(adapters, name, {{"a", 1.0}, {"b", 1.0}}, {.type = type, .rank = 8, .density = 0.5, .seed = seed});
    return to_host(change(adapters, name));
  };
  for (const Combination type :
       {Combination::dare_linear, Combination::dare_ties, Combination::dare_linear_svd, Combination::dare_ties_svd}) {
    const std::string name(combination_name(type));
    INFO(name);
    const auto one = made(name + "1", 1, type);
    CHECK(made(name + "again", 1, type) == one);
    CHECK(made(name + "2", 2, type) != one);
  }
  // With whole changes every element is 0 or twice what each adapter brings.
  const auto a = to_host(change(adapters, "a")), b = to_host(change(adapters, "b"));
  const auto dropped = to_host(change(adapters, "dare_linear_svd1"));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float found = dropped[i];
    const bool known = std::min({std::abs(found), std::abs(found - 2 * a[i]), std::abs(found - 2 * b[i]),
                                 std::abs(found - 2 * a[i] - 2 * b[i])}) < 1e-4f;
    CHECK(known);
  }
}

TEST_CASE("what cannot be combined is refused in a sentence, and nothing is added") {
  NamedAdapters<Own> adapters = some();
  AdapterConfig biased = config(2, {"second"});
  biased.lora_bias = true;
  adapters.attach("biased", biased);
  const std::vector<std::string> names = adapters.names();
  const auto refuses = [&](const std::vector<WeightedAdapter>& parts, Combination type, const std::string& word) {
    CHECK_THROWS_WITH(combine(adapters, "new", parts, {.type = type, .density = 0.5}), Catch::Contains(word));
  };
  refuses({{"a", 1.0}, {"c", 1.0}}, Combination::linear, "second has rank 3 in \"c\" and 2");
  refuses({{"a", 1.0}, {"c", 1.0}}, Combination::ties, "ties needs equal ranks");
  refuses({{"a", 1.0}, {"none", 1.0}}, Combination::cat, "\"none\"");
  refuses({{"a", 1.0}, {"biased", 1.0}}, Combination::cat, "bias");
  refuses({}, Combination::cat, "at least one");
  refuses({{"a", std::nan("")}}, Combination::cat, "finite");
  CHECK_THROWS_WITH(combine(adapters, "a", {{"b", 1.0}}), Catch::Contains("already"));
  CHECK_THROWS_WITH(combine(adapters, "new", {{"a", 1.0}, {"b", 1.0}}, {.type = Combination::ties, .density = 2.0}),
                    Catch::Contains("density"));
  CHECK(adapters.names() == names);
}

}  // namespace combine_test
