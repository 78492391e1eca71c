// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/checked.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"

namespace checked_test {

using namespace veneer;

namespace {

using Size = Checked<std::uint64_t>;
constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("checked arithmetic agrees with wide arithmetic on every pair of bytes") {
  int wrong = 0;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const Checked<std::uint8_t> x(static_cast<std::uint8_t>(a));
      const Checked<std::uint8_t> y(static_cast<std::uint8_t>(b));
      const auto agrees = [](Checked<std::uint8_t> got, int exact) {
        return got.ok() == (exact >= 0 && exact < 256) && (!got.ok() || got.value() == exact);
      };
      wrong += !agrees(x + y, a + b);
      wrong += !agrees(x - y, a - b);
      wrong += !agrees(x * y, a * b);
      wrong += b == 0 ? x.align_up(0).ok() : !agrees(x.align_up(static_cast<std::uint8_t>(b)), (a + b - 1) / b * b);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("a spoilt value spoils what is computed from it") {
  const Size spoilt = Size(most) + 1;
  CHECK_FALSE(spoilt.ok());
  CHECK_FALSE((spoilt - Size(most)).ok());
  CHECK_FALSE((spoilt * 0).ok());
  CHECK_FALSE((0 * spoilt).ok());
  CHECK_FALSE((1 + spoilt).ok());
  CHECK_FALSE((Size(1) - spoilt).ok());
  CHECK_FALSE(spoilt.align_up(8).ok());
  CHECK_FALSE(spoilt.get().has_value());
  CHECK_THROWS_AS(spoilt.value(), OverflowError);
  CHECK_FALSE(Size::overflow().ok());
}

TEST_CASE("dimensions whose product wraps to a small number are caught") {
  Size product = 4194305;
  product *= 4194305;
  product *= 211106198978564;
  CHECK(std::uint64_t{4194305} * 4194305 * 211106198978564 == 4);  // what unchecked arithmetic gives
  CHECK_FALSE(product.ok());
}

TEST_CASE("the largest values are values") {
  CHECK((Size(most) + 0).value() == most);
  CHECK((Size(most) * 1).value() == most);
  CHECK((Size(most) - Size(most)).value() == 0);
  CHECK((Size(most / 3) * 3).value() == most / 3 * 3);
  CHECK(Size(most - 7).align_up(8).value() == most - 7);
  CHECK_FALSE(Size(most - 6).align_up(8).ok());
}

TEST_CASE("signed numbers come in only when they fit") {
  CHECK(Size::from(std::int64_t{7}).value() == 7);
  CHECK_FALSE(Size::from(-1).ok());
  CHECK_FALSE(Checked<std::uint32_t>::from(std::int64_t{1} << 32).ok());
  CHECK(Checked<std::uint32_t>::from((std::int64_t{1} << 32) - 1).ok());
}

TEST_CASE("checked_cast keeps the value or throws") {
  CHECK(checked_cast<std::int32_t>(std::uint64_t{2147483647}) == 2147483647);
  CHECK_THROWS_AS(checked_cast<std::int32_t>(std::uint64_t{2147483648}), OverflowError);
  CHECK_THROWS_AS(checked_cast<std::size_t>(-1), OverflowError);
  CHECK_THROWS_WITH(checked_cast<std::uint8_t>(256, "the count"), Catch::Contains("the count is 256"));
}

TEST_CASE("compound assignment and constant evaluation") {
  constexpr auto computed = [] {
    Size size = 5;
    size += 3;
    size -= 2;
    size *= 7;
    return size.get();
  }();
  CHECK(computed == std::optional<std::uint64_t>(42));
}

}  // namespace checked_test
