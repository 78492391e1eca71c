// SPDX-License-Identifier: Apache-2.0
#include "common/exact_match.hpp"

#include "support/catch.hpp"

namespace exact_match_test {

using namespace veneer;

TEST_CASE("exact is byte for byte, and a share of nothing is 0") {
  CHECK(exact_share({}) == 0.0);
  CHECK(exact_share({{"p", "a", "a"}, {"p", "a", "a "}, {"p", "a", "A"}, {"p", "", ""}}) == 0.5);
}

}  // namespace exact_match_test
