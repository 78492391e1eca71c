// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/utf8.hpp"

#include "support/catch.hpp"

namespace utf8_test {

using namespace veneer;

TEST_CASE("digits have the values of bases up to 36, in both cases") {
  const std::string digits = "0123456789abcdefghijklmnopqrstuvwxyz", upper = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  int found = 0;
  for (int byte = 0; byte < 256; ++byte) found += digit_value(static_cast<char>(byte)) >= 0 ? 1 : 0;
  CHECK(found == 10 + 2 * 26);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    CHECK(digit_value(digits[i]) == static_cast<int>(i));
    CHECK(digit_value(upper[i]) == static_cast<int>(i));
  }
}

TEST_CASE("a hexadecimal value has exactly as many digits as expected") {
  CHECK(hex_value("<0xaF>", 3, 2) == char32_t{0xAF});
  CHECK(hex_value("ffffffff", 0, 8) == char32_t{0xFFFFFFFF});
  CHECK_FALSE(hex_value("00g", 0, 3));
  CHECK_FALSE(hex_value("12", 1, 2));
  CHECK_FALSE(hex_value("12", 3, 1));
}

}  // namespace utf8_test
