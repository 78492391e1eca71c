// SPDX-License-Identifier: Apache-2.0
/// \file block_scales.hpp
/// BlockScales: the largest magnitude of each block of a 4-bit weight, as floats or, in double quantisation,
/// as 8-bit codes.
///
///   plain    scale[b] = absmax[b]                                         absmax: (blocks)
///   nested   scale[b] = map[code[b]] * nested[b / nested_block] + offset  code: (blocks)   nested: (blocks / 256, up)
///   offset = mean(absmax),   code = the nearest of map to (absmax - offset) / nested, ties to even
/// The product is rounded to float before the sum. 32 bits per block become 8.125.
/// Dettmers et al., "QLoRA", arXiv:2305.14314, section 3, "Double Quantization".
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/quant/codebook.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

/// The number of block maxima with a common scale, as written by this library.
inline constexpr index_t nested_blocksize = 256;

namespace ops {

/// Returns the nearest float of x * y, in double. The product is exact in double, and is rounded by integer operations
/// on its bits: a compiler could contract a float product and the following sum to an fma with one rounding, and GCC
/// does so even through conversions to double.
VENEER_HD inline double rounded_product(float x, float y) {
#if defined(__CUDA_ARCH__)
  return static_cast<double>(__fmul_rn(x, y));
#else
  constexpr int dropped = 53 - 24;
  constexpr std::uint64_t mask = (std::uint64_t{1} << dropped) - 1;
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(x) * static_cast<double>(y));
  return std::bit_cast<double>((bits + (mask >> 1) + ((bits >> dropped) & 1u)) & ~mask);
#endif
}

/// Returns the bits of the largest magnitude of a block: magnitudes are ordered like their bits, with NaN
/// as the largest.
template <Stored From>
VENEER_HD std::uint32_t largest_magnitude(const From* x, index_t count) {
  std::uint32_t largest = 0;
  for (index_t i = 0; i < count; ++i) {
    const std::uint32_t bits = detail::bits_of_float(static_cast<float>(x[i])) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/// Returns the divisor of a block: its largest magnitude, at least 1e-38.
VENEER_HD inline float divisor_of(std::uint32_t largest) {
  constexpr std::uint32_t smallest = 0x006ce3eeu;
  return detail::float_from_bits(largest > smallest ? largest : smallest);
}

/// BlockScales as plain pointers, for kernels.
struct ScaleView {
  const float* plain;
  const std::uint8_t* codes;  // null: plain
  const float* nested;
  const float* map;
  index_t nested_block;
  int nested_shift;  // log2 of nested_block; -1 if that is not a power of two
  float offset;

  VENEER_HD float operator()(index_t block) const {
    if (codes == nullptr) return plain[block];
    // A sum of two floats, rounded to double and then to float, equals the sum rounded to float directly.
    const index_t group = nested_shift >= 0 ? block >> nested_shift : block / nested_block;
    return static_cast<float>(rounded_product(map[codes[block]], nested[group]) + static_cast<double>(offset));
  }
};

/// A kernel that computes one block of 256: nested[i] and the codes of absmax - offset.
struct NestScalesBody {
  std::uint8_t* codes;
  float* nested;
  const float* absmax;
  const float* map;
  index_t count;
  float offset;

  VENEER_HD std::uint8_t nearest(float s) const {
    int low = 0, high = 255;  // the number of midpoints below s
    while (low < high) {
      const int half = (low + high) / 2;
      const float middle = 0.5f * (map[half] + map[half + 1]);
      if (middle < s || (middle == s && half % 2 == 1)) {
        low = half + 1;
      } else {
        high = half;
      }
    }
    return static_cast<std::uint8_t>(low);
  }

  VENEER_HD void operator()(index_t i) const {
    const index_t begin = i * nested_blocksize;
    const index_t end = begin + nested_blocksize < count ? begin + nested_blocksize : count;
    float largest = 0.0f;
    for (index_t b = begin; b < end; ++b) {
      const float value = absmax[b] - offset, magnitude = value < 0.0f ? -value : value;
      largest = magnitude > largest ? magnitude : largest;
    }
    nested[i] = largest;
    const float inverse = largest > 0.0f ? 1.0f / largest : 0.0f;
    for (index_t b = begin; b < end; ++b) codes[b] = nearest((absmax[b] - offset) * inverse);
  }
};

struct PlainScalesBody {
  float* y;
  ScaleView scale;
  VENEER_HD void operator()(index_t block) const { y[block] = scale(block); }
};

}  // namespace ops

template <Backend B>
class BlockScales {
 public:
  BlockScales() = default;
  /// Constructs plain scales.    absmax: (blocks)
  explicit BlockScales(Vector<float, B> absmax) : plain_(std::move(absmax)) {}
  /// Constructs nested scales.    codes: (blocks)   nested: (blocks / nested_block, rounded up)   map: (256)
  /// \throws ShapeError when these do not fit
  BlockScales(Vector<std::uint8_t, B> codes, Vector<float, B> nested, Vector<float, B> map, float offset,
              index_t nested_block = nested_blocksize)
      : codes_(std::move(codes)),
        nested_(std::move(nested)),
        map_(std::move(map)),
        offset_(offset),
        nested_block_(nested_block) {
    if (nested_block < 1 || map_.count() != 256 || nested_.count() != ceil_div(codes_.count(), nested_block)) {
      throw ShapeError("veneer::BlockScales: " + std::to_string(codes_.count()) + " codes in blocks of " +
                       std::to_string(nested_block) + " have " + std::to_string(nested_.count()) +
                       " scales and a map of " + std::to_string(map_.count()) + "; expected one per block, and 256");
    }
  }

  index_t count() const { return nested() ? codes_.count() : plain_.count(); }
  /// Returns whether the block maxima are quantised.
  bool nested() const { return static_cast<bool>(codes_); }
  const Vector<float, B>& absmax() const { return plain_; }
  const Vector<std::uint8_t, B>& codes() const { return codes_; }
  const Vector<float, B>& nested_absmax() const { return nested_; }
  const Vector<float, B>& map() const { return map_; }
  float offset() const { return offset_; }
  index_t nested_block() const { return nested_block_; }

  ops::ScaleView view() const {
    const auto size = static_cast<std::uint64_t>(nested_block_);
    const int shift = std::has_single_bit(size) ? std::countr_zero(size) : -1;
    return {plain_.data(), codes_.data(), nested_.data(), map_.data(), nested_block_, shift, offset_};
  }

  /// Returns the block maxima used for decoding, as floats.    (blocks)
  Vector<float, B> decoded() const {
    const B device = nested() ? codes_.device() : plain_.device();
    Vector<float, B> y(Shape<dyn>(count()), device);
    device.for_each(count(), ops::PlainScalesBody{y.data(), view()});
    return y;
  }

 private:
  Vector<float, B> plain_;
  Vector<std::uint8_t, B> codes_;
  Vector<float, B> nested_, map_;
  float offset_ = 0.0f;
  index_t nested_block_ = nested_blocksize;
};

/// Quantises plain block maxima around a given offset.
template <Backend B>
BlockScales<B> nest(const Vector<float, B>& absmax, float offset) {
  const B& device = absmax.device();
  const std::array<float, 256> values = dynamic_map();
  const auto map = from_host(Shape<dyn>(256), std::vector<float>(values.begin(), values.end()), device);
  const index_t blocks = ceil_div(absmax.count(), nested_blocksize);
  Vector<std::uint8_t, B> codes(Shape<dyn>(absmax.count()), device);
  Vector<float, B> nested(Shape<dyn>(blocks), device);
  device.for_each(blocks,
                  ops::NestScalesBody{codes.data(), nested.data(), absmax.data(), map.data(), absmax.count(), offset},
                  nested_blocksize * 32);
  return BlockScales<B>(codes, nested, map, offset);
}

/// Quantises plain block maxima around their mean, which is summed in double.
/// \throws ArgumentError when a block maximum is not finite: it would change every block
template <Backend B>
BlockScales<B> nest(const Vector<float, B>& absmax) {
  double sum = 0.0;
  for (const float value : to_host(absmax)) sum += static_cast<double>(value);
  const auto offset = static_cast<float>(absmax.count() == 0 ? 0.0 : sum / static_cast<double>(absmax.count()));
  expects(
      std::isfinite(offset),
      "veneer::nest(absmax): a value of the weight is not finite, and double quantisation would carry it into every "
      "block; look for it before, or quantise without double_quant");
  return nest(absmax, offset);
}

}  // namespace veneer
