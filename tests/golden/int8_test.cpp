// SPDX-License-Identifier: Apache-2.0
/// 8-bit weights against bitsandbytes: the map, codes, maxima and decoded values, bit for bit.
#include <array>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/quant/int8_tensor.hpp"

#include "support/catch.hpp"

namespace int8_test {

using namespace veneer;

namespace {

struct Case {
  const SafetensorsFile& file;
  std::string name;
  index_t blocksize;

  template <Scalar T>
  std::vector<T> values(const char* part) const {
    const TensorEntry& entry = file.at(name + part);
    std::vector<T> out(entry.bytes / sizeof(T));
    std::memcpy(out.data(), entry.data, entry.bytes);
    return out;
  }
  template <Scalar T>
  Vector<T, Cpu> vector(const char* part) const {
    const std::vector<T> all = values<T>(part);
    return from_host(Shape<dyn>(static_cast<index_t>(all.size())), all, Cpu{});
  }
};

/// Returns whether the bits are equal; all NaNs are considered equal.
template <Scalar T>
bool same(const std::vector<T>& found, const std::vector<T>& expected) {
  if (found.size() != expected.size()) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::memcmp(&found[i], &expected[i], sizeof(T)) == 0) continue;
    const auto a = static_cast<float>(found[i]), b = static_cast<float>(expected[i]);
    if (!(a != a && b != b)) return false;
  }
  return true;
}

template <Scalar From>
void check(const Case& c) {
  const Int8Tensor w(c.vector<From>(".input"), {.blocksize = c.blocksize});
  CHECK(to_host(w.parts().codes) == c.values<std::uint8_t>(".codes"));
  CHECK(same(to_host(w.parts().absmax), c.values<float>(".absmax")));
  CHECK(same(to_host(decode_as<float>(w)), c.values<float>(".f32")));
  CHECK(same(to_host(decode_as<bfloat16>(w)), c.values<bfloat16>(".bf16")));
  CHECK(same(to_host(decode_as<veneer::half>(w)), c.values<veneer::half>(".f16")));
  CHECK(w.from() == quantized_from<From>);
  Int8Parts<Cpu> parts = w.parts();  // any codes are read, including those of its compiled kernel
  parts.codes = c.vector<std::uint8_t>(".cpu_codes");
  CHECK(same(to_host(decode(Int8Tensor<Shape<dyn>, Cpu>(w.shape(), parts))), c.values<float>(".cpu_f32")));
}

}  // namespace

TEST_CASE("8-bit weights have the codes, maxima and values of bitsandbytes") {
  const SafetensorsFile file(std::filesystem::path(VENEER_TEST_DATA) / "int8/cases.safetensors");
  std::vector<float> map(256);
  read_floats(file.at("map"), map.data());
  const std::array<float, 256> own = dynamic_map();
  CHECK(same(std::vector<float>(own.begin(), own.end()), map));
  std::set<std::string> names;
  for (const std::string& name : file.names()) {
    if (name.ends_with(".input")) names.insert(name.substr(0, name.size() - 6));
  }
  REQUIRE(names.size() == 8);
  for (const std::string& name : names) {
    INFO(name);
    const Case c{file, name, std::stol(name.substr(name.find('.') + 1))};
    switch (file.at(name + ".input").dtype) {
      case Dtype::bf16: check<bfloat16>(c); break;
      case Dtype::f16: check<veneer::half>(c); break;
      default: check<float>(c);
    }
  }
}

}  // namespace int8_test
