// SPDX-License-Identifier: Apache-2.0
/// \file decode.hpp
/// Decodes the values of a tensor of a file: floating-point ones to float or double, integer ones to 64-bit integers.
///
/// F16, BF16 and F32 become float exactly; F64 is rounded to the nearest float. As double all four are exact. Other
/// types are refused by name, never reinterpreted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/scalar.hpp"
#include "veneer/io/safetensors/dtype.hpp"
#include "veneer/io/safetensors/header.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// Returns the number of elements of a tensor of a file; 1 for the shape [].
inline std::int64_t element_count(const TensorEntry& entry) {
  // Computed from the bytes, which were checked: a product of extents that is 0 may overflow before its last factor.
  return static_cast<std::int64_t>(entry.bytes / dtype_bits(entry.dtype) * 8 +
                                   entry.bytes % dtype_bits(entry.dtype) * 8 / dtype_bits(entry.dtype));
}

/// Returns a shape as "[2, 3]".
inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

namespace detail {

/// Copies `count` elements of type From, possibly unaligned, to `out`.
template <class From, class To>
void convert_elements(const std::byte* data, std::int64_t count, To* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    From element;
    std::memcpy(&element, data + i * static_cast<std::int64_t>(sizeof(From)), sizeof(From));
    out[i] = static_cast<To>(element);
  }
}

[[noreturn]] inline void refuse_dtype(const TensorEntry& entry, const char* expected) {
  throw FormatError("tensor \"" + printable(entry.name) + "\": dtype " + std::string(dtype_name(entry.dtype)) +
                    ", expected " + expected);
}

template <class To>
void read_real(const TensorEntry& entry, To* out) {
  const std::int64_t count = element_count(entry);
  switch (entry.dtype) {
    case Dtype::f32: return convert_elements<float>(entry.data, count, out);
    case Dtype::f64: return convert_elements<double>(entry.data, count, out);
    case Dtype::bf16: return convert_elements<bfloat16>(entry.data, count, out);
    case Dtype::f16: return convert_elements<half>(entry.data, count, out);
    default: refuse_dtype(entry, "F32, F16, BF16 or F64");
  }
}

}  // namespace detail

/// Writes all elements of an F32, F16, BF16 or F64 tensor to `out`. Throws `FormatError` for other types.
inline void read_floats(const TensorEntry& entry, float* out) { detail::read_real(entry, out); }
inline void read_floats(const TensorEntry& entry, double* out) { detail::read_real(entry, out); }

/// Returns the elements of an I64 or I32 tensor. Throws `FormatError` for other types.
inline std::vector<std::int64_t> read_integers(const TensorEntry& entry) {
  if (entry.dtype != Dtype::i64 && entry.dtype != Dtype::i32) detail::refuse_dtype(entry, "I64 or I32");
  std::vector<std::int64_t> out(static_cast<std::size_t>(element_count(entry)));
  if (entry.dtype == Dtype::i64) detail::convert_elements<std::int64_t>(entry.data, element_count(entry), out.data());
  if (entry.dtype == Dtype::i32) detail::convert_elements<std::int32_t>(entry.data, element_count(entry), out.data());
  return out;
}

}  // namespace veneer
