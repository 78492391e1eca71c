// SPDX-License-Identifier: Apache-2.0
/// \file
/// The version's text and its three numbers agree.
#include "veneer/version.hpp"

#include <string>

#include "support/catch.hpp"

namespace version_test {

TEST_CASE("the version text is made of the version's three numbers") {
  CHECK(veneer::version_text == std::to_string(veneer::version_major) + "." + std::to_string(veneer::version_minor) +
                                    "." + std::to_string(veneer::version_patch));
}

}  // namespace version_test
