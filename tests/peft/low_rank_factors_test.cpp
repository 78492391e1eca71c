// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/low_rank_factors.hpp"

#include "veneer/peft/methods.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace low_rank_factors_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, rank = 3, tokens = 5;

template <Backend B>
LowRankAdapter<B, dyn, double> lora(bool bias) {
  LowRankAdapter<B, dyn, double> adapter(testing::random_matrix<double, B>(rank, in, 1),
                                         testing::random_matrix<double, B>(out, rank, 2), 0.7);
  if (bias) adapter.bias = Parameter(testing::random_vector<double, B>(out, 3));
  return adapter;
}

template <Backend B>
AdaLoraAdapter<B, double> adalora(index_t kept) {
  AdaLoraAdapter<B, double> adapter;
  adapter.down = Parameter(testing::random_matrix<double, B>(kept, in, 1));
  adapter.singular = Parameter(testing::random_matrix<double, B>(kept, 1, 2));
  adapter.up = Parameter(testing::random_matrix<double, B>(out, kept, 3));
  adapter.scaling = 4.0, adapter.rank_number = 3.0;
  return adapter;
}

template <Backend B>
VeraAdapter<B, double> vera() {
  return {Parameter(testing::random_vector<double, B>(rank, 1)), Parameter(testing::random_vector<double, B>(out, 2)),
          std::make_shared<SharedProjection<double, B>>(rank, out, in, 0, true, true, B{})};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("what an adapter does is its term added to the plain product, on a tape too", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 4);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 5);
  const auto check = [&](const auto& adapter) {
    static_assert(FoldsToLowRank<std::remove_cvref_t<decltype(adapter)>, std::remove_cvref_t<decltype(w)>>);
    const auto term = adapter.factors(w);
    const auto expected = adapter(w, NoBias{}, x);
    CHECK(testing::largest_difference(term.added_to(linear(x, w), x), expected) < 1e-12);
    Tape tape;
    const auto recorded = tape.variable(x);
    const auto y = term.added_to(linear(recorded, w), recorded);
    CHECK(testing::largest_difference(y.value(), expected) < 1e-12);
    Matrix<double, TestType> sum = copy(w);
    term.template add_to<false>(sum);
    CHECK(testing::largest_difference(sum, adapter.merged(w, NoBias{}).weight) < 1e-12);
  };
  for (const bool bias : {false, true}) check(lora<TestType>(bias));
  for (const index_t kept : {0, 1, 3}) check(adalora<TestType>(kept));
  check(vera<TestType>());
  const auto term = lora<TestType>(true).factors(w);
  CHECK(testing::same_bits(term.added_to(linear(x, w), x), lora<TestType>(true)(w, NoBias{}, x)));
}

TEMPLATE_LIST_TEST_CASE("the term of an embedding is added by ids", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto table = testing::random_matrix<double, TestType>(9, 4, 1);
  LowRankEmbeddingAdapter<TestType, dyn, double> adapter(table.shape(), {.alpha = 3.0}, {}, 2);
  adapter.down = Parameter(testing::random_matrix<double, TestType>(2, 9, 2));
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{8, 0, 8, 3});
  const auto term = adapter.factors(table);
  CHECK(testing::same_bits(term.added_to(embedding(ids, table), ids), adapter(table, NoBias{}, ids)));
  Matrix<double, TestType> sum = copy(table);
  term.template add_to<true>(sum);
  CHECK(testing::largest_difference(sum, adapter.merged(table, NoBias{}).weight) < 1e-12);
}

TEMPLATE_LIST_TEST_CASE("the factors of LoRA are handles; DoRA and IA3 have none", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto adapter = lora<TestType>(false);
  const auto w = testing::random_matrix<double, TestType>(out, in, 4);
  CHECK(adapter.factors(w).down.data() == adapter.down.value().data());
  CHECK(adapter.factors(w).rank() == rank);
  using W = Matrix<double, TestType>;
  CHECK_FALSE(FoldsToLowRank<DoraAdapter<TestType, dyn, double>, W>);
  CHECK_FALSE(FoldsToLowRank<ScalingAdapter<TestType, double>, W>);
}

}  // namespace low_rank_factors_test
