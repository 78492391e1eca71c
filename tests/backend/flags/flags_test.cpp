// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "support/catch.hpp"
#include "support/products.hpp"

namespace flags_test {

// Each in a separate file, one compiled for any processor and one for this one.
std::vector<veneer::testing::StoredMatrix> computed_plain();
std::vector<veneer::testing::StoredMatrix> computed_native();

TEST_CASE("files compiled for different processors compute the same bits in one program") {
  const std::vector<veneer::testing::StoredMatrix> plain = computed_plain(), native = computed_native();
  REQUIRE(plain.size() == native.size());
  std::size_t same = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) same += plain[i].same_bits(native[i]);
  CHECK(same == plain.size());
}

}  // namespace flags_test
