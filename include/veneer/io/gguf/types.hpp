// SPDX-License-Identifier: Apache-2.0
/// \file types.hpp
/// The values and element types of GGUF version 3, the file format of llama.cpp.
///
///   string   u64 bytes, then UTF-8      array   u32 element type, u64 count, elements      bool   one byte, 0 or 1
///   tensor   rows of blocks: F32, F16, BF16 one value per block, Q8_0 32 values in 34 bytes
/// Files have the innermost extent first; in this library extents are row-major. All numbers are little-endian. Source:
/// ggml-org/ggml, docs/gguf.md; ggml/src/gguf.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/core/checked.hpp"
#include "veneer/core/error.hpp"

namespace veneer {

/// A value of a key: one number, flag or text, or a list of one of these. Nested lists are not read.
using GgufValue = std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                               float, bool, std::string, std::uint64_t, std::int64_t, double,  //
                               std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                               std::vector<float>, std::vector<bool>, std::vector<std::string>,
                               std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

struct GgufKey {
  std::string name;
  GgufValue value;
  bool operator==(const GgufKey&) const = default;
};

namespace detail {

inline constexpr std::size_t gguf_scalars =
    12;  // the first alternatives of GgufValue; their lists follow in the same order
inline constexpr std::uint32_t gguf_array = 9;  // the type number of lists in a file

/// Returns the type number of the i-th kind of scalar in a file.
constexpr std::uint32_t gguf_type_number(std::size_t i) {
  return static_cast<std::uint32_t>(i < gguf_array ? i : i + 1);
}

inline constexpr std::array<std::string_view, gguf_scalars> gguf_type_names{
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "u64", "i64", "f64"};

inline constexpr std::uint64_t gguf_alignment = 32;   // default of general.alignment
inline constexpr std::size_t gguf_longest_name = 63;  // of a tensor: GGML_MAX_NAME without the terminator

}  // namespace detail

/// Returns the name of the type of a value, such as "u32" or "array of string".
inline std::string gguf_type_name(const GgufValue& value) {
  const std::size_t i = value.index();
  const std::string name(detail::gguf_type_names[i % detail::gguf_scalars]);
  return i < detail::gguf_scalars ? name : "array of " + name;
}

/// The element types that this library writes; a file may have others.
enum class GgmlType : std::uint32_t { f32 = 0, f16 = 1, q8_0 = 8, bf16 = 30 };

/// An element type: the values and the bytes of a block.
struct GgmlLayout {
  std::uint32_t number;
  std::string_view name;
  std::uint64_t block, bytes;
};

namespace detail {
inline constexpr std::array<GgmlLayout, 32> ggml_layouts{
    {{0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
     {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},
     {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
     {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
     {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
     {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
     {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
     {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17}}};
}  // namespace detail

/// Returns the layout of a type number, or nullopt for an unknown number.
constexpr std::optional<GgmlLayout> find_ggml_layout(std::uint32_t number) {
  for (const GgmlLayout& layout : detail::ggml_layouts)
    if (layout.number == number) return layout;
  return std::nullopt;
}
inline GgmlLayout ggml_layout(GgmlType type) { return *find_ggml_layout(static_cast<std::uint32_t>(type)); }

namespace detail {

/// Returns the bytes of a tensor; overflowed if they exceed 64 bits, nullopt if a row is not a multiple of the block.
inline std::optional<Checked<std::uint64_t>> ggml_bytes(const GgmlLayout& layout,
                                                        const std::vector<std::int64_t>& shape) {
  Checked<std::uint64_t> values = 1;
  for (const std::int64_t extent : shape) values *= Checked<std::uint64_t>::from(extent);
  const auto row = static_cast<std::uint64_t>(shape.empty() ? 1 : shape.back());
  if (row % layout.block != 0) return std::nullopt;
  if (!values.ok()) return values;
  return Checked<std::uint64_t>(values.value() / layout.block) * layout.bytes;
}

}  // namespace detail
}  // namespace veneer
