// SPDX-License-Identifier: Apache-2.0
/// \file dtype.hpp
/// The element types of safetensors, in the order in which its writers sort tensors: BOOL first, U64 last.
///
/// Source: huggingface/safetensors, safetensors/src/tensor.rs, `enum Dtype`.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace veneer {

/// One element type; the names in files are those of `dtype_name`.
enum class Dtype {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

namespace detail {

struct DtypeRow {
  std::string_view name;
  std::size_t bits;
};

inline constexpr std::array<DtypeRow, 22> dtype_rows{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

}  // namespace detail

/// Returns the name of a type in a header, such as "F32".
constexpr std::string_view dtype_name(Dtype dtype) { return detail::dtype_rows[static_cast<std::size_t>(dtype)].name; }

/// Returns the bits per element; 4 and 6 for the packed types.
constexpr std::size_t dtype_bits(Dtype dtype) { return detail::dtype_rows[static_cast<std::size_t>(dtype)].bits; }

/// Returns the bytes per element; 0 for the packed types F4, F6_E2M3 and F6_E3M2, which have less than one.
constexpr std::size_t dtype_bytes(Dtype dtype) { return dtype_bits(dtype) / 8; }

/// Returns the type with this name, case-sensitive, or nullopt if there is none.
constexpr std::optional<Dtype> find_dtype(std::string_view name) {
  for (std::size_t i = 0; i < detail::dtype_rows.size(); ++i) {
    if (detail::dtype_rows[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

static_assert(dtype_name(Dtype::u64) == "U64" && dtype_bits(Dtype::bf16) == 16 &&
              find_dtype("F8_E4M3") == Dtype::f8_e4m3);

}  // namespace veneer
