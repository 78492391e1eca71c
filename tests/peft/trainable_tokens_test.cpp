// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/trainable_tokens.hpp"

#include <vector>

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace trainable_tokens_test {

using namespace veneer;

namespace {

template <Backend B>
TokenRows<B, float> some_rows() {
  return {{5, 2}, Tensor<float, Shape<dyn, dyn>, B>(testing::random_matrix<float, B>(2, 4, 9))};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an adapter of tokens is the layer with the merged weight", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(7, 4, 1);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{2, 6, 5, 2, 0});
  const TokenEmbeddingAdapter<TestType> table{some_rows<TestType>()};
  CHECK(testing::same_bits(table(w, NoBias{}, ids), embedding(ids, table.merged(w, NoBias{}).weight)));
  const TokenHeadAdapter<TestType> head{some_rows<TestType>()};
  const auto x = testing::random_matrix<float, TestType>(3, 4, 2);
  const auto found = to_host(head(w, NoBias{}, x)), expected = to_host(linear(x, head.merged(w, NoBias{}).weight));
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(expected[i]).margin(1e-6));
  const auto narrow = convert<bfloat16>(w);
  CHECK(testing::same_bits(table(narrow, NoBias{}, ids), embedding(ids, table.merged(narrow, NoBias{}).weight)));
}

TEMPLATE_LIST_TEST_CASE("the rows of a tied head get the gradient of both ends, and are one parameter", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(7, 4, 1);
  TokenEmbeddingAdapter<TestType> table{some_rows<TestType>()};
  TokenHeadAdapter<TestType> head{table.tokens.borrowed()};
  CHECK_FALSE(table.follows());
  CHECK(head.follows());
  CHECK(trainable_count(table) == 8);
  CHECK(trainable_count(head) == 0);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{2, 6, 5, 2, 0});
  const auto c = testing::random_matrix<float, TestType>(5, 7, 3);
  Tape tape;
  backward(dot(head(w, NoBias{}, table(w, NoBias{}, tape.input(ids))), c));
  const auto found = to_host(table.tokens.rows().gradient());

  Tape whole;  // the same with all of W' on the tape
  const auto merged = whole.variable(table.merged(w, NoBias{}).weight);
  backward(dot(linear(embedding(ids, merged), merged), c));
  const auto all = to_host(merged.gradient());
  for (const auto& [row, token] : {std::pair{0, 5}, std::pair{1, 2}}) {
    for (int i = 0; i < 4; ++i)
      CHECK(found[static_cast<std::size_t>(row * 4 + i)] ==
            Approx(all[static_cast<std::size_t>(token * 4 + i)]).margin(1e-5));
  }
}

}  // namespace trainable_tokens_test
