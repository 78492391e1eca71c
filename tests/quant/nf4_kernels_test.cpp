// SPDX-License-Identifier: Apache-2.0
#include "veneer/quant/nf4_kernels.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace nf4_kernels_test {

using namespace veneer;

namespace {

struct Encoded {
  std::vector<std::uint8_t> codes;
  std::vector<float> absmax;
};

template <Stored T, Backend B>
Encoded encode(const std::vector<T>& values, index_t blocksize) {
  const auto x = testing::vector_of<B>(values);
  const index_t count = x.count(), blocks = (count + blocksize - 1) / blocksize;
  Vector<std::uint8_t, B> codes(Shape<dyn>((count + 1) / 2));
  Vector<float, B> absmax{Shape<dyn>(blocks)};
  x.device().for_each(blocks, ops::EncodeNF4Body<T>{codes.data(), absmax.data(), x.data(), count, blocksize});
  return {to_host(codes), to_host(absmax)};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the first of two codes is in the high half of a byte, and an odd end is filled with 0", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto [codes, absmax] = encode<float, TestType>({1.0f, -1.0f, 0.5f}, 64);
  CHECK(codes == std::vector<std::uint8_t>{0xf0, 0xc7});
  CHECK(absmax == std::vector<float>{1.0f});
}

TEMPLATE_LIST_TEST_CASE("a known block gets the known bytes", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<float> x;
  for (int i = 0; i < 64; ++i) x.push_back(0.03f * ((static_cast<float>((37 * i) % 64) - 31.5f) / 31.5f));
  const auto [codes, absmax] = encode<float, TestType>(x, 64);
  CHECK(absmax == std::vector<float>{0.029999999329447746f});
  CHECK(codes == std::vector<std::uint8_t>{0x09, 0x1c, 0x3e, 0x60, 0xa2, 0xd4, 0xf8, 0x1b, 0x2e, 0x5f, 0x91,
                                           0xc3, 0xe6, 0x0a, 0x1d, 0x4f, 0x71, 0xb2, 0xe5, 0xf8, 0x1c, 0x3e,
                                           0x60, 0xa1, 0xd4, 0xe7, 0x0b, 0x2d, 0x4f, 0x81, 0xc2, 0xe5});
}

TEMPLATE_LIST_TEST_CASE("zeros, infinities and NaNs get codes that say so", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto zeros = encode<float, TestType>(std::vector<float>(66, 0.0f), 64);
  CHECK(zeros.codes == std::vector<std::uint8_t>(33, 0x77));
  CHECK(zeros.absmax == std::vector<float>{0.0f, 1e-38f});  // the last block is not full
  for (const std::size_t size : {64u, 10u}) {
    std::vector<float> x(size, 1.0f);
    x[3] = -infinity;
    const auto infinite = encode<float, TestType>(x, 64);
    CHECK(infinite.codes[0] == 0x77);
    CHECK(infinite.codes[1] == 0x7f);
    CHECK(infinite.absmax[0] == infinity);
    x[5] = nan;
    const auto undefined = encode<float, TestType>(x, 64);
    CHECK(undefined.codes == std::vector<std::uint8_t>(size / 2, 0xff));
    CHECK(std::isnan(undefined.absmax[0]));
  }
}

TEMPLATE_LIST_TEST_CASE("16-bit values get the codes of their widened values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_vector<float, TestType>(1000, 1);
  const auto check = [](const auto& narrow) {
    using T = typename std::remove_cvref_t<decltype(narrow)>::scalar;
    const auto a = encode<T, TestType>(to_host(narrow), 128);
    const auto b = encode<float, TestType>(to_host(convert<float>(narrow)), 128);
    CHECK(a.codes == b.codes);
    CHECK(a.absmax == b.absmax);
  };
  check(convert<bfloat16>(x));
  check(convert<veneer::half>(x));
}

}  // namespace nf4_kernels_test
