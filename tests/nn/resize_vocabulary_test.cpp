// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/resize_vocabulary.hpp"

#include <vector>

#include "veneer/nn/weight_slot.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace resize_vocabulary_test {

using namespace veneer;

namespace {
using Slot = WeightSlot<float, Shape<dyn, dyn>, Cpu>;
}

TEST_CASE("kept rows keep every bit, and new ones are the mean of the old") {
  const Slot w(testing::matrix_of<Cpu>(2, 2, std::vector<float>{1, 2, 3, 6}));
  CHECK(to_host(detail::with_row_count(w, 4).dense_copy()) == std::vector<float>{1, 2, 3, 6, 2, 4, 2, 4});
  CHECK(to_host(detail::with_row_count(w, 1).dense_copy()) == std::vector<float>{1, 2});
  const auto random = testing::random_matrix<float, Cpu>(5, 3, 1);
  const Slot narrow(convert<bfloat16>(random));
  const Slot grown = detail::with_row_count(narrow, 6);
  CHECK(std::holds_alternative<Tensor<bfloat16, Shape<dyn, dyn>, Cpu>>(grown.stored()));
  CHECK(to_host(detail::with_row_count(grown, 5).dense_copy()) == to_host(narrow.dense_copy()));
  Slot trains = w;
  trains.train();
  CHECK_THROWS_AS(detail::with_row_count(trains, 3), ArgumentError);
}

}  // namespace resize_vocabulary_test
