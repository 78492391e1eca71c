// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/batch.hpp"

#include <cstdint>
#include <vector>

#include "support/catch.hpp"

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
