// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/quantization.hpp"

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "veneer/backend/cpu.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "support/values.hpp"

namespace quantization_test {

using namespace veneer;
using testing::TemporaryFolder;

namespace {

/// The parts of one 4-bit weight "w", to be written with changes.
struct Parts {
  struct One {
    Dtype dtype;
    std::vector<std::int64_t> shape;
    std::string bytes;
  };
  std::map<std::string, One> parts;

  template <class T>
  void put(const std::string& name, Dtype dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
    parts[name] = {dtype, std::move(shape),
                   std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
  }
  void put_state(const std::string& text, const std::string& type = "nf4") {
    parts["w.quant_state.bitsandbytes__" + type] = {Dtype::u8, {static_cast<std::int64_t>(text.size())}, text};
  }

  template <class W>
  explicit Parts(const W& w) {
    const auto& scales = w.parts().scales;
    put("w", Dtype::u8, {w.parts().codes.count(), 1}, to_host(w.parts().codes));
    put("w.quant_map", Dtype::f32, {16}, w.parts().values);
    if (scales.nested()) {
      put("w.absmax", Dtype::u8, {scales.count()}, to_host(scales.codes()));
      put("w.nested_absmax", Dtype::f32, {scales.nested_absmax().count()}, to_host(scales.nested_absmax()));
      put("w.nested_quant_map", Dtype::f32, {256}, to_host(scales.map()));
    } else {
      put("w.absmax", Dtype::f32, {scales.count()}, to_host(scales.absmax()));
    }
    put_state(quant_state_text(w));
  }

  SafetensorsFile written(const TemporaryFolder& folder) const {
    std::vector<TensorView> views;
    for (const auto& [name, one] : parts) views.push_back({name, one.dtype, one.shape, one.bytes.data()});
    write_safetensors(folder / "w.safetensors", views, {});
    return SafetensorsFile(folder / "w.safetensors");
  }
};

auto packed(bool nested) {
  return NF4Tensor(testing::random_matrix<float, Cpu>(9, 65, 1), {.blocksize = 64, .double_quant = nested});
}

/// Returns the error of reading the parts; empty if there is none.
std::string complaint(const Parts& parts) {
  TemporaryFolder folder;
  try {
    read_nf4(parts.written(folder), "w", Shape<dyn, dyn>(9, 65), Cpu{});
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

Json config_with(const char* quantization) {
  return parse_json(std::string("{\"quantization_config\": ") + quantization + "}", "config.json");
}

}  // namespace

TEST_CASE("a 4-bit weight that is written and read is the same to the bit") {
  TemporaryFolder folder;
  for (const bool nested : {false, true}) {
    const auto w = packed(nested);
    const auto read = read_nf4(Parts(w).written(folder), "w", Shape<dyn, dyn>(9, 65), Cpu{});
    CHECK(testing::same_bits(decode(read), decode(w)));
    CHECK(quant_state_text(read) == quant_state_text(w));
    CHECK(read.parts().scales.nested() == nested);
  }
}

TEST_CASE("the codes count as bytes, whatever dtype they stand under") {
  TemporaryFolder folder;
  const auto w = NF4Tensor(testing::random_matrix<float, Cpu>(8, 64, 1));
  Parts parts(w);
  parts.parts.at("w").dtype = Dtype::bf16;
  parts.parts.at("w").shape = {128, 1};
  CHECK(testing::same_bits(decode(read_nf4(parts.written(folder), "w", Shape<dyn, dyn>(8, 64), Cpu{})), decode(w)));
}

TEST_CASE("parts that are missing or do not fit are named") {
  for (const char* part : {"w.absmax", "w.quant_map", "w.nested_absmax", "w.nested_quant_map"}) {
    Parts parts(packed(true));
    parts.parts.erase(part);
    CHECK_THAT(complaint(parts), Catch::Contains(part) && Catch::Contains("missing"));
  }
  Parts transposed(packed(false));
  transposed.put("w.absmax", Dtype::bf16, {10}, std::vector<bfloat16>(10));
  CHECK_THAT(complaint(transposed), Catch::Contains("\"w.absmax\": dtype BF16, expected F32"));
  Parts brief(packed(false));
  brief.put("w.absmax", Dtype::f32, {9}, std::vector<float>(9));
  CHECK_THAT(complaint(brief), Catch::Contains("9 values, expected 10"));
  Parts cut(packed(false));
  cut.put("w", Dtype::u8, {292, 1}, std::vector<std::uint8_t>(292));
  CHECK_THAT(complaint(cut), Catch::Contains("292 bytes of codes for [9, 65], expected 293"));
  Parts twice(packed(false));
  twice.put_state("{}", "fp4");
  CHECK_THAT(complaint(twice), Catch::Contains("a state of nf4 and one of fp4"));
}

TEST_CASE("a state that says something else is refused") {
  const auto refuses = [](const std::string& from, const std::string& to, const char* sentence) {
    Parts parts(packed(true));
    std::string text = quant_state_text(packed(true));
    text.replace(text.find(from), from.size(), to);
    parts.put_state(text);
    CAPTURE(text);
    CHECK_THAT(complaint(parts), Catch::Contains(sentence));
  };
  refuses("\"nf4\"", "\"fp4\"", "which differs from the one in the name");
  refuses("\"blocksize\": 64", "\"blocksize\": 48", "a power of two from 32 to 4096");
  refuses("\"blocksize\": 64", "\"blocksize\": 128", "expected");
  refuses("\"float32\", \"shape\"", "\"int8\", \"shape\"", "expected float32, float16 or bfloat16");
  refuses("\"shape\": [9, 65]", "\"shape\": [4611686018427387904, 4611686018427387904]", "is not possible");
  refuses("\"shape\": [9, 65]", "\"shape\": [-9, 65]", "is not possible");
  refuses("\"nested_blocksize\": 256", "\"nested_blocksize\": 0", "expected at least 1");
  refuses("\"quant_type\"", "\"quant_kind\": 1, \"quant_type\"", "\"quant_kind\" is not known");
  refuses("{", "", "w.quant_state");
}

TEST_CASE("config.json: 4 bits by bitsandbytes are read, other methods refused by name") {
  CHECK_FALSE(read_quantization(parse_json("{}", "x"), "x").has_value());
  CHECK_FALSE(read_quantization(config_with("null"), "x").has_value());
  const QuantizationConfig config{CodeBook::nf4, true, "bfloat16"};
  Json raw;
  raw["quantization_config"] = quantization_json(config, {"a"});
  const auto read = read_quantization(raw, "x");
  REQUIRE(read.has_value());
  CHECK(read->double_quant);
  CHECK(read->compute_dtype == "bfloat16");
  CHECK(raw["quantization_config"]["llm_int8_skip_modules"] == Json({"lm_head", "a"}));
  const auto refuses = [](const char* text, const char* sentence) {
    CHECK_THROWS_AS(read_quantization(config_with(text), "x"), FormatError);
    CHECK_THROWS_WITH(read_quantization(config_with(text), "x"), Catch::Contains(sentence));
  };
  refuses("{\"quant_method\": \"gptq\"}", "gptq");
  refuses("{\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true}", "in 8 bits");
  refuses("{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"x\"}", "\"x\"");
}

}  // namespace quantization_test
