// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/shared_projection.hpp"

#include <cmath>
#include <filesystem>

#include "veneer/io/safetensors.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace shared_projection_test {

using namespace veneer;

TEMPLATE_LIST_TEST_CASE("A and B have the bits that PEFT drew from the same key", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const SafetensorsFile file(std::filesystem::path(VENEER_TEST_DATA) / "adapters/vera/adapter_model.safetensors");
  const SharedProjection<float, TestType> projection(6, 48, 48, 11, true, true, TestType{});
  const auto agrees = [&](const char* name, const auto& tensor) {
    std::vector<float> expected(static_cast<std::size_t>(element_count(file.at(name))));
    read_floats(file.at(name), expected.data());
    return to_host(tensor) == expected;
  };
  CHECK(agrees("base_model.vera_A", projection.a));
  CHECK(agrees("base_model.vera_B", projection.b));
  const SharedProjection<float, TestType> other(6, 48, 48, 12, true, true, TestType{});
  CHECK_FALSE(testing::same_bits(other.a, projection.a));
}

TEMPLATE_LIST_TEST_CASE("a module takes the first columns of A and the first rows of B", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const SharedProjection<float, TestType> projection(2, 5, 6, 1, true, true, TestType{});
  const auto a = to_host(projection.a), b = to_host(projection.b);
  const auto down = to_host(projection.down(4)), up = to_host(projection.up(3));
  REQUIRE(down.size() == 8);
  REQUIRE(up.size() == 6);
  for (std::size_t i = 0; i < 8; ++i) CHECK(down[i] == a[i / 4 * 6 + i % 4]);
  for (std::size_t i = 0; i < 6; ++i) CHECK(up[i] == b[i]);
  CHECK(projection.down(6).data() == projection.a.data());
  const SharedProjection<float, TestType> shape_only(2, 5, 6, 1, true, false, TestType{});
  CHECK_FALSE(shape_only.a);
  CHECK(shape_only.b.shape() == projection.b.shape());
}

}  // namespace shared_projection_test
