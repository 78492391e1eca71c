// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/sites.hpp"

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/rms_norm.hpp"
#include "veneer/peft/attach.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace sites_test {

using namespace veneer;

namespace {

using Slot = WeightSlot<float, Shape<dyn, dyn>, Cpu>;
using BiasSlot = WeightSlot<float, Shape<dyn>, Cpu>;
using Low = LowRankAdapter<Cpu>;

/// Layers of four types, with weights that are slots or fixed by the type.
struct Own {
  Embedding<Matrix<float, Cpu>, EmbeddingAdapterSlot<LowRankEmbeddingAdapter<Cpu>>> table;
  std::vector<Linear<Slot, AnyAdapter<Cpu>, BiasSlot>> layers;
  RmsNorm<Vector<float, Cpu>> norm;
  Linear<Tensor<bfloat16, Shape<6, 4>, Cpu>, AdapterSlot<Low>> narrow;
  Linear<Matrix<float, Cpu>> fixed;  // no slot
  static constexpr auto fields =
      std::tuple{field("table", &Own::table), field("layers", &Own::layers), field("norm", &Own::norm),
                 field("narrow", &Own::narrow), field("fixed", &Own::fixed)};
};

Matrix<float, Cpu> random(index_t rows, index_t columns, std::uint64_t seed) {
  return testing::random_matrix<float, Cpu>(rows, columns, seed);
}

Own own() {
  Own model;
  model.table.weight = random(9, 4, 1);
  model.layers.resize(2);
  for (auto& layer : model.layers) layer.weight = Slot(random(5, 4, 2));
  model.layers[1].bias = BiasSlot(testing::random_vector<float, Cpu>(5, 3));
  model.narrow.weight = Tensor<bfloat16, Shape<6, 4>, Cpu>(convert<bfloat16>(random(6, 4, 4)));
  model.fixed.weight = random(3, 3, 5);
  return model;
}

Low low(index_t out, index_t in) { return {random(2, in, 6), random(out, 2, 7), 0.5}; }

}  // namespace

TEST_CASE("the sites of a model are its layers with a slot, whatever their types, in the order of fields") {
  Own model = own();
  const auto list = sites(model);
  std::vector<std::string> names;
  for (const auto& site : list) names.push_back(site->name);
  REQUIRE(names == std::vector<std::string>{"table", "layers.0", "layers.1", "narrow"});
  CHECK(list[0]->kind == ModuleKind::embedding);
  CHECK(list[3]->kind == ModuleKind::linear);
  CHECK(list[0]->shape == Shape<dyn, dyn>(9, 4));
  CHECK(list[3]->shape == Shape<dyn, dyn>(6, 4));
  CHECK(list[1]->takes_any_storage);
  CHECK_FALSE(list[3]->takes_any_storage);
  CHECK(find_site(list, "layers.1") == list[2]);
  CHECK(find_site(list, "fixed") == nullptr);
  CHECK(base_count(model) == 9 * 4 + 2 * 5 * 4 + 5 + 6 * 4 + 3 * 3);
}

TEST_CASE("a site gives handles on weight and bias, and replaces them in the layer") {
  Own model = own();
  const auto list = sites(model);
  CHECK(list[0]->weight().dense_copy().shape() == Shape<dyn, dyn>(9, 4));
  CHECK_FALSE(list[0]->bias());
  CHECK_FALSE(list[1]->bias());
  CHECK(list[2]->bias().count() == 5);
  const auto fresh = random(5, 4, 11);
  list[1]->set_weight(Slot(fresh));
  CHECK(model.layers[0].weight.select([&](const auto& w) { return testing::same_bits(decode(value_of(w)), fresh); }));
  const auto values = convert<bfloat16>(random(6, 4, 12));
  list[3]->set_weight(Slot(values));
  CHECK(testing::same_bits(convert<float>(model.narrow.weight), convert<float>(values)));
  CHECK_THROWS_WITH(list[3]->set_weight(Slot(NF4Tensor(random(6, 4, 13)))), Catch::Contains("fixes its storage"));
}

TEST_CASE("a site takes the adapters that its slot lists, and keeps the law of what it holds") {
  Own model = own();
  const auto list = sites(model);
  const ScalingAdapter<Cpu> scaling{Parameter(random(5, 1, 8)), false};
  CHECK_FALSE(list[3]->takes(scaling));
  CHECK_THROWS_WITH(list[3]->place(scaling), Catch::Contains("narrow does not take"));
  CHECK(list[2]->takes(scaling));
  CHECK(list[2]->parameters(scaling) == 5);
  CHECK_FALSE(list[2]->adapted());
  CHECK_FALSE(list[2]->adapter().has_value());

  const auto x = random(3, 4, 9);
  const auto bias = testing::random_vector<float, Cpu>(5, 3);
  const auto check_law = [&] {
    const auto merged = list[2]->merged(Site<float, Cpu>::Stored(random(5, 4, 2)), bias);
    CHECK(testing::largest_difference(model.layers[1](x), add_row(linear(x, merged.weight), merged.bias)) < 1e-5);
  };
  list[2]->place(scaling);
  CHECK(list[2]->adapted());
  CHECK_FALSE(list[2]->factors());
  CHECK_FALSE(list[2]->delta());
  CHECK(list[2]->low_rank().taken == nullptr);
  check_law();

  list[2]->place(low(5, 4));
  const auto term = list[2]->factors();
  REQUIRE(term);
  CHECK(term->scaling == 0.5);
  CHECK(testing::same_bits(list[2]->delta()->weight, low(5, 4).delta().weight));
  check_law();
  const auto part = list[2]->low_rank();
  REQUIRE(part.taken != nullptr);
  list[2]->replace_factors(part.down, scale(part.up, 2.0));
  const auto held = list[2]->adapter();
  CHECK(testing::same_bits(std::any_cast<Low>(held).up.value(), scale(part.up, 2.0)));
  list[2]->clear();
  CHECK_FALSE(list[2]->adapted());
}

}  // namespace sites_test
