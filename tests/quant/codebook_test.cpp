// SPDX-License-Identifier: Apache-2.0
#include "veneer/quant/codebook.hpp"

#include <cmath>
#include <cstring>

#include "support/catch.hpp"

namespace codebook_test {

using namespace veneer;

TEST_CASE("a value of NF4 has its own code, and what lies between has the nearer one") {
  for (int code = 0; code < 16; ++code) CHECK(nf4_code(nf4_values[static_cast<std::size_t>(code)]) == code);
  for (int i = -4096; i <= 4096; ++i) {
    const float s = static_cast<float>(i) / 4096.0f;
    const auto distance = [&](int code) {
      return std::abs(static_cast<double>(nf4_values[static_cast<std::size_t>(code)]) - static_cast<double>(s));
    };
    const int found = nf4_code(s);
    CAPTURE(s, found);
    for (int code = 0; code < 16; ++code) CHECK(distance(found) <= distance(code) + 1e-7);  // bounds are rounded
  }
}

TEST_CASE("codes grow with values") {
  CHECK(nf4_code(-INFINITY) == 0);
  CHECK(nf4_code(INFINITY) == 15);
  CHECK(nf4_code(0.0f) == 7);
  CHECK(nf4_code(-0.0f) == 7);
  int last = 0;
  for (float s = -1.25f; s < 1.25f; s = std::nextafter(s + 1e-4f, 2.0f)) {
    CHECK(nf4_code(s) >= last);
    last = nf4_code(s);
  }
  CHECK(last == 15);
}

TEST_CASE("the key of a float orders as the float does") {
  const auto key = [](float x) { return detail::ordered(detail::bits_of_float(x)); };
  const float values[] = {-INFINITY, -1.0f, -1e-38f, -1e-45f, 0.0f, 1e-45f, 1e-38f, 1.0f, INFINITY};
  for (std::size_t i = 1; i < std::size(values); ++i) CHECK(key(values[i - 1]) < key(values[i]));
}

TEST_CASE("the dynamic map is ascending, and but for 1 as long to either side of 0") {
  const auto map = dynamic_map();
  for (std::size_t i = 1; i < map.size(); ++i) CHECK(map[i - 1] < map[i]);
  for (std::size_t i = 0; i < 127; ++i) CHECK(map[i] == -map[254 - i]);
  CHECK(map[127] == 0.0f);
  CHECK(map[255] == 1.0f);
  CHECK(map[254] == 0.99296875f);
}

TEST_CASE("both halves of the values of FP4 differ in sign alone") {
  for (std::size_t i = 0; i < 8; ++i) CHECK(fp4_values[i] == -fp4_values[i + 8]);
  CHECK_FALSE(std::signbit(fp4_values[8]));
  CHECK(&code_values(CodeBook::fp4) == &fp4_values);
  CHECK(std::strcmp(code_book_name(CodeBook::nf4), "nf4") == 0);
}

}  // namespace codebook_test
