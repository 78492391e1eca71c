// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/batch.hpp"

#include <cstdint>
#include <memory>
#include <vector>

#include "veneer/text/example_rows.hpp"
#include "veneer/train/order.hpp"

#include "support/catch.hpp"

namespace batch_test {

using namespace veneer;

namespace {

struct Labelled {
  std::vector<std::int32_t> ids, labels;
};

}  // namespace

TEST_CASE("a target is the next token's label, and no sequence looks into the next") {
  Batch batch;
  batch.add(Labelled{{5, 6, 7}, {5, -100, 7}});
  batch.add(Labelled{{8}, {8}});
  batch.add(Labelled{{}, {}});
  batch.add(Labelled{{9, 10}, {-100, 11}});
  CHECK(batch.ids == std::vector<std::int32_t>{5, 6, 7, 8, 9, 10});
  CHECK(batch.targets == std::vector<std::int32_t>{-100, 7, -100, -100, 11, -100});
  CHECK(batch.lengths == std::vector<index_t>{3, 1, 2});
  CHECK(batch.counted == 2);
  CHECK(batch.tokens() == 6);
  CHECK(batch.layout()->spans.size() == 3);
}

TEST_CASE("a row of several sequences adds each of them, and only sequences and rows of them are taken") {
  const std::vector<Labelled> row{{{5, 6, 7}, {-100, 6, 7}}, {{8, 9}, {-100, 9}}};
  Batch together, apart;
  together.add(row);
  for (const Labelled& sequence : row) apart.add(sequence);
  CHECK(together.ids == apart.ids);
  CHECK(together.targets == std::vector<std::int32_t>{6, 7, -100, 9, -100});
  CHECK(together.lengths == std::vector<index_t>{3, 2});
  CHECK(together.counted == apart.counted);
  STATIC_REQUIRE(BatchRow<Labelled>);
  STATIC_REQUIRE(BatchRow<std::vector<Labelled>>);
  STATIC_REQUIRE_FALSE(BatchRow<std::vector<int>>);
  STATIC_REQUIRE(BatchRows<std::vector<Labelled>>);
  STATIC_REQUIRE(BatchRows<ExampleStore>);
  STATIC_REQUIRE(BatchRows<ExampleRows>);
  STATIC_REQUIRE_FALSE(BatchRows<std::vector<int>>);
}

TEST_CASE("a packed row in a batch is its segments, whose first tokens are nobody's targets") {
  const auto store = std::make_shared<ExampleStore>();
  store->add(std::vector<std::int32_t>{1, 2, 3, 4, 5}, std::vector<std::int32_t>{1, 2, 3, 4, 5});
  store->add(std::vector<std::int32_t>{6, 7, 8}, std::vector<std::int32_t>{6, 7, 8});
  const ExampleRows rows = ExampleRows::packed(store, 4);
  DataOrder order(static_cast<index_t>(rows.size()), 2, false, 0);
  const Batch batch = batch_of(order, 0, rows);
  CHECK(batch.ids == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(batch.lengths == std::vector<index_t>{4, 1, 3});
  CHECK(batch.targets == std::vector<std::int32_t>{2, 3, 4, -100, -100, 7, 8, -100});
}

}  // namespace batch_test
