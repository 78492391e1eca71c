// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "veneer/core/scalar.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace safetensors_test {

using namespace veneer;
using Catch::Contains;
using veneer::testing::file_bytes;
using veneer::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

/// Returns the bytes of a file with the given header and number of bytes of data.
std::string file_with(const std::string& header, std::size_t data_bytes) {
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  out += header;
  for (std::size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i + 1);
  return out;
}

/// Returns a file that claims a header of `length` bytes.
std::string file_saying(std::uint64_t length, const std::string& rest) {
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) out += static_cast<char>(length >> (8 * i) & 0xFF);
  return out + rest;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

SafetensorsFile parse(const std::string& file) { return SafetensorsFile::parse(bytes_of(file), "f.safetensors"); }

struct Malformed {
  const char* name;
  std::string bytes;
  SafetensorsError code;
};

const std::string good = "{" + entry("a", "F32", "[2]", "[0,8]") + "}";

std::vector<Malformed> malformed_frames() {
  using enum SafetensorsError;
  return {
      {"empty file", "", header_too_small},
      {"one byte", "x", header_too_small},
      {"seven bytes", std::string(7, '\0'), header_too_small},
      {"header of 100,000,001 bytes", file_saying(100000001, "{}"), header_too_large},
      {"header of 2^63 bytes", file_saying(std::uint64_t{1} << 63, "{}"), header_too_large},
      {"header of 2^64 - 1 bytes", file_saying(~std::uint64_t{0}, "{}"), header_too_large},
      {"header of 2^64 - 8 bytes, which wraps to 0", file_saying(~std::uint64_t{7}, "{}"), header_too_large},
      {"text in place of a length", "PK\x03\x04 a zip archive, for example", header_too_large},
      {"pickle in place of a length", std::string("\x80\x02}q\x00(X\x06\x00\x00", 10), header_too_large},
      {"header of 100,000,000 bytes in a short file", file_saying(100000000, "{}"), invalid_header_length},
      {"header one byte longer than the file", file_saying(3, "{}"), invalid_header_length},
      {"header, and nothing behind the length", file_saying(2, ""), invalid_header_length},
      {"header of no bytes", file_saying(0, ""), invalid_header},
      {"header of no bytes, with data", file_saying(0, "{}"), invalid_header},
      {"header that is not UTF-8", file_with("{\"\xFF\":1}", 0), invalid_header_encoding},
      {"name with an overlong NUL", file_with("{" + entry("a\xC0\x80", "U8", "[1]", "[0,1]") + "}", 1),
       invalid_header_encoding},
      {"name with half a code point", file_with("{" + entry("a\xE2\x82", "U8", "[1]", "[0,1]") + "}", 1),
       invalid_header_encoding},
      {"name with a surrogate in UTF-8", file_with("{" + entry("\xED\xA0\x80", "U8", "[1]", "[0,1]") + "}", 1),
       invalid_header_encoding},
      {"byte order mark", file_with("\xEF\xBB\xBF{}", 0), invalid_header_encoding},
      {"bytes missing at the end", file_with(good, 7), incomplete_buffer},
      {"no data at all", file_with(good, 0), incomplete_buffer},
      {"one byte left over", file_with(good, 9), incomplete_buffer},
      {"a second file behind the first", file_with(good, 8) + file_with(good, 8), incomplete_buffer},
      {"data and no tensors", file_with("{}", 4), incomplete_buffer},
      {"only an empty tensor, and data", file_with("{" + entry("a", "F32", "[0]", "[0,0]") + "}", 4),
       incomplete_buffer},
      {"offsets fit the shape, past the end of the file",
       file_with("{" + entry("a", "F32", "[1000]", "[0,4000]") + "}", 16), incomplete_buffer},
      {"4 GiB of tensor in a file of bytes",
       file_with("{" + entry("a", "U8", "[4294967296]", "[0,4294967296]") + "}", 4), incomplete_buffer},
      {"2^60 bytes of tensor",
       file_with("{" + entry("a", "U8", "[1152921504606846976]", "[0,1152921504606846976]") + "}", 4),
       incomplete_buffer},
  };
}

std::vector<Malformed> malformed_json() {
  using enum SafetensorsError;
  const std::string e = entry("a", "U8", "[1]", "[0,1]");
  return {
      {"JSON that ends early", file_with("{", 0), invalid_header},
      {"JSON with a comma too many", file_with("{" + e + ",}", 1), invalid_header},
      {"text behind the header's JSON", file_with(good + "x", 8), invalid_header},
      {"NUL padding behind the header", file_with(good + std::string(2, '\0'), 8), invalid_header},
      {"header is a list", file_with("[]", 0), invalid_header},
      {"header is a number", file_with("5", 0), invalid_header},
      {"header is null", file_with("null", 0), invalid_header},
      {"tensor is a number", file_with("{\"a\":5}", 0), invalid_header},
      {"tensor is a text", file_with("{\"a\":\"x\"}", 0), invalid_header},
      {"tensor is null", file_with("{\"a\":null}", 0), invalid_header},
      {"tensor is a list", file_with("{\"a\":[1]}", 0), invalid_header},
      {"tensor without fields", file_with("{\"a\":{}}", 0), invalid_header},
      {"dtype missing", file_with("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1), invalid_header},
      {"shape missing", file_with("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1), invalid_header},
      {"data_offsets missing", file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1), invalid_header},
      {"dtype is a number", file_with("{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1), invalid_header},
      {"dtype is null", file_with("{\"a\":{\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,1]}}", 1), invalid_header},
      {"shape is a number", file_with("{" + entry("a", "U8", "1", "[0,1]") + "}", 1), invalid_header},
      {"shape is a text", file_with("{" + entry("a", "U8", "\"1\"", "[0,1]") + "}", 1), invalid_header},
      {"shape holds a text", file_with("{" + entry("a", "U8", "[\"1\"]", "[0,1]") + "}", 1), invalid_header},
      {"shape holds null", file_with("{" + entry("a", "U8", "[null]", "[0,1]") + "}", 1), invalid_header},
      {"shape holds a boolean", file_with("{" + entry("a", "U8", "[true]", "[0,1]") + "}", 1), invalid_header},
      {"data_offsets is an object", file_with("{" + entry("a", "U8", "[1]", "{}") + "}", 1), invalid_header},
      {"no offset", file_with("{" + entry("a", "U8", "[1]", "[]") + "}", 1), invalid_header},
      {"one offset", file_with("{" + entry("a", "U8", "[1]", "[1]") + "}", 1), invalid_header},
      {"three offsets", file_with("{" + entry("a", "U8", "[1]", "[0,1,2]") + "}", 1), invalid_header},
      {"list in the shape", file_with("{" + entry("a", "U8", "[[1]]", "[0,1]") + "}", 1), nested_too_deep},
      {"object in an unknown key of an unknown key", file_with("{\"a\":{\"x\":{\"y\":{}}}}", 0), nested_too_deep},
      {"object in the metadata's value", file_with("{\"__metadata__\":{\"a\":{\"b\":[]}}}", 0), invalid_metadata},
      {"a hundred thousand open lists", file_with(repeat("[", 100000), 0), invalid_header},
      {"a hundred thousand open objects", file_with(repeat("{\"a\":", 100000), 0), nested_too_deep},
      {"lists in an unknown key", file_with("{\"a\":{\"x\":" + repeat("[", 1000), 0), nested_too_deep},
      {"unknown dtype", file_with("{" + entry("a", "F31", "[1]", "[0,4]") + "}", 4), unknown_dtype},
      {"dtype in small letters", file_with("{" + entry("a", "f32", "[1]", "[0,4]") + "}", 4), unknown_dtype},
      {"dtype of another library", file_with("{" + entry("a", "torch.float32", "[1]", "[0,4]") + "}", 4),
       unknown_dtype},
      {"empty dtype", file_with("{" + entry("a", "", "[1]", "[0,4]") + "}", 4), unknown_dtype},
      {"unknown dtype, offsets outside", file_with("{" + entry("a", "Q4", "[1]", "[0,999999]") + "}", 4),
       unknown_dtype},
      {"metadata value is a number", file_with("{\"__metadata__\":{\"step\":5}}", 0), invalid_metadata},
      {"metadata value is null", file_with("{\"__metadata__\":{\"a\":null}}", 0), invalid_metadata},
      {"metadata value is a list", file_with("{\"__metadata__\":{\"a\":[\"b\"]}}", 0), invalid_metadata},
      {"metadata value is true", file_with("{\"__metadata__\":{\"a\":true}}", 0), invalid_metadata},
      {"metadata is a text", file_with("{\"__metadata__\":\"pt\"}", 0), invalid_metadata},
      {"metadata is a list", file_with("{\"__metadata__\":[]}", 0), invalid_metadata},
      {"metadata is a number", file_with("{\"__metadata__\":1}", 0), invalid_metadata},
  };
}

std::vector<Malformed> malformed_names() {
  using enum SafetensorsError;
  const auto named = [](const std::string& name) {
    return file_with("{" + entry(name, "U8", "[1]", "[0,1]") + "}", 1);
  };
  const std::string e = entry("a", "U8", "[4]", "[0,4]");
  return {
      {"the same name twice", file_with("{" + e + "," + entry("a", "F32", "[1]", "[0,4]") + "}", 4), duplicate_name},
      {"the same name twice, with bytes for both",
       file_with("{" + e + "," + entry("a", "F32", "[1]", "[4,8]") + "}", 8), duplicate_name},
      {"the same name in two spellings", file_with("{" + e + "," + entry("\\u0061", "U8", "[4]", "[4,8]") + "}", 8),
       duplicate_name},
      {"metadata twice", file_with("{\"__metadata__\":{},\"__metadata__\":{}}", 0), duplicate_name},
      {"a metadata key twice", file_with("{\"__metadata__\":{\"format\":\"pt\",\"format\":\"np\"}}", 0),
       duplicate_name},
      {"dtype twice", file_with("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
       duplicate_name},
      {"shape twice", file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
       duplicate_name},
      {"data_offsets twice",
       file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"data_offsets\":[0,1]}}", 1),
       duplicate_name},
      {"empty name", named(""), invalid_name},
      {"name with a NUL", named("a\\u0000b"), invalid_name},
      {"name that is a NUL", named("\\u0000"), invalid_name},
      {"name of 1025 bytes", named(std::string(1025, 'n')), invalid_name},
      {"name of a million bytes", named(std::string(1000000, 'n')), invalid_name},
      {"nine dimensions", file_with("{" + entry("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") + "}", 1),
       too_many_dimensions},
      {"a million dimensions", file_with("{" + entry("a", "U8", "[1" + repeat(",1", 999999) + "]", "[0,1]") + "}", 1),
       too_many_dimensions},
      {"nine dimensions, one of them 0", file_with("{" + entry("a", "U8", "[1,1,1,1,0,1,1,1,1]", "[0,0]") + "}", 0),
       too_many_dimensions},
  };
}

std::vector<Malformed> malformed_numbers() {
  using enum SafetensorsError;
  const auto shaped = [](const char* shape) { return file_with("{" + entry("a", "U8", shape, "[0,1]") + "}", 1); };
  const auto placed = [](const char* offsets) { return file_with("{" + entry("a", "U8", "[1]", offsets) + "}", 1); };
  return {
      {"negative extent", shaped("[-1]"), invalid_number},
      {"two negative extents whose product is 1", shaped("[-1,-1]"), invalid_number},
      {"minus zero", shaped("[-0]"), invalid_number},
      {"fraction as an extent", shaped("[1.5]"), invalid_number},
      {"1.0 as an extent", shaped("[1.0]"), invalid_number},
      {"exponent as an extent", shaped("[1e0]"), invalid_number},
      {"exponent past every double", shaped("[1e999]"), invalid_number},
      {"2^64 as an extent", shaped("[18446744073709551616]"), invalid_number},
      {"forty digits as an extent", shaped("[1000000000000000000000000000000000000000]"), invalid_number},
      {"negative offset", placed("[-1,0]"), invalid_number},
      {"fraction as an offset", placed("[0,1.0]"), invalid_number},
      {"exponent as an offset", placed("[0,1E0]"), invalid_number},
      {"2^64 + 1 as an offset, which wraps to 1", placed("[0,18446744073709551617]"), invalid_number},
      {"-2^63 - 1 as an offset", placed("[-9223372036854775809,1]"), invalid_number},
      {"extent of 2^63", shaped("[9223372036854775808]"), size_overflow},
      {"extents 2 and 2^64 - 2", shaped("[2,18446744073709551614]"), size_overflow},
      {"product is 4 modulo 2^64",
       file_with("{" + entry("a", "U8", "[4194305,4194305,211106198978564]", "[0,4]") + "}", 4), size_overflow},
      {"product is 0 modulo 2^64", file_with("{" + entry("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}", 0),
       size_overflow},
      {"elements fit, bits do not", file_with("{" + entry("a", "F64", "[2305843009213693952]", "[0,0]") + "}", 0),
       size_overflow},
      {"eight large extents", shaped("[65536,65536,65536,65536,65536,65536,65536,65536]"), size_overflow},
      {"overflow before a 0", file_with("{" + entry("a", "U8", "[4294967296,4294967296,0]", "[0,0]") + "}", 0),
       size_overflow},
  };
}

std::vector<Malformed> malformed_layout() {
  using enum SafetensorsError;
  const auto one = [](const char* dtype, const char* shape, const char* offsets, std::size_t data) {
    return file_with("{" + entry("a", dtype, shape, offsets) + "}", data);
  };
  const auto two = [](const char* first, const char* second, std::size_t data) {
    return file_with("{" + entry("a", "U8", "[4]", first) + "," + entry("b", "U8", "[4]", second) + "}", data);
  };
  return {
      {"shape larger than the offsets", one("F32", "[1000,1000]", "[0,4]", 4), size_mismatch},
      {"shape smaller than the offsets", one("F32", "[1]", "[0,8]", 8), size_mismatch},
      {"one byte short", one("I32", "[2,2]", "[0,15]", 15), size_mismatch},
      {"offsets of nothing for a tensor", one("I32", "[2,2]", "[0,0]", 0), size_mismatch},
      {"bytes for an empty tensor", one("I32", "[0]", "[0,4]", 4), size_mismatch},
      {"rank 0 without its element", one("F32", "[]", "[0,0]", 0), size_mismatch},
      {"element size of another dtype", one("BF16", "[4]", "[0,16]", 16), size_mismatch},
      {"half an offset per element", one("F4", "[4]", "[0,4]", 4), size_mismatch},
      {"three packed elements of 4 bits", one("F4", "[3]", "[0,1]", 1), misaligned_tensor},
      {"one packed element of 4 bits", one("F4", "[]", "[0,1]", 1), misaligned_tensor},
      {"three packed elements of 6 bits", one("F6_E2M3", "[3]", "[0,2]", 2), misaligned_tensor},
      {"a packed element of 6 bits", one("F6_E3M2", "[1]", "[0,1]", 1), misaligned_tensor},
      {"seven by five of 4 bits", one("F4", "[7,5]", "[0,17]", 17), misaligned_tensor},
      {"a hole at the start", one("U8", "[4]", "[4,8]", 8), hole_between_tensors},
      {"a hole of one byte", two("[0,4]", "[5,9]", 9), hole_between_tensors},
      {"a hole between tensors out of order", two("[8,12]", "[0,4]", 12), hole_between_tensors},
      {"an empty tensor past a hole", file_with("{" + entry("a", "U8", "[0]", "[4,4]") + "}", 4), hole_between_tensors},
      {"a hole to the far end", one("U8", "[1]", "[18446744073709551614,18446744073709551615]", 1),
       hole_between_tensors},
      {"the same bytes twice", two("[0,4]", "[0,4]", 4), overlapping_tensors},
      {"overlap by one byte", two("[0,4]", "[3,7]", 7), overlapping_tensors},
      {"one tensor inside another",
       file_with("{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[4]", "[2,6]") + "}", 8),
       overlapping_tensors},
      {"the same start, other ends",
       file_with("{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[4]", "[0,4]") + "}", 8),
       overlapping_tensors},
      {"an empty tensor inside another",
       file_with("{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[0]", "[4,4]") + "}", 8),
       overlapping_tensors},
      {"end before begin", one("U8", "[4]", "[4,0]", 4), invalid_offset},
      {"end before begin, by one", one("U8", "[1]", "[1,0]", 1), invalid_offset},
      {"end before begin, at the far end", one("U8", "[1]", "[18446744073709551615,0]", 1), invalid_offset},
      {"end before begin for an empty tensor", one("U8", "[0]", "[1,0]", 0), invalid_offset},
      {"end before begin in the second of two", two("[0,4]", "[8,4]", 8), invalid_offset},
  };
}

std::vector<Malformed> malformed() {
  std::vector<Malformed> all;
  for (auto part : {malformed_frames(), malformed_json(), malformed_names(), malformed_numbers(), malformed_layout()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

struct Valid {
  const char* name;
  std::string bytes;
  std::size_t tensors;
};

std::vector<Valid> valid() {
  const auto one = [](const char* dtype, const char* shape, const char* offsets, std::size_t data) {
    return file_with("{" + entry("a", dtype, shape, offsets) + "}", data);
  };
  const std::string eight = "[1,1,1,1,1,1,1,1]";
  return {
      {"no tensors", file_with("{}", 0), 0},
      {"no tensors, padded", file_with("{}      ", 0), 0},
      {"no tensors, metadata", file_with("{\"__metadata__\":{\"format\":\"pt\"}}", 0), 0},
      {"empty metadata", file_with("{\"__metadata__\":{}}", 0), 0},
      {"metadata null", file_with("{\"__metadata__\":null}", 0), 0},
      {"metadata behind the tensors",
       file_with("{" + entry("a", "U8", "[1]", "[0,1]") + ",\"__metadata__\":{\"a\":\"b\"}}", 1), 1},
      {"metadata with empty key and text", file_with("{\"__metadata__\":{\"\":\"\"}}", 0), 0},
      {"metadata with any text", file_with("{\"__metadata__\":{\"k\\u0000\":\"\\n\xF0\x9F\x98\x80\"}}", 0), 0},
      {"the example of the reference",
       file_with("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}  ", 16), 1},
      {"header not a multiple of 8", file_with("{" + entry("a", "I32", "[2,2]", "[0,16]") + "}", 16), 1},
      {"blanks before the header", file_with("  \n\t {" + entry("a", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"line breaks in the header",
       file_with("{\n\"a\" :\r\n{ \"dtype\" : \"U8\" , \"shape\" : [ 1 ] , \"data_offsets\" : [ 0 , 1 ] } }\n", 1), 1},
      {"fields in another order", file_with("{\"a\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":\"U8\"}}", 1), 1},
      {"an unknown field",
       file_with("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"quant\":\"x\"}}", 1), 1},
      {"an unknown field that is an object",
       file_with("{\"a\":{\"x\":{\"y\":-1.5,\"y\":null},\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
       1},
      {"an unknown field that is a list",
       file_with("{\"a\":{\"x\":[1,\"b\",null,true],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1), 1},
      {"rank 0", one("F32", "[]", "[0,4]", 4), 1},
      {"eight dimensions", one("U8", eight.c_str(), "[0,1]", 1), 1},
      {"an extent of 0", one("F32", "[0]", "[0,0]", 0), 1},
      {"an extent of 0 among large ones", one("F32", "[0,4294967296,4294967296]", "[0,0]", 0), 1},
      {"an extent of 2^62 and a 0", one("U8", "[1152921504606846976,0]", "[0,0]", 0), 1},
      {"extents that leave 63 bits on the way to 0", one("U8", "[1152921504606846976,15,0]", "[0,0]", 0), 1},
      {"an empty tensor before another",
       file_with("{" + entry("a", "U8", "[0]", "[0,0]") + "," + entry("b", "U8", "[4]", "[0,4]") + "}", 4), 2},
      {"an empty tensor between two",
       file_with("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[0]", "[4,4]") + "," +
                     entry("c", "U8", "[4]", "[4,8]") + "}",
                 8),
       3},
      {"an empty tensor at the end",
       file_with("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[0]", "[4,4]") + "}", 4), 2},
      {"two empty tensors at one place",
       file_with("{" + entry("a", "U8", "[0]", "[0,0]") + "," + entry("b", "F32", "[2,0]", "[0,0]") + "}", 0), 2},
      {"tensors in another order than their data",
       file_with("{" + entry("a", "U8", "[4]", "[4,8]") + "," + entry("b", "U8", "[4]", "[0,4]") + "}", 8), 2},
      {"a tensor that is not aligned",
       file_with("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "F64", "[1]", "[1,9]") + "}", 9), 2},
      {"two elements of 4 bits", one("F4", "[2]", "[0,1]", 1), 1},
      {"four elements of 6 bits", one("F6_E2M3", "[4]", "[0,3]", 3), 1},
      {"four by five elements of 6 bits", one("F6_E3M2", "[4,5]", "[0,15]", 15), 1},
      {"no elements of 4 bits", one("F4", "[0]", "[0,0]", 0), 1},
      {"a name of 1024 bytes", file_with("{" + entry(std::string(1024, 'n'), "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"a name of one blank", file_with("{" + entry(" ", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"a name beyond ASCII", file_with("{" + entry("\xC3\xA9\xF0\x9F\x98\x80", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"a name in escapes", file_with("{" + entry("\\ud83d\\ude00", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"a name with a line break and a quote", file_with("{" + entry("a\\n\\\"b", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"names that differ by case",
       file_with("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("A", "U8", "[1]", "[1,2]") + "}", 2), 2},
      {"a name almost that of the metadata", file_with("{" + entry("__metadata__ ", "U8", "[1]", "[0,1]") + "}", 1), 1},
      {"values that are not finite", file_with("{" + entry("a", "F32", "[1]", "[0,4]") + "}", 0) + "\xFF\xFF\xFF\xFF",
       1},
  };
}

/// Returns whether a loaded file is consistent: the tensors are inside the bytes and their sizes add up.
bool consistent(const SafetensorsFile& file, const std::string& bytes) {
  std::size_t total = 0;
  for (const std::string& name : file.names()) {
    const TensorEntry& tensor = file.at(name);
    const auto* begin = reinterpret_cast<const char*>(tensor.data);
    if (tensor.bytes > 0 && (begin < bytes.data() + 8 || begin + tensor.bytes > bytes.data() + bytes.size()))
      return false;
    if (static_cast<std::uint64_t>(element_count(tensor)) * dtype_bits(tensor.dtype) != tensor.bytes * 8) return false;
    total += tensor.bytes;
  }
  return total <= bytes.size();
}

}  // namespace

TEST_CASE("each malformed file is refused by the code of its rule") {
  const std::vector<Malformed> cases = malformed();
  REQUIRE(cases.size() >= 120);
  std::vector<SafetensorsError> seen;
  for (const Malformed& bad : cases) {
    INFO(bad.name);
    try {
      parse(bad.bytes);
      FAIL("accepted");
    } catch (const SafetensorsFormatError& error) {
      CHECK(static_cast<int>(error.code) == static_cast<int>(bad.code));
      CHECK(std::string(error.what()).rfind("f.safetensors", 0) == 0);
      CHECK(std::string(error.what()).size() < 500);
      seen.push_back(error.code);
    }
  }
  using enum SafetensorsError;
  for (const SafetensorsError code :
       {header_too_small, header_too_large, invalid_header_length, invalid_header_encoding, invalid_header,
        unknown_dtype, invalid_metadata, hole_between_tensors, invalid_offset, overlapping_tensors, size_overflow,
        misaligned_tensor, size_mismatch, incomplete_buffer, duplicate_name, invalid_name, invalid_number,
        too_many_dimensions, nested_too_deep}) {
    INFO(static_cast<int>(code));
    CHECK(std::count(seen.begin(), seen.end(), code) >= 3);
  }
}

TEST_CASE("a malformed file on disk is refused as the same bytes in memory are") {
  const TemporaryFolder folder;
  for (const Malformed& bad : malformed_frames()) {
    INFO(bad.name);
    const fs::path path = folder.file("bad.safetensors", bad.bytes);
    try {
      SafetensorsFile{path};
      FAIL("accepted");
    } catch (const SafetensorsFormatError& error) {
      CHECK(static_cast<int>(error.code) == static_cast<int>(bad.code));
      CHECK_THAT(error.what(), Contains(path.string()));
    }
  }
  CHECK_THROWS_AS(SafetensorsFile("absent"), IoError);
  CHECK_THROWS_AS(SafetensorsFile((folder / "absent").string()), IoError);
  CHECK_THROWS_AS(SafetensorsFile(folder.path()), IoError);
}

TEST_CASE("messages name the tensor, what was found and what was expected") {
  const auto message = [](const std::string& bytes) {
    try {
      parse(bytes);
    } catch (const SafetensorsFormatError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message(file_with("{" + entry("w", "F32", "[3]", "[0,8]") + "}", 8)) ==
        "f.safetensors: tensor \"w\": data_offsets [0, 8] span 8 bytes, F32 and the shape need 12");
  CHECK(message(file_with("{" + entry("w", "F32", "[2]", "[4,12]") + "}", 12)) ==
        "f.safetensors: tensor \"w\": data_offsets [4, 12] leave a hole, expected to begin at 0, where the tensor "
        "before ends");
  CHECK(message(file_with("{" + entry("w", "F9", "[2]", "[0,8]") + "}", 8)) ==
        "f.safetensors: tensor \"w\": the dtype \"F9\" is unknown");
  CHECK(message(file_with("{" + entry("w", "F32", "[-2]", "[0,8]") + "}", 8)) ==
        "f.safetensors: tensor \"w\": found -2, expected an integer of at least 0");
  CHECK(message(file_with(good, 5)) ==
        "f.safetensors: the tensors end at byte 8 of the data, which has 5 bytes: the file is cut short");
  CHECK(message(file_with("{\"__metadata__\":{\"k\":1}}", 0)) ==
        "f.safetensors: __metadata__: found a number, expected a text for \"k\"");
  CHECK_THAT(message(file_with("{\"w\":{]", 0)),
             Contains("f.safetensors: header: line 1, column 7 (byte 6): not valid JSON"));
}

TEST_CASE("files at the edge of the rules load") {
  const std::vector<Valid> cases = valid();
  REQUIRE(cases.size() >= 30);
  for (const Valid& good_file : cases) {
    INFO(good_file.name);
    CHECK_NOTHROW(parse(good_file.bytes));
    const SafetensorsFile file = parse(good_file.bytes);
    CHECK(file.size() == good_file.tensors);
    CHECK(file.names().size() == good_file.tensors);
    CHECK(consistent(file, good_file.bytes));
  }
}

TEST_CASE("what a file holds is what it says") {
  const std::string bytes =
      file_with("{" + entry("z", "U8", "[2,2]", "[4,8]") + "," + entry("b", "U8", "[4]", "[0,4]") +
                    ",\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"}}",
                8);
  const SafetensorsFile file = parse(bytes);
  CHECK(file.names() == std::vector<std::string>{"z", "b"});
  CHECK(file.metadata() == SafetensorsMetadata{{"format", "pt"}, {"k", "v"}});
  CHECK(file.contains("z"));
  CHECK_FALSE(file.contains("y"));
  CHECK(file.find("y") == nullptr);
  CHECK(file.at("z").shape == std::vector<std::int64_t>{2, 2});
  CHECK(file.at("z").name == "z");
  CHECK(static_cast<int>(file.at("z").data[0]) == 5);
  CHECK(static_cast<int>(file.at("b").data[0]) == 1);
  CHECK(file.warnings().empty());
  try {
    file.at("y");
    FAIL("found");
  } catch (const SafetensorsFormatError& error) {
    CHECK(error.code == SafetensorsError::tensor_not_found);
    CHECK_THAT(error.what(), Contains("no tensor \"y\" among the 2, the first of which is \"z\""));
  }
}

TEST_CASE("unknown keys of a tensor give a warning each, twenty at most") {
  std::string header = "{";
  for (int i = 0; i < 30; ++i) {
    header += (i == 0 ? "" : ",") + std::string("\"t") + std::to_string(i) +
              "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"colour\":1}";
  }
  const SafetensorsFile file = parse(file_with(header + "}", 0));
  REQUIRE(file.warnings().size() == 20);
  CHECK_THAT(file.warnings().front(), Contains("tensor \"t0\": the unknown key \"colour\" is ignored"));
}

TEST_CASE("the limits on counts hold") {
  std::string metadata = "{\"__metadata__\":{";
  for (int i = 0; i <= 65536; ++i) metadata += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"\"";
  try {
    parse(file_with(metadata + "}}", 0));
    FAIL("accepted");
  } catch (const SafetensorsFormatError& error) {
    CHECK(error.code == SafetensorsError::too_many_tensors);
  }
  std::string tensors = "{";
  for (int i = 0; i <= 1 << 20; ++i) {
    tensors +=
        (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  }
  try {
    parse(file_with(tensors + "}", 0));
    FAIL("accepted");
  } catch (const SafetensorsFormatError& error) {
    CHECK(error.code == SafetensorsError::too_many_tensors);
  }
}

TEST_CASE("cut short at any byte, a file is refused") {
  const std::string whole = file_with("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a", "F32", "[2,3]", "[0,24]") +
                                          "," + entry("b", "U8", "[5]", "[24,29]") + "}",
                                      29);
  REQUIRE_NOTHROW(parse(whole));
  const std::size_t data = whole.size() - 29;
  int wrong = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const SafetensorsError expected = size < 8      ? SafetensorsError::header_too_small
                                      : size < data ? SafetensorsError::invalid_header_length
                                                    : SafetensorsError::incomplete_buffer;
    try {
      parse(whole.substr(0, size));
      ++wrong;
    } catch (const SafetensorsFormatError& error) {
      wrong += error.code != expected;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("with any bit of the header flipped, a file is refused or consistent") {
  const std::string whole =
      file_with("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a.weight", "F32", "[2,3]", "[0,24]") + "," +
                    entry("b", "BF16", "[4]", "[24,32]") + "," + entry("c", "U8", "[]", "[32,33]") + "}  ",
                33);
  REQUIRE_NOTHROW(parse(whole));
  const std::size_t header = whole.size() - 33;
  int loaded = 0;
  int refused = 0;
  int wrong = 0;
  for (std::size_t bit = 0; bit < header * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    try {
      wrong += !consistent(parse(flipped), flipped);
      ++loaded;
    } catch (const SafetensorsFormatError&) {
      ++refused;
    }
  }
  CHECK(wrong == 0);
  CHECK(loaded + refused == static_cast<int>(header * 8));
  CHECK(loaded < refused / 2);  // names and texts may change, little else
}

TEST_CASE("with random bytes in the header, a file is refused or consistent") {
  std::mt19937 random(11);
  const std::string alphabet = "{}[]\",:0123456789.-eE \\utrfalsn";
  const std::string whole =
      file_with("{" + entry("a", "F32", "[2,3]", "[0,24]") + "," + entry("b", "I64", "[1]", "[24,32]") + "}", 32);
  int wrong = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    std::string changed = whole;
    for (auto n = 1 + random() % 4; n > 0; --n) {
      changed[8 + random() % (whole.size() - 40)] =
          random() % 2 == 0 ? alphabet[random() % alphabet.size()] : static_cast<char>(random() % 256);
    }
    try {
      wrong += !consistent(parse(changed), changed);
    } catch (const SafetensorsFormatError&) {
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("the writer's bytes are the reference's: the order, the padding, the header") {
  const TemporaryFolder folder;
  const float b[2] = {1, 2};
  const std::uint16_t c[1] = {0x3f80};
  const std::uint8_t a[3] = {7, 8, 9};
  write_safetensors(folder / "f", {{"a", Dtype::u8, {3}, a}, {"b", Dtype::f32, {2}, b}, {"c", Dtype::bf16, {1}, c}},
                    {{"format", "pt"}});
  const std::string json =
      "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"c\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[8,10]},\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_"
      "offsets\":[10,13]}}";
  REQUIRE(json.size() == 194);
  const std::string data = std::string("\0\0\x80\x3f\0\0\0\x40", 8) + "\x80\x3f" + "\x07\x08\x09";
  CHECK(file_bytes(folder / "f") == file_saying(200, json + "      " + data));
  CHECK(safetensors_size(std::vector<TensorView>{{"a", Dtype::u8, {3}, nullptr}}) ==
        file_saying(56, "").size() + 56 + 3);
}

TEST_CASE("files of the reference are written again byte for byte") {
  const TemporaryFolder folder;
  for (const char* name : {"lora-qv", "lora-qv-bf16", "adalora"}) {  // the last with empty tensors
    INFO(name);
    const fs::path path = fs::path(VENEER_TEST_DATA) / "adapters" / name / "adapter_model.safetensors";
    const SafetensorsFile file(path);
    CHECK(file.metadata() == SafetensorsMetadata{{"format", "pt"}});
    std::vector<TensorView> views;
    for (const std::string& tensor : file.names()) {
      const TensorEntry& at = file.at(tensor);
      views.push_back({tensor, at.dtype, at.shape, at.data});
    }
    std::reverse(views.begin(), views.end());
    write_safetensors(folder / "again", views, file.metadata());
    CHECK(file_bytes(folder / "again") == file_bytes(path));
    CHECK(safetensors_size(views, file.metadata()) == fs::file_size(path));
  }
}

TEST_CASE("what is written is what is read, for random tensors of every type") {
  const TemporaryFolder folder;
  std::mt19937 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    std::vector<std::string> storage;
    std::vector<TensorView> views;
    for (auto n = random() % 12; n > 0; --n) {
      const auto dtype = static_cast<Dtype>(random() % 22);
      std::vector<std::int64_t> shape(random() % 4);
      std::size_t elements = 1;
      for (std::int64_t& extent : shape) {
        extent = static_cast<std::int64_t>(dtype_bytes(dtype) == 0 ? 4 * (random() % 3) : random() % 5);
        elements *= static_cast<std::size_t>(extent);
      }
      if (dtype_bytes(dtype) == 0 && elements % 4 != 0) continue;  // a packed tensor of rank 0
      std::string bytes(elements * dtype_bits(dtype) / 8, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      storage.push_back(bytes);
      views.push_back({"t\"\xC3\xA9/" + std::to_string(n), dtype, shape, nullptr});
    }
    for (std::size_t i = 0; i < views.size(); ++i) views[i].data = storage[i].data();
    const SafetensorsMetadata metadata =
        trial % 2 == 0 ? SafetensorsMetadata{} : SafetensorsMetadata{{"k\n", "v\x01\\"}, {"a", ""}};
    write_safetensors(folder / "f", views, metadata);
    const SafetensorsFile file(folder / "f");
    REQUIRE(file.size() == views.size());
    CHECK(file.metadata() == metadata);
    for (std::size_t i = 0; i < views.size(); ++i) {
      const TensorEntry& tensor = file.at(views[i].name);
      CHECK(tensor.dtype == views[i].dtype);
      CHECK(tensor.shape == views[i].shape);
      CHECK(std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes) == storage[i]);
      const std::size_t aligned = std::max<std::size_t>(dtype_bytes(tensor.dtype), 1);
      CHECK(reinterpret_cast<std::uintptr_t>(tensor.data) % aligned == 0);
    }
  }
}

TEST_CASE("what can't be read can't be written") {
  const TemporaryFolder folder;
  const float x[4] = {};
  const auto code = [&](const std::vector<TensorView>& views) {
    try {
      write_safetensors(folder / "f", views);
    } catch (const SafetensorsFormatError& error) {
      return static_cast<int>(error.code);
    }
    return -1;
  };
  using enum SafetensorsError;
  CHECK(code({{"a", Dtype::f32, {1}, x}, {"a", Dtype::f32, {1}, x}}) == static_cast<int>(duplicate_name));
  CHECK(code({{"a", Dtype::f32, {1}, x}, {"a", Dtype::u8, {1}, x}}) == static_cast<int>(duplicate_name));
  CHECK(code({{"", Dtype::f32, {1}, x}}) == static_cast<int>(invalid_name));
  CHECK(code({{"__metadata__", Dtype::f32, {1}, x}}) == static_cast<int>(invalid_name));
  CHECK(code({{std::string("a\0", 2), Dtype::f32, {1}, x}}) == static_cast<int>(invalid_name));
  CHECK(code({{"\xFF", Dtype::f32, {1}, x}}) == static_cast<int>(invalid_name));
  CHECK(code({{std::string(1025, 'a'), Dtype::f32, {1}, x}}) == static_cast<int>(invalid_name));
  CHECK(code({{"a", Dtype::f32, {1, 1, 1, 1, 1, 1, 1, 1, 1}, x}}) == static_cast<int>(too_many_dimensions));
  CHECK(code({{"a", Dtype::f32, {-1}, x}}) == static_cast<int>(invalid_number));
  CHECK(code({{"a", Dtype::f32, {1ll << 40, 1ll << 40}, x}}) == static_cast<int>(size_overflow));
  CHECK(code({{"a", Dtype::f4, {3}, x}}) == static_cast<int>(misaligned_tensor));
  CHECK_THROWS_AS(write_safetensors(folder / "f", {{"a", Dtype::f32, {1}, nullptr}}), ArgumentError);
  CHECK_THROWS_AS(write_safetensors(folder / "f", {}, {{"k", "\xFF"}}), ArgumentError);
  CHECK(folder.count() == 0);
  CHECK(code({{"a", Dtype::f32, {0}, nullptr}}) == -1);
}

TEST_CASE("a file can be replaced while its old bytes are mapped") {
  const TemporaryFolder folder;
  const float x[2] = {1, 2};
  write_safetensors(folder / "f", {{"a", Dtype::f32, {2}, x}});
  const SafetensorsFile before(folder / "f");
  const TensorEntry& old = before.at("a");
  write_safetensors(folder / "f", {{"a", Dtype::f32, {2}, old.data}});
  CHECK(std::memcmp(old.data, x, sizeof x) == 0);
  CHECK(std::memcmp(SafetensorsFile(folder / "f").at("a").data, x, sizeof x) == 0);
}

TEST_CASE("a mapping lives as long as somebody holds it") {
  const TemporaryFolder folder;
  const float x[2] = {1, 2};
  write_safetensors(folder / "f", {{"a", Dtype::f32, {2}, x}});
  std::shared_ptr<const void> held;
  const std::byte* data = nullptr;
  {
    const SafetensorsFile file(folder / "f");
    const SafetensorsFile copy = file;
    held = copy.keep_alive();
    data = copy.at("a").data;
  }
  CHECK(std::memcmp(data, x, sizeof x) == 0);
}

TEST_CASE("every 16-bit pattern decodes to the float it means") {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  const auto* data = reinterpret_cast<const std::byte*>(patterns.data());
  std::vector<float> floats(patterns.size());
  std::vector<double> doubles(patterns.size());
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const TensorEntry tensor{dtype, {256, 256}, data, patterns.size() * 2, "a"};
    read_floats(tensor, floats.data());
    read_floats(tensor, doubles.data());
    int wrong = 0;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const int sign = (i & 0x8000) != 0 ? -1 : 1;
      const int bits = dtype == Dtype::f16 ? 10 : 7;
      const int exponent = static_cast<int>(i >> bits) & (dtype == Dtype::f16 ? 31 : 255);
      const int bias = dtype == Dtype::f16 ? 15 : 127;
      const int fraction = static_cast<int>(i) & ((1 << bits) - 1);
      double exact =
          sign * std::ldexp(exponent == 0 ? fraction : fraction + (1 << bits), std::max(exponent, 1) - bias - bits);
      if (exponent == 2 * bias + 1)
        exact = fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
      const bool same = std::isnan(exact) ? std::isnan(floats[i]) && std::isnan(doubles[i])
                                          : static_cast<double>(floats[i]) == exact && doubles[i] == exact &&
                                                std::signbit(floats[i]) == (sign < 0);
      wrong += !same;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("numbers are read from any address, and other types are refused by name") {
  const double values[3] = {1.5, -2.25, 1e300};
  std::string shifted(1 + sizeof values, '\0');
  std::memcpy(shifted.data() + 1, values, sizeof values);
  const TensorEntry f64{Dtype::f64, {3}, bytes_of(shifted).data() + 1, sizeof values, "d"};
  double doubles[3] = {};
  float floats[3] = {};
  read_floats(f64, doubles);
  read_floats(f64, floats);
  CHECK(std::equal(doubles, doubles + 3, values));
  CHECK(floats[1] == -2.25f);
  CHECK(std::isinf(floats[2]));

  const std::int32_t narrow[2] = {-5, 7};
  const std::int64_t wide[2] = {-5000000000, 7};
  const TensorEntry i32{Dtype::i32, {2}, reinterpret_cast<const std::byte*>(narrow), sizeof narrow, "n"};
  const TensorEntry i64{Dtype::i64, {2, 1}, reinterpret_cast<const std::byte*>(wide), sizeof wide, "w"};
  CHECK(read_integers(i32) == std::vector<std::int64_t>{-5, 7});
  CHECK(read_integers(i64) == std::vector<std::int64_t>{-5000000000, 7});
  CHECK_THROWS_WITH(read_floats(i64, doubles), "tensor \"w\": dtype I64, expected F32, F16, BF16 or F64");
  CHECK_THROWS_WITH(read_integers(f64), "tensor \"d\": dtype F64, expected I64 or I32");
  for (const Dtype dtype : {Dtype::boolean, Dtype::u8, Dtype::i8, Dtype::f8_e4m3, Dtype::u64, Dtype::c64, Dtype::f4}) {
    const TensorEntry other{dtype, {0}, nullptr, 0, "o"};
    CHECK_THROWS_AS(read_floats(other, floats), FormatError);
    CHECK_THROWS_AS(read_integers(other), FormatError);
  }
  CHECK(shape_text({2, 3}) == "[2, 3]");
  CHECK(shape_text({}) == "[]");
}

namespace {

void write_one(const fs::path& path, const std::vector<std::string>& names) {
  static const float x[2] = {1, 2};
  std::vector<TensorView> views;
  for (const std::string& name : names) views.push_back({name, Dtype::f32, {2}, x});
  write_safetensors(path, views, {{"format", "pt"}});
}

std::string error_of(const fs::path& folder) {
  try {
    ShardedCheckpoint{folder};
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a checkpoint is one file, or an index and its shards") {
  const TemporaryFolder folder;
  write_one(folder.file("one/model.safetensors", ""), {"b", "a"});
  const ShardedCheckpoint one(folder / "one");
  CHECK(one.names() == std::vector<std::string>{"a", "b"});
  CHECK(one.files().size() == 1);

  write_one(folder.file("many/model-1.safetensors", ""), {"b", "d"});
  write_one(folder / "many/model-2.safetensors", {"a", "c"});
  folder.file("many/model.safetensors.index.json",
              R"({"metadata":{"total_size":32},"weight_map":{"a":"model-2.safetensors","b":"model-1.safetensors",
            "c":"model-2.safetensors","d":"model-1.safetensors"}})");
  const ShardedCheckpoint many(folder / "many");
  CHECK(many.names() == std::vector<std::string>{"a", "b", "c", "d"});
  CHECK(many.size() == 4);
  CHECK(many.contains("c"));
  CHECK_FALSE(many.contains("e"));
  CHECK(many.at("d").shape == std::vector<std::int64_t>{2});
  CHECK(many.warnings().empty());
  CHECK_THROWS_WITH(many.at("e"), Contains("no tensor \"e\" among the 4 of this model"));

  folder.file("many/model.safetensors.index.json",
              R"({"metadata":{"total_size":31},"weight_map":{"a":"model-2.safetensors","b":"model-1.safetensors",
            "c":"model-2.safetensors","d":"model-1.safetensors"}})");
  REQUIRE(ShardedCheckpoint(folder / "many").warnings().size() == 1);
}

TEST_CASE("an index that does not agree with its shards is refused with every problem") {
  const TemporaryFolder folder;
  write_one(folder.file("m/one.safetensors", ""), {"a", "b", "extra"});
  write_one(folder / "m/two.safetensors", {"b"});
  folder.file("m/broken.safetensors", "short");
  folder.file("m/model.safetensors.index.json",
              R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","lost":"two.safetensors",
            "x":"../up.safetensors","y":"gone.safetensors","z":"broken.safetensors"}})");
  const std::string error = error_of(folder / "m");
  CHECK_THAT(error, Contains("index.json: 7 problems"));
  CHECK_THAT(error, Contains("the file name \"../up.safetensors\" has a path separator"));
  CHECK_THAT(error, Contains("gone.safetensors: No such file"));
  CHECK_THAT(error, Contains("broken.safetensors: 5 bytes, a safetensors file has at least 8"));
  CHECK_THAT(error, Contains("one.safetensors: the tensor \"extra\" is not in the index"));
  CHECK_THAT(error, Contains("two.safetensors: the tensor \"lost\" of the index is missing"));
  CHECK_THAT(error, Contains("two.safetensors: the tensor \"b\" is not in the index for this file"));
  CHECK_THAT(error, Contains("the tensor \"b\" is in two files"));

  std::string map;
  for (int i = 0; i < 50; ++i) map += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) + "\":\"two.safetensors\"";
  folder.file("m/model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  CHECK_THAT(error_of(folder / "m"), Contains("51 problems") && Contains("... and 31 more"));
}

TEST_CASE("an index that is none is refused") {
  const TemporaryFolder folder;
  write_one(folder.file("m/one.safetensors", ""), {"a"});
  const auto with_index = [&](const std::string& text) {
    folder.file("m/model.safetensors.index.json", text);
    return error_of(folder / "m");
  };
  CHECK_THAT(with_index("{}"), Contains("the key \"weight_map\" is missing"));
  CHECK_THAT(with_index("[]"), Contains("expected an object, found an array"));
  CHECK_THAT(with_index("{\"weight_map\":[]}"), Contains("expected an object, found an array"));
  CHECK_THAT(with_index("{\"weight_map\":{\"a\":1}}"),
             Contains("weight_map: \"a\": expected a text, found the number 1"));
  CHECK_THAT(with_index("{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"x\"}}"), Contains("is given twice"));
  CHECK_THAT(with_index("{\"weight_map\":{\"a\":\"one.safetensors\"}"), Contains("not valid JSON"));
  CHECK_THAT(with_index(""), Contains("empty: expected a JSON value"));
  CHECK(with_index("{\"weight_map\":{\"a\":\"one.safetensors\"}}") == "no error");
}

TEST_CASE("shard names can't lead out of the folder") {
  const TemporaryFolder folder;
  write_one(folder.file("outside.safetensors", ""), {"a"});
  fs::create_directories(folder / "m/sub");
  write_one(folder / "m/sub/inside.safetensors", {"a"});
  fs::create_symlink("../outside.safetensors", folder / "m/link.safetensors");
  fs::create_symlink("sub", folder / "m/folder-link");
  for (const char* name : {"../outside.safetensors", "/etc/passwd", "sub/inside.safetensors", "..", ".", "", "sub",
                           "./link.safetensors", "folder-link/inside.safetensors", "sub\\\\inside.safetensors",
                           "C:outside", "a\\u0000.safetensors", "~", "absent"}) {
    INFO(name);
    folder.file("m/model.safetensors.index.json", std::string("{\"weight_map\":{\"a\":\"") + name + "\"}}");
    CHECK_THAT(error_of(folder / "m"), Contains("1 problem\n"));
  }
  // A name is a file of the folder; the file itself may be a link to anywhere.
  folder.file("m/model.safetensors.index.json", "{\"weight_map\":{\"a\":\"link.safetensors\"}}");
  CHECK(error_of(folder / "m") == "no error");
}

TEST_CASE("pickled weights are refused with what to do instead") {
  const TemporaryFolder folder;
  for (const char* name : {"pytorch_model.bin", "model.pt", "consolidated.00.pth", "pytorch_model.bin.index.json"}) {
    INFO(name);
    folder.file("m/" + std::string(name), "x");
    CHECK_THAT(error_of(folder / "m"), Contains(std::string("the weights are in ") + name + ", a pickle") &&
                                           Contains("save_pretrained(NEW_FOLDER)"));
    fs::remove_all(folder / "m");
  }
  fs::create_directory(folder / "empty");
  CHECK_THAT(error_of(folder / "empty"), Contains("no weights: expected model.safetensors"));
  CHECK_THAT(error_of(folder / "absent"), Contains("no such folder"));
  CHECK_THAT(error_of(folder.file("file", "x")), Contains("is a file, expected the folder of a model"));
  write_one(folder.file("both/model.safetensors", ""), {"a"});
  folder.file("both/pytorch_model.bin", "x");
  CHECK(error_of(folder / "both") == "no error");
}

}  // namespace safetensors_test
