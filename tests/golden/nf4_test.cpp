// SPDX-License-Identifier: Apache-2.0
/// 4-bit weights against bitsandbytes: codes, block maxima and decoded values, bit for bit.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

#include "golden/support.hpp"

using namespace veneer;
using namespace veneer::testing;

namespace {

template <Scalar T>
std::vector<T> raw_values(const TensorEntry& entry) {
  std::vector<T> values(entry.bytes / sizeof(T));
  REQUIRE(values.size() * sizeof(T) == entry.bytes);
  std::memcpy(values.data(), entry.data, entry.bytes);
  return values;
}

template <Scalar T>
Vector<T, Cpu> on_cpu(const TensorEntry& entry) {
  const std::vector<T> values = raw_values<T>(entry);
  return from_host(Shape<dyn>(static_cast<index_t>(values.size())), values, Cpu{});
}

/// The same bits; one NaN is as good as another, and, where `zeros` is set, one zero as the other.
template <Scalar T>
bool same(const std::vector<T>& found, const std::vector<T>& expected, bool zeros = false) {
  if (found.size() != expected.size()) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::memcmp(&found[i], &expected[i], sizeof(T)) == 0) continue;
    const auto a = static_cast<float>(found[i]), b = static_cast<float>(expected[i]);
    const bool both_nan = a != a && b != b, both_zero = a == 0 && b == 0;
    if (!both_nan && !(zeros && both_zero)) return false;
  }
  return true;
}

struct CaseFiles {
  SafetensorsFile tensors;
  Json cases;
  explicit CaseFiles(const std::string& name)
      : tensors(test_data / "nf4/cases" / (name + ".safetensors")),
        cases(read_json(test_data / "nf4/cases" / (name + ".json")).at("cases")) {}
};

template <Stored To, class W>
void check_decoded(const SafetensorsFile& file, const std::string& name, const W& w) {
  if (const TensorEntry* entry = file.find(name)) {
    INFO(name);
    CHECK(same(to_host(decode_as<To>(w)), raw_values<To>(*entry), true));
  }
}

/// Decoded values of the recorded codes and block maxima, whatever wrote them.
void check_decoding(const CaseFiles& files, const Json& one, const SafetensorsFile& tables) {
  const auto name = one.at("name").get<std::string>();
  const bool fp4 = one.at("quant_type").get<std::string>() == "fp4";
  PackedParts<Cpu> parts;
  parts.blocksize = one.at("blocksize").get<index_t>();
  parts.book = fp4 ? CodeBook::fp4 : CodeBook::nf4;
  parts.values = raw_values<float>(tables.at(fp4 ? "fp4.code" : "nf4.code"));
  parts.codes = on_cpu<std::uint8_t>(files.tensors.at(name + ".codes"));
  parts.scales = BlockScales<Cpu>(on_cpu<float>(files.tensors.at(name + ".absmax")));
  const Shape<dyn> flat(element_count(files.tensors.at(name + ".input")));
  const NF4Tensor<Shape<dyn>, Cpu> plain(flat, parts);
  check_decoded<float>(files.tensors, name + ".deq_f32", plain);
  check_decoded<half>(files.tensors, name + ".deq_f16", plain);
  check_decoded<bfloat16>(files.tensors, name + ".deq_bf16", plain);
  if (!one.at("nested").get<bool>()) return;
  const auto offset = static_cast<float>(one.at("nested_offset").get<double>());
  parts.scales = BlockScales<Cpu>(on_cpu<std::uint8_t>(files.tensors.at(name + ".dq.absmax")),
                                  on_cpu<float>(files.tensors.at(name + ".dq.nested_absmax")),
                                  on_cpu<float>(tables.at("dynamic8.signed")), offset);
  CHECK(same(to_host(parts.scales.decoded()), raw_values<float>(files.tensors.at(name + ".dq.absmax_decoded"))));
  const NF4Tensor<Shape<dyn>, Cpu> nested(flat, parts);
  check_decoded<float>(files.tensors, name + ".dq.deq_f32", nested);
  check_decoded<half>(files.tensors, name + ".dq.deq_f16", nested);
  check_decoded<bfloat16>(files.tensors, name + ".dq.deq_bf16", nested);
}

template <Stored T>
void check_encoding(const CaseFiles& files, const Json& one) {
  const auto name = one.at("name").get<std::string>();
  const auto input = on_cpu<T>(files.tensors.at(name + ".input"));
  const NF4Tensor w(input, {.blocksize = one.at("blocksize").get<index_t>()});
  CHECK(same(to_host(w.parts().codes), raw_values<std::uint8_t>(files.tensors.at(name + ".codes"))));
  CHECK(same(to_host(w.parts().scales.absmax()), raw_values<float>(files.tensors.at(name + ".absmax"))));
  if (!one.at("nested").get<bool>()) return;
  const auto offset = static_cast<float>(one.at("nested_offset").get<double>());
  const auto scales = nest(w.parts().scales.absmax(), offset);
  CHECK(same(to_host(scales.codes()), raw_values<std::uint8_t>(files.tensors.at(name + ".dq.absmax_nearest"))));
  CHECK(same(to_host(scales.nested_absmax()), raw_values<float>(files.tensors.at(name + ".dq.nested_absmax"))));
  // torch adds in float, in an order of its own; the mean here is rounded once.
  CHECK(static_cast<double>(nest(w.parts().scales.absmax()).offset()) ==
        Approx(static_cast<double>(offset)).epsilon(1e-6));
}

}  // namespace

TEST_CASE("code books are those of bitsandbytes") {
  const SafetensorsFile tables(test_data / "nf4/tables.safetensors");
  CHECK(same({nf4_values.begin(), nf4_values.end()}, raw_values<float>(tables.at("nf4.code"))));
  CHECK(same({fp4_values.begin(), fp4_values.end()}, raw_values<float>(tables.at("fp4.code"))));
  const auto map = dynamic_map();
  CHECK(same({map.begin(), map.end()}, raw_values<float>(tables.at("dynamic8.signed"))));
}

TEST_CASE("at the bounds of NF4 and one step beside them, codes are those of bitsandbytes") {
  const SafetensorsFile tables(test_data / "nf4/tables.safetensors");
  const std::vector<float> bounds = raw_values<float>(tables.at("nf4.bounds"));
  REQUIRE(bounds.size() == 15);
  for (int i = 0; i < 15; ++i) {
    const float bound = bounds[static_cast<std::size_t>(i)];
    CHECK(nf4_code(bound) == i);
    CHECK(nf4_code(std::nextafter(bound, 2.0f)) == i + 1);
    CHECK(nf4_code(std::nextafter(bound, -2.0f)) == i);
  }
}

TEST_CASE("8-bit codes are the nearest ones, and even between two") {
  const SafetensorsFile tables(test_data / "nf4/tables.safetensors");
  const auto map = on_cpu<float>(tables.at("dynamic8.signed"));
  const ops::NestScalesBody body{nullptr, nullptr, nullptr, map.data(), 0, 0.0f};
  for (const std::string where : {"below", "at", "above"}) {
    const std::vector<float> values = raw_values<float>(tables.at("ties8.x_" + where));
    const std::vector<std::uint8_t> codes = raw_values<std::uint8_t>(tables.at("ties8.nearest_" + where));
    REQUIRE(values.size() == 255);
    for (std::size_t i = 0; i < values.size(); ++i) {
      CAPTURE(where, i);
      CHECK(body.nearest(values[i]) == codes[i]);
    }
  }
}

TEST_CASE("recorded weights are quantised and decoded to the recorded bits") {
  const SafetensorsFile tables(test_data / "nf4/tables.safetensors");
  int encoded = 0, decoded = 0;
  for (const std::string name : {"random", "rows", "edge", "fp4"}) {
    const CaseFiles files(name);
    for (const Json& one : files.cases) {
      INFO(name << ", " << one.at("name").get<std::string>());
      check_decoding(files, one, tables);
      ++decoded;
      if (one.at("quant_type").get<std::string>() == "fp4") continue;  // read, not written
      ++encoded;
      const auto dtype = one.at("dtype").get<std::string>();
      if (dtype == "float32") check_encoding<float>(files, one);
      if (dtype == "float16") check_encoding<half>(files, one);
      if (dtype == "bfloat16") check_encoding<bfloat16>(files, one);
    }
  }
  CHECK(encoded >= 80);
  CHECK(decoded > encoded);
}
