// SPDX-License-Identifier: Apache-2.0
/// \file encode.hpp
/// Encodes rows of floats as the bytes of an element type of GGUF.
///
///   F16, BF16   round to nearest even
///   Q8_0        32 values x: d = max |x| / 127 in float, stored as half; then q = round(x * (1 / d)), int8, halves
///               away from zero
/// Source: ggml, `quantize_row_q8_0_ref` (ggml/src/ggml-quants.c).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "veneer/core/error.hpp"
#include "veneer/core/scalar.hpp"
#include "veneer/io/gguf/types.hpp"

namespace veneer {

namespace detail {

inline void append_bits(std::string& out, std::uint16_t bits) {
  out += static_cast<char>(bits & 0xFF);
  out += static_cast<char>(bits >> 8);
}

/// Throws for a value that the type cannot represent: llama.cpp would silently compute with infinity.
template <class Narrow>
std::uint16_t narrow_bits(float value, const char* type) {
  const Narrow narrow(value);
  if (!std::isfinite(static_cast<float>(narrow))) {
    throw ArgumentError("the value " + std::to_string(value) + " is outside of " + type +
                        ": write float32 or bfloat16 (--outtype f32, bf16)");
  }
  return narrow.bits;
}

inline void append_q8_0(std::string& out, std::span<const float> block) {
  float largest = 0.0f;
  for (const float x : block) largest = std::max(largest, std::fabs(x));
  const float d = largest / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  append_bits(out, narrow_bits<half>(d, "the scale of Q8_0"));
  for (const float x : block) out += static_cast<char>(static_cast<std::int8_t>(std::round(x * inverse)));
}

}  // namespace detail

/// Appends finite values as `type`. \throws ArgumentError for a value that is not finite, before or after rounding
inline void append_ggml_row(std::string& out, GgmlType type, std::span<const float> row) {
  for (const float x : row)
    expects(std::isfinite(x), "a value is not finite: the weights are damaged, or training diverged");
  if (type == GgmlType::q8_0) {
    for (std::size_t at = 0; at < row.size(); at += 32) detail::append_q8_0(out, row.subspan(at, 32));
    return;
  }
  for (const float x : row) {
    if (type == GgmlType::f16) {
      detail::append_bits(out, detail::narrow_bits<half>(x, "float16"));
    } else if (type == GgmlType::bf16) {
      detail::append_bits(out, detail::narrow_bits<bfloat16>(x, "bfloat16"));
    } else {
      const std::uint32_t bits = detail::bits_of_float(x);
      detail::append_bits(out, static_cast<std::uint16_t>(bits & 0xFFFF));
      detail::append_bits(out, static_cast<std::uint16_t>(bits >> 16));
    }
  }
}

}  // namespace veneer
