// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/error_list.hpp"

#include "support/catch.hpp"
#include "support/message_of.hpp"

namespace error_list_test {

using namespace veneer;

TEST_CASE("an error list counts all errors and shows the first twenty") {
  detail::ErrorList errors;
  CHECK_NOTHROW(errors.throw_if_any("folder"));
  errors.add("a is missing");
  const auto message = [&](const std::string& advice) {
    return testing::message_of([&] { errors.throw_if_any("folder", advice); });
  };
  CHECK(message("") == "folder: 1 problem\n  a is missing");
  CHECK(message("Add a.") == "folder: 1 problem\n  a is missing\nAdd a.");
  for (int i = 0; i < 22; ++i) errors.add("b");
  const std::string many = message("");
  CHECK(many.starts_with("folder: 23 problems\n  a is missing\n  b\n"));
  CHECK(many.ends_with("\n  b\n  ... and 3 more"));
}

}  // namespace error_list_test
