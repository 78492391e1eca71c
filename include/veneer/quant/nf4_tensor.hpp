// SPDX-License-Identifier: Apache-2.0
/// \file nf4_tensor.hpp
/// NF4Tensor: a frozen tensor in 4 bits, in the layout of bitsandbytes. The base of QLoRA.
///
///   w[i] = value[code[i]] * scale[i / blocksize]      i: index of the flattened tensor
///   codes: (count / 2, rounded up) bytes   scale: per block, BlockScales   4.5 bits per weight, 4.13 with double_quant
///
///   const NF4Tensor w(tensor, {.blocksize = 64, .double_quant = true});
///   const auto y = low_rank_linear(x, w, a, b, s);   // frozen by its type: w has no gradient
/// Matmuls read the packed form; the decoded values are not kept, neither on a tape nor elsewhere.
/// Dettmers, Pagnoni, Holtzman and Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv:2305.14314.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/quant/nf4_kernels.hpp"
#include "veneer/quant/quantized_tensor.hpp"

namespace veneer {

template <ShapeLike S, Backend B, Real T>
class NF4Tensor;

struct NF4Options {
  index_t blocksize = 64;     // values per scale: a power of two from 32 to 4096
  bool double_quant = false;  // 8-bit codes instead of float scales
  CodeBook book = CodeBook::nf4;

  static constexpr const char* name = "nf4";
  template <ShapeLike S, Backend B, Real T>
  using tensor = NF4Tensor<S, B, T>;
};

/// The parts of a 4-bit weight.
template <Backend B>
struct PackedParts {
  Vector<std::uint8_t, B> codes;  // (count / 2, rounded up)
  BlockScales<B> scales;
  index_t blocksize = 64;
  CodeBook book = CodeBook::nf4;
  std::vector<float> values{nf4_values.begin(), nf4_values.end()};  // of the 16 codes; a file may have others
  QuantizedFrom from = QuantizedFrom::float32;
};

/// A frozen tensor in 4 bits.
/// \tparam T  the type it decodes to in matmuls
template <ShapeLike S, Backend B, Real T = float>
class NF4Tensor {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  static constexpr int rank = S::rank;

  /// Constructs a tensor without values.
  NF4Tensor() = default;

  /// Quantises a tensor: float, half and bfloat16 as in bitsandbytes; double is rounded to float first.
  /// \throws ArgumentError when the block size is not one of 32, 64, ..., 4096; for FP4, which can only be read;
  ///         with double_quant, when a value is not finite
  template <Scalar U, ShapeLike Other>
  explicit NF4Tensor(const Tensor<U, Other, B>& w, const NF4Options& options = {}) : shape_(w.shape()) {
    static_assert(Stored<U>, "veneer::NF4Tensor(w): w must hold float, half, bfloat16 or double");
    expect_blocksize(options.blocksize);
    expects(options.book == CodeBook::nf4, "veneer::NF4Tensor(w): FP4 is read and not written");
    const B& device = w.device();
    const index_t count = w.count(), blocks = blocks_of(count, options);
    parts_.blocksize = options.blocksize;
    parts_.from = quantized_from<U>;
    parts_.codes = Vector<std::uint8_t, B>(Shape<dyn>((count + 1) / 2), device);
    Vector<float, B> absmax(Shape<dyn>(blocks), device);
    device.for_each(blocks,
                    ops::EncodeNF4Body<U>{parts_.codes.data(), absmax.data(), w.data(), count, options.blocksize},
                    options.blocksize * 2);
    parts_.scales = options.double_quant ? nest(absmax) : BlockScales<B>(absmax);
    make_view();
  }

  /// Allocates uninitialised memory of the same size.
  static NF4Tensor uninitialized(const S& shape, const NF4Options& options, const B& device) {
    const index_t count = shape.count(), blocks = blocks_of(count, options);
    PackedParts<B> parts;
    parts.blocksize = options.blocksize;
    parts.codes = Vector<std::uint8_t, B>(Shape<dyn>((count + 1) / 2), device);
    if (options.double_quant) {
      const Shape<dyn> nested(ceil_div(blocks, nested_blocksize));
      parts.scales = BlockScales<B>(Vector<std::uint8_t, B>(Shape<dyn>(blocks), device),
                                    Vector<float, B>(nested, device), Vector<float, B>(Shape<dyn>(256), device), 0.0f);
    } else {
      parts.scales = BlockScales<B>(Vector<float, B>(Shape<dyn>(blocks), device));
    }
    return NF4Tensor(shape, std::move(parts));
  }

  /// Constructs a tensor from parts, for example those of a file.
  /// \throws ShapeError, ArgumentError when they do not fit the shape, or each other
  NF4Tensor(S shape, PackedParts<B> parts) : shape_(shape), parts_(std::move(parts)) {
    expect_blocksize(parts_.blocksize);
    expects(parts_.values.size() == 16, "veneer::NF4Tensor(shape, parts): 4-bit codes have 16 values");
    const index_t count = shape_.count(), blocks = ceil_div(count, parts_.blocksize);
    if (parts_.codes.count() != (count + 1) / 2 || parts_.scales.count() != blocks) {
      throw ShapeError("veneer::NF4Tensor(shape, parts): " + to_string(shape_) + " in blocks of " +
                       std::to_string(parts_.blocksize) + " has " + std::to_string((count + 1) / 2) +
                       " bytes of codes and " + std::to_string(blocks) + " scales; found " +
                       std::to_string(parts_.codes.count()) + " and " + std::to_string(parts_.scales.count()));
    }
    make_view();
  }

  /// Converts to a type with more or fewer static extents, or with another decoded type, sharing the values.
  /// \throws ShapeError when an extent differs from the static one
  template <ShapeLike Other, Real U>
    requires(std::is_constructible_v<S, const Other&> && !(std::is_same_v<S, Other> && std::is_same_v<T, U>))
  explicit(!std::is_convertible_v<Other, S> || !std::is_same_v<T, U>) NF4Tensor(const NF4Tensor<Other, B, U>& other)
      : shape_(S(other.shape())), parts_(other.parts()), view_(other.view()) {}

  const S& shape() const { return shape_; }
  index_t extent(int axis) const { return shape_[axis < 0 ? rank + axis : axis]; }
  index_t count() const { return shape_.count(); }
  const B& device() const { return parts_.codes.device(); }
  explicit operator bool() const { return static_cast<bool>(parts_.codes); }
  /// Returns the memory of the codes, which identifies the handles to one weight.
  const std::shared_ptr<std::uint8_t>& share() const { return parts_.codes.share(); }

  const PackedParts<B>& parts() const { return parts_; }
  NF4Options options() const { return {parts_.blocksize, parts_.scales.nested(), parts_.book}; }
  QuantizedFrom from() const { return parts_.from; }
  /// Returns whether every value is finite. Values with nested scales always are.
  bool finite() const {
    if (parts_.scales.nested()) return true;
    const std::vector<float> largest = to_host(parts_.scales.absmax());
    return std::all_of(largest.begin(), largest.end(), [](float value) { return std::isfinite(value); });
  }

  /// Returns the number of bytes on the device.
  index_t bytes() const {
    const auto& s = parts_.scales;
    return parts_.codes.count() + (s.nested() ? s.codes().count() + 4 * s.nested_absmax().count() : 4 * s.count());
  }

  const ops::PackedView& view() const { return view_; }
  static const RunDecoder& decoder() { return ops::nf4_decoder(); }

 private:
  static index_t blocks_of(index_t count, const NF4Options& options) { return ceil_div(count, options.blocksize); }

  static void expect_blocksize(index_t blocksize) {
    if (blocksize >= 32 && blocksize <= 4096 && std::has_single_bit(static_cast<std::uint64_t>(blocksize))) return;
    throw ArgumentError("veneer::NF4Tensor: the block size must be a power of two from 32 to 4096; it is " +
                        std::to_string(blocksize));
  }

  void make_view() {
    view_.codes = parts_.codes.data(), view_.scale = parts_.scales.view();
    view_.shift = std::countr_zero(static_cast<std::uint64_t>(parts_.blocksize));
    std::copy_n(parts_.values.begin(), 16, view_.values);
  }

  [[no_unique_address]] S shape_{};
  PackedParts<B> parts_;
  ops::PackedView view_{};
};

template <Scalar U, ShapeLike S, Backend B>
NF4Tensor(const Tensor<U, S, B>&) -> NF4Tensor<S, B, float>;
template <Scalar U, ShapeLike S, Backend B>
NF4Tensor(const Tensor<U, S, B>&, NF4Options) -> NF4Tensor<S, B, float>;

template <class W>
concept NF4TensorLike = is_specialization_of<NF4Tensor, std::remove_cvref_t<W>>;

}  // namespace veneer
