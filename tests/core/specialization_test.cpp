// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/specialization.hpp"

#include <concepts>
#include <vector>

#include "support/catch.hpp"

namespace specialization_test {

using namespace veneer;

template <std::floating_point T, class Other = int>
struct Constrained {};

TEST_CASE("a template is recognised with all its arguments, constrained and defaulted ones too") {
  STATIC_REQUIRE(is_specialization_of<std::vector, std::vector<int>>);
  STATIC_REQUIRE(is_specialization_of<Constrained, Constrained<float>>);
  STATIC_REQUIRE_FALSE(is_specialization_of<std::vector, int>);
  STATIC_REQUIRE_FALSE(is_specialization_of<std::vector, const std::vector<int>&>);
  STATIC_REQUIRE_FALSE(is_specialization_of<Constrained, std::vector<float>>);
}

}  // namespace specialization_test
