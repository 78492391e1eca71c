// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/mixed_adapter.hpp"

#include "veneer/peft/methods.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace mixed_adapter_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 64, tokens = 6;

template <Backend B>
using Whole = DoraAdapter<B, dyn, double>;
template <Backend B>
using Mixed = MixedAdapter<NoAdapter, B, double, Whole<B>>;

template <Backend B>
LowRankAdapter<B, dyn, double> lora(std::uint64_t seed) {
  LowRankAdapter<B, dyn, double> adapter(testing::random_matrix<double, B>(3, in, seed),
                                         testing::random_matrix<double, B>(out, 3, seed + 1), 0.5);
  if (seed == 3) adapter.bias = Parameter(testing::random_vector<double, B>(out, 30));
  return adapter;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("every row of a mixed batch goes through its adapter, whatever the others do", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 20);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  const auto first = lora<TestType>(1), second = lora<TestType>(3);
  const Whole<TestType> dora(w, lora<TestType>(5));
  const auto choice = std::make_shared<RowChoice<TestType>>(3);
  const Mixed<TestType> mixed(
      choice, {{0, first.factors(w), {}}, {1, second.factors(w), {}}, {2, {}, std::optional<Whole<TestType>>(dora)}});
  constexpr index_t base = RowChoice<TestType>::base;
  for (const std::vector<index_t>& of_row : {std::vector<index_t>{0, base, 1, 2, 0, 2},
                                             {2, 2, 2, 2, 2, 1},
                                             {base, base, base, base, base, base},
                                             {1, 1, 1, 1, 1, 1}}) {
    choice->set(of_row);
    const auto y = mixed(w, NoBias{}, x);
    for (index_t row = 0; row < tokens; ++row) {
      const auto alone = x.rows(row, 1);
      const index_t adapter = of_row[static_cast<std::size_t>(row)];
      const auto expected = adapter == 0   ? first(w, NoBias{}, alone)
                            : adapter == 1 ? second(w, NoBias{}, alone)
                            : adapter == 2 ? dora(w, NoBias{}, alone)
                                           : linear(alone, w);
      CHECK(testing::largest_difference(Matrix<double, TestType>(y.rows(row, 1)), expected) < 1e-12);
    }
  }
  choice->set(std::vector<index_t>(tokens, 0));
  CHECK(testing::same_bits(mixed(w, NoBias{}, x), first(w, NoBias{}, x)));
  choice->set(std::vector<index_t>(tokens, base));
  CHECK(testing::same_bits(mixed(w, NoBias{}, x), linear(x, w)));
}

TEMPLATE_LIST_TEST_CASE("rows of an embedding are chosen by position, not by id", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Adapter = LowRankEmbeddingAdapter<TestType, dyn, double>;
  const auto table = testing::random_matrix<double, TestType>(9, 4, 1);
  Adapter adapter(table.shape(), {.alpha = 3.0}, {4, 1}, 2);
  adapter.down = Parameter(testing::random_matrix<double, TestType>(2, 9, 2));
  const auto choice = std::make_shared<RowChoice<TestType>>(1);
  const MixedAdapter<NoEmbeddingAdapter, TestType, double, DoraEmbeddingAdapter<TestType, dyn, double>> mixed(
      choice, {{0, adapter.factors(table), {}}});
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{8, 0, 8});
  choice->set({0, 0, RowChoice<TestType>::base});
  const auto y = mixed(table, NoBias{}, ids);
  CHECK(testing::same_bits(y.rows(0, 2), adapter(table, NoBias{}, ids).rows(0, 2)));
  CHECK(testing::same_bits(y.rows(2, 1), embedding(ids, table).rows(2, 1)));
}

TEMPLATE_LIST_TEST_CASE("a choice for another batch, a tape and merging are refused in a sentence", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 20);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  const auto choice = std::make_shared<RowChoice<TestType>>(1);
  const Mixed<TestType> mixed(choice, {{0, lora<TestType>(1).factors(w), {}}});
  choice->set({0, 0});
  CHECK(choice->count() == 2);
  CHECK_THROWS_WITH(mixed(w, NoBias{}, x), Catch::Contains("2 rows") && Catch::Contains("6"));
  CHECK_THROWS_WITH(choice->set({0, 1}), Catch::Contains("row 1 asks for adapter 1"));
  CHECK_THROWS_AS(choice->set({-2}), ArgumentError);
  CHECK(choice->count() == 2);
  Tape tape;
  choice->set(std::vector<index_t>(tokens, 0));
  CHECK_THROWS_WITH(mixed(w, NoBias{}, tape.input(x)), Catch::Contains("inference only"));
  CHECK_THROWS_WITH(mixed.merged(w, NoBias{}), Catch::Contains("no one weight"));
}

}  // namespace mixed_adapter_test
