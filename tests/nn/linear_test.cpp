// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/linear.hpp"

#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "veneer/nn/rms_norm.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace linear_test {

using namespace veneer;

namespace {

template <Backend B>
using Weights = Tensor<float, Shape<dyn, dyn>, B>;
template <Backend B>
using Bias = Vector<float, B>;

/// y = x (2 w)ᵀ: a user-defined adapter.
struct Doubling {
  auto operator()(const auto& w, const auto& b, const auto& x) const { return add_bias(scale(linear(x, w), 2.0), b); }
  auto merged(const auto& w, const auto& b) const { return Affine{scale(decode(value_of(w)), 2.0), b}; }
  static constexpr auto fields = std::tuple<>{};
};

// A layer without adapter and bias is its weight.
static_assert(sizeof(Linear<Weights<Cpu>>) == sizeof(Weights<Cpu>));
static_assert(std::is_empty_v<NoAdapter>);

template <class M>
std::vector<std::string> names_of(const M& model) {
  std::vector<std::string> names;
  visit(model, [&](const std::string& name, auto&) { names.push_back(name); });
  return names;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a layer is the product with its weight, and its bias where it has one", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 5, 1), w = testing::random_matrix<float, TestType>(3, 5, 2);
  const auto b = testing::random_vector<float, TestType>(3, 3);
  const auto plain = linear(x, w), biased = add_row(linear(x, w), b);
  CHECK(testing::same_bits(Linear<Weights<TestType>>{w}(x), plain));
  CHECK(testing::same_bits(Linear<Weights<TestType>, NoAdapter, Bias<TestType>>{w, {}, b}(x), biased));
  CHECK(testing::same_bits(Linear<Weights<TestType>, NoAdapter, Bias<TestType>>{w}(x),
                           plain));  // without values: no bias

  using BiasSlot = WeightSlot<float, Shape<dyn>, TestType>;
  using Slot = WeightSlot<float, Shape<dyn, dyn>, TestType>;
  Linear<Slot, NoAdapter, BiasSlot> slots{w, {}, {}};
  CHECK(testing::same_bits(slots(x), plain));
  slots.bias = b;
  CHECK(testing::same_bits(slots(x), biased));
  slots.bias.train();
  slots.weight.train();
  CHECK(testing::same_bits(slots(x), biased));
  CHECK(testing::same_bits(slots.with(scale(w, 0.0), x), add_row(scale(plain, 0.0), b)));
}

TEMPLATE_LIST_TEST_CASE("a slot for adapters is the plain layer until it is filled, and again when it is cleared", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 5, 1), w = testing::random_matrix<float, TestType>(3, 5, 2);
  Linear<Weights<TestType>, AdapterSlot<Doubling>> layer{w, {}};
  CHECK_FALSE(layer.adapter);
  CHECK(layer.adapter.template get<Doubling>() == nullptr);
  CHECK(testing::same_bits(layer(x), linear(x, w)));
  layer.adapter = Doubling{};
  CHECK(layer.adapter);
  CHECK(layer.adapter.template get<Doubling>() != nullptr);
  CHECK(testing::same_bits(layer(x), scale(linear(x, w), 2.0)));
  CHECK(testing::same_bits(layer.adapter.merged(w, NoBias{}).weight, scale(w, 2.0)));
  layer.adapter.clear();
  CHECK(testing::same_bits(layer(x), linear(x, w)));
}

TEMPLATE_LIST_TEST_CASE("no adapter merges into a copy of the weight", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(3, 5, 2);
  const auto merged = NoAdapter{}.merged(w, NoBias{}).weight;
  CHECK(testing::same_bits(merged, w));
  CHECK(merged.data() != w.data());
  CHECK(testing::same_bits(NoEmbeddingAdapter{}.merged(convert<bfloat16>(w), NoBias{}).weight,
                           convert<float>(convert<bfloat16>(w))));
}

TEMPLATE_LIST_TEST_CASE("an embedding looks its ids up", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto table = testing::random_matrix<float, TestType>(6, 4, 1);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{5, 0, 5});
  CHECK(testing::same_bits(Embedding<Weights<TestType>>{table}(ids), gather_rows(table, ids)));
}

TEMPLATE_LIST_TEST_CASE("an RmsNorm layer uses its gains and its epsilon", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 5, 1);
  const auto gains = testing::random_vector<float, TestType>(5, 2);
  CHECK(testing::same_bits(RmsNorm<Bias<TestType>>{gains, 0.5}(x), rms_norm(x, gains, 0.5)));
}

TEMPLATE_LIST_TEST_CASE("the parts of a layer are named as in checkpoints", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Names = std::vector<std::string>;
  CHECK(names_of(Linear<Weights<TestType>, AdapterSlot<Doubling>, Bias<TestType>>{}) ==
        Names{"", "weight", "", "", "bias"});
  CHECK(names_of(Embedding<Weights<TestType>>{}) == Names{"", "weight", ""});
  CHECK(names_of(RmsNorm<Bias<TestType>>{}) == Names{"", "weight"});
}

}  // namespace linear_test
