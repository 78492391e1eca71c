// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/sum_adapter.hpp"

#include "veneer/nn/linear.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace sum_adapter_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5;

template <Backend B>
using Low = LowRankAdapter<B, dyn, double>;
template <Backend B>
using Total = SumAdapter<NoAdapter, B, double, Low<B>>;

template <Backend B>
Low<B> lora(index_t rank, std::uint64_t seed) {
  return Low<B>(testing::random_matrix<double, B>(rank, in, seed),
                testing::random_matrix<double, B>(out, rank, seed + 1), 0.5 + static_cast<double>(seed));
}

template <Backend B>
LowRankFactors<double, B> term(index_t rank, std::uint64_t seed) {
  return lora<B>(rank, seed).factors(0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a sum is the sum of the changes, and merges into their weight", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 20);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  const Low<TestType> first = lora<TestType>(2, 1), second = lora<TestType>(4, 3);
  const auto expected = add(add(first(w, NoBias{}, x), second(w, NoBias{}, x)), scale(linear(x, w), -1.0));
  const Total<TestType> frozen({first.factors(w), second.factors(w)}), half({second.factors(w)}, first);
  for (const Total<TestType>& sum : {frozen, half}) {
    CHECK(testing::largest_difference(sum(w, NoBias{}, x), expected) < 1e-11);
    CHECK(testing::largest_difference(sum(w, NoBias{}, x), linear(x, sum.merged(w, NoBias{}).weight)) < 1e-11);
    CHECK(testing::largest_difference(sum.merged(w, NoBias{}).weight, add(w, sum.delta().weight)) < 1e-12);
    CHECK_FALSE(sum.delta().bias);
  }
  CHECK(testing::same_bits(Total<TestType>({first.factors(w)})(w, NoBias{}, x), first(w, NoBias{}, x)));
  CHECK(testing::same_bits(frozen(w, NoBias{}, x), half(w, NoBias{}, x)));
}

TEMPLATE_LIST_TEST_CASE("biases of B add up under their scales", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 20);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  Low<TestType> first = lora<TestType>(2, 1), second = lora<TestType>(4, 3);
  first.bias = Parameter(testing::random_vector<double, TestType>(out, 9));
  second.bias = Parameter(testing::random_vector<double, TestType>(out, 10));
  const Total<TestType> sum({second.factors(w)}, first);
  const auto expected = add(scale(first.bias.value(), first.scaling), scale(second.bias.value(), second.scaling));
  CHECK(testing::largest_difference(sum.delta().bias, expected) < 1e-13);
  const auto y = add_row(linear(x, sum.merged(w, NoBias{}).weight), sum.delta().bias);
  CHECK(testing::largest_difference(sum(w, NoBias{}, x), y) < 1e-11);
}

TEMPLATE_LIST_TEST_CASE("in a sum the learner learns, and gradients go through the frozen terms", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 20);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  const auto target = testing::random_matrix<double, TestType>(tokens, out, 22);
  Total<TestType> sum({term<TestType>(2, 1), term<TestType>(3, 5)}, lora<TestType>(2, 3));
  const auto loss = [&] { return item(mean_squared_error(sum(w, NoBias{}, x), target)); };
  Tape tape;
  const auto input = tape.variable(x);
  backward(mean_squared_error(sum(w, NoBias{}, input), target));
  CHECK(testing::slope_error(sum.learner.down, loss) < 1e-6);
  CHECK(testing::slope_error(sum.learner.up, loss) < 1e-6);
  Tape again;
  const auto through = again.variable(x);
  backward(mean_squared_error(linear(through, sum.merged(w, NoBias{}).weight), target));
  CHECK(testing::largest_difference(input.gradient(), through.gradient()) < 1e-9);

  std::vector<std::string> names;
  visit_parameters(sum, [&](const std::string& name, auto&) { names.push_back(name); });
  CHECK(names == std::vector<std::string>{"lora_A.weight", "lora_B.weight"});
  Total<TestType> frozen({term<TestType>(2, 1)});
  CHECK(trainable_count(frozen) == 0);
}

TEMPLATE_LIST_TEST_CASE("a sum of embeddings", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Adapter = LowRankEmbeddingAdapter<TestType, dyn, double>;
  const auto table = testing::random_matrix<double, TestType>(9, 4, 1);
  const auto made = [&](std::uint64_t seed) {
    Adapter adapter(table.shape(), {.alpha = 3.0}, {seed, 1}, 2);
    adapter.down = Parameter(testing::random_matrix<double, TestType>(2, 9, seed));
    return adapter;
  };
  const Adapter first = made(4), second = made(5);
  const SumAdapter<NoEmbeddingAdapter, TestType, double, Adapter> sum({first.factors(table)}, second);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{8, 0, 8, 3});
  const auto expected =
      add(add(first(table, NoBias{}, ids), second(table, NoBias{}, ids)), scale(embedding(ids, table), -1.0));
  CHECK(testing::largest_difference(sum(table, NoBias{}, ids), expected) < 1e-12);
  CHECK(testing::largest_difference(sum(table, NoBias{}, ids), embedding(ids, sum.merged(table, NoBias{}).weight)) <
        1e-12);
}

}  // namespace sum_adapter_test
