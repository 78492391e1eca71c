// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/error.hpp"

#include <stdexcept>
#include <string>
#include <type_traits>

#include "support/catch.hpp"

namespace error_test {

using namespace veneer;

namespace {

template <class Failure>
constexpr bool is_error = std::is_base_of_v<Error, Failure> && std::is_base_of_v<std::runtime_error, Failure>;
static_assert(is_error<ShapeError> && is_error<ArgumentError> && is_error<FormatError> && is_error<IoError>);
static_assert(is_error<MemoryError> && is_error<BackendError> && is_error<DivergedError>);
static_assert(std::is_base_of_v<IoError, DiskError>);
static_assert(!std::is_base_of_v<ArgumentError, ShapeError> && !std::is_base_of_v<FormatError, IoError>);

}  // namespace

TEST_CASE("expects throws the failure that it is asked for, with the message") {
  CHECK_NOTHROW(expects(true, "fine"));
  CHECK_THROWS_AS(expects(false, "a rank of 0"), ArgumentError);
  CHECK_THROWS_WITH(expects(false, "a rank of 0"), "a rank of 0");
  CHECK_THROWS_AS(expects<FormatError>(false, std::string("line 3")), FormatError);
  CHECK_THROWS_WITH(expects<FormatError>(false, std::string("line 3")), "line 3");
}

TEST_CASE("a full disk can be told from another failure of a file") {
  CHECK_THROWS_AS(throw DiskError("no space left"), IoError);
  try {
    throw IoError("permission denied");
  } catch (const DiskError&) {
    FAIL("an IoError is no DiskError");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "permission denied");
  }
}

}  // namespace error_test
