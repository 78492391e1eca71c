// SPDX-License-Identifier: Apache-2.0
/// \file int8_tensor.hpp
/// Int8Tensor: a frozen tensor in 8 bits, quantised in blocks with the dynamic map
/// of bitsandbytes (quantize_blockwise).
///
///   absmax[b] = max |w[i]|                                   i in block b: b = i / blocksize, i flattened
///   code[i]   = number of bounds below w[i] * (1 / max(absmax[b], 1e-38))     bound[k] = (map[k] + map[k + 1]) / 2
///   w'[i]     = map[code[i]] * absmax[b]                     in float, then rounded to the requested type
///   codes: count bytes   absmax: (blocks) floats   map: 256 floats, ascending (dynamic_map)   8.5 bits per weight
/// An incomplete last block divides by its maximum and stores it as at least 1e-38. In a block with a NaN every value
/// has code 255. Codes are those of bitsandbytes' reference rule. Its compiled CPU kernel uses a table of 65536 steps,
/// which misses the nearest one for one value in a thousand. Decoding is the same in both.
///
///   const Int8Tensor w(tensor, {.blocksize = 64});
///   const auto y = low_rank_linear(x, w, a, b, s);
/// Dettmers et al., "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861, section 2;
/// bitsandbytes 0.50, backends/default/ops.py.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "veneer/quant/block_scales.hpp"
#include "veneer/quant/codebook.hpp"
#include "veneer/quant/quantized_tensor.hpp"

namespace veneer {

template <ShapeLike S, Backend B, Real T>
class Int8Tensor;

struct Int8Options {
  index_t blocksize = 64;  // values per scale: a power of two from 64 to 4096

  static constexpr const char* name = "int8";
  template <ShapeLike S, Backend B, Real T>
  using tensor = Int8Tensor<S, B, T>;
};

namespace ops {

/// A kernel that computes the maximum and the codes of block b of x.
template <Stored From>
struct EncodeInt8Body {
  std::uint8_t* codes;
  float* absmax;
  const From* x;
  const float* map;
  index_t count, blocksize;

  VENEER_HD void operator()(index_t b) const {
    const index_t begin = b * blocksize;
    const index_t end = begin + blocksize < count ? begin + blocksize : count;
    const bool full = end - begin == blocksize;
    const std::uint32_t largest = largest_magnitude(x + begin, end - begin);
    const float bounded = divisor_of(largest);
    absmax[b] = full ? detail::float_from_bits(largest) : bounded;
    for (index_t i = begin; i < end; ++i) {
      const float value = static_cast<float>(x[i]);
      codes[i] = code(full ? value * (1.0f / bounded) : value / bounded);
    }
  }

 private:
  /// Returns the number of bounds below s: the nearest code, the lower one at a midpoint; 255 for a NaN.
  VENEER_HD std::uint8_t code(float s) const {
    int low = 0;
    for (int step = 128; step > 0; step /= 2) {
      const float bound = (map[low + step - 1] + map[low + step]) / 2.0f;
      if (!(s <= bound)) low += step;
    }
    return static_cast<std::uint8_t>(low);
  }
};

/// An 8-bit weight as plain pointers, for kernels.
struct Int8View {
  const std::uint8_t* codes;
  const float* map;
  const float* absmax;
  int shift;  // log2 of the block size

  /// Returns element i of the flattened tensor.
  VENEER_HD float operator()(index_t i) const { return map[codes[i]] * absmax[i >> shift]; }
};

/// Decodes elements [first, first + count) on the host.
template <Stored To>
void decode_int8_run(const void* weight, index_t first, index_t count, To* to) {
  const Int8View& w = *static_cast<const Int8View*>(weight);
  for (const index_t end = first + count; first < end;) {
    const index_t block = first >> w.shift, stop = std::min(end, (block + 1) << w.shift);
    const float scale = w.absmax[block];
    for (; first < stop; ++first) *to++ = static_cast<To>(w.map[w.codes[first]] * scale);
  }
}

/// Returns the decoder of 8-bit weights in matmuls.
inline const RunDecoder& int8_decoder() {
  static const RunDecoder decoder{decode_int8_run<float>, decode_int8_run<bfloat16>,
                                  [](const void* w, index_t first, index_t count) {
                                    fetch_bytes(static_cast<const Int8View*>(w)->codes + first, count);
                                  }};
  return decoder;
}

}  // namespace ops

/// The parts of an 8-bit weight.
template <Backend B>
struct Int8Parts {
  Vector<std::uint8_t, B> codes;  // (count)
  Vector<float, B> absmax;        // (blocks)
  Vector<float, B> map;           // (256), as in quantize_blockwise's state
  index_t blocksize = 64;
  QuantizedFrom from = QuantizedFrom::float32;
};

/// A frozen tensor in 8 bits.
/// \tparam T  the type it decodes to in matmuls
template <ShapeLike S, Backend B, Real T = float>
class Int8Tensor {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  static constexpr int rank = S::rank;

  /// Constructs a tensor without values.
  Int8Tensor() = default;

  /// Quantises a tensor. double is rounded to float first.
  /// \throws ArgumentError when the block size is not one of 64, 128, ..., 4096
  template <Scalar U, ShapeLike Other>
  explicit Int8Tensor(const Tensor<U, Other, B>& w, const Int8Options& options = {})
      : Int8Tensor(uninitialized(S(w.shape()), options, w.device())) {
    static_assert(Stored<U>, "veneer::Int8Tensor(w): w must hold float, half, bfloat16 or double");
    const std::array<float, 256> map = dynamic_map();
    w.device().copy_in(parts_.map.data(), map.data(), 256);
    parts_.from = quantized_from<U>;
    w.device().for_each(parts_.absmax.count(),
                        ops::EncodeInt8Body<U>{parts_.codes.data(), parts_.absmax.data(), w.data(), parts_.map.data(),
                                               count(), options.blocksize},
                        options.blocksize * 16);
  }

  /// Allocates uninitialised memory of the same size.
  static Int8Tensor uninitialized(const S& shape, const Int8Options& options, const B& device) {
    expect_blocksize(options.blocksize);
    const index_t count = shape.count(), blocks = ceil_div(count, options.blocksize);
    return Int8Tensor(shape,
                      {Vector<std::uint8_t, B>(Shape<dyn>(count), device), Vector<float, B>(Shape<dyn>(blocks), device),
                       Vector<float, B>(Shape<dyn>(256), device), options.blocksize});
  }

  /// Constructs a tensor from parts, for example those of quantize_blockwise: its codes, and absmax, code and blocksize
  /// of its state.
  /// \throws ShapeError, ArgumentError when they do not fit the shape, or each other
  Int8Tensor(S shape, Int8Parts<B> parts) : shape_(shape), parts_(std::move(parts)) {
    expect_blocksize(parts_.blocksize);
    const index_t count = shape_.count(), blocks = ceil_div(count, parts_.blocksize);
    if (parts_.codes.count() != count || parts_.absmax.count() != blocks || parts_.map.count() != 256) {
      throw ShapeError("veneer::Int8Tensor(shape, parts): " + to_string(shape_) + " in blocks of " +
                       std::to_string(parts_.blocksize) + " has " + std::to_string(count) + " codes, " +
                       std::to_string(blocks) + " scales and 256 values; found " +
                       std::to_string(parts_.codes.count()) + ", " + std::to_string(parts_.absmax.count()) + " and " +
                       std::to_string(parts_.map.count()));
    }
    view_ = {parts_.codes.data(), parts_.map.data(), parts_.absmax.data(),
             std::countr_zero(static_cast<std::uint64_t>(parts_.blocksize))};
  }

  /// Converts to a type with more or fewer static extents, or with another decoded type, sharing the values.
  /// \throws ShapeError when an extent differs from the static one
  template <ShapeLike Other, Real U>
    requires(std::is_constructible_v<S, const Other&> && !(std::is_same_v<S, Other> && std::is_same_v<T, U>))
  explicit(!std::is_convertible_v<Other, S> || !std::is_same_v<T, U>) Int8Tensor(const Int8Tensor<Other, B, U>& other)
      : shape_(S(other.shape())), parts_(other.parts()), view_(other.view()) {}

  const S& shape() const { return shape_; }
  index_t extent(int axis) const { return shape_[axis < 0 ? rank + axis : axis]; }
  index_t count() const { return shape_.count(); }
  const B& device() const { return parts_.codes.device(); }
  explicit operator bool() const { return static_cast<bool>(parts_.codes); }
  /// Returns the memory of the codes, which identifies the handles to one weight.
  const std::shared_ptr<std::uint8_t>& share() const { return parts_.codes.share(); }

  const Int8Parts<B>& parts() const { return parts_; }
  Int8Options options() const { return {parts_.blocksize}; }
  QuantizedFrom from() const { return parts_.from; }
  /// Returns whether every value is finite.
  bool finite() const {
    const std::vector<float> largest = to_host(parts_.absmax);
    return std::all_of(largest.begin(), largest.end(), [](float value) { return std::isfinite(value); });
  }

  /// Returns the number of bytes on the device.
  index_t bytes() const { return parts_.codes.count() + 4 * (parts_.absmax.count() + parts_.map.count()); }

  const ops::Int8View& view() const { return view_; }
  static const RunDecoder& decoder() { return ops::int8_decoder(); }

 private:
  static void expect_blocksize(index_t blocksize) {
    if (blocksize >= 64 && blocksize <= 4096 && std::has_single_bit(static_cast<std::uint64_t>(blocksize))) return;
    throw ArgumentError("veneer::Int8Tensor: the block size must be a power of two from 64 to 4096; it is " +
                        std::to_string(blocksize));
  }

  [[no_unique_address]] S shape_{};
  Int8Parts<B> parts_;
  ops::Int8View view_{};
};

template <Scalar U, ShapeLike S, Backend B>
Int8Tensor(const Tensor<U, S, B>&) -> Int8Tensor<S, B, float>;
template <Scalar U, ShapeLike S, Backend B>
Int8Tensor(const Tensor<U, S, B>&, Int8Options) -> Int8Tensor<S, B, float>;

}  // namespace veneer
