// SPDX-License-Identifier: Apache-2.0
/// \file nf4_tensor.hpp
/// NF4Tensor: a frozen tensor in 4 bits, in the layout of bitsandbytes. The base of QLoRA.
///
///   w[i] = value[code[i]] * scale[i / blocksize]      i: index of the flattened tensor
///   codes: (count / 2, rounded up) bytes   scale: one a block, BlockScales   4.5 bits a weight, 4.13 with double_quant
///
///   const NF4Tensor w(tensor, {.blocksize = 64, .double_quant = true});
///   const auto y = low_rank_linear(x, w, a, b, s);   // frozen by its type: there is no gradient of w to ask for
/// Products read it as it is stored; nothing of the decoded size is kept, on a tape or elsewhere.
/// Dettmers, Pagnoni, Holtzman and Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv:2305.14314.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/quant/nf4_kernels.hpp"

namespace veneer {

struct NF4Options {
  index_t blocksize = 64;     // values that share a scale: a power of two from 32 to 4096
  bool double_quant = false;  // 8-bit codes in place of float scales
};

/// The element type of the weight before it was quantised: a note for other readers, nothing here depends on it.
enum class QuantizedFrom { float32, float16, bfloat16 };

/// What a 4-bit weight is made of.
template <Backend B>
struct PackedParts {
  Vector<std::uint8_t, B> codes;  // (count / 2, rounded up)
  BlockScales<B> scales;
  index_t blocksize = 64;
  CodeBook book = CodeBook::nf4;
  std::vector<float> values{nf4_values.begin(), nf4_values.end()};  // of the 16 codes; those of a file may differ
  QuantizedFrom from = QuantizedFrom::float32;
};

/// \tparam T what it decodes to in products
template <ShapeLike S, Backend B, Real T = float>
class NF4Tensor {
 public:
  using scalar = T;
  using shape_type = S;
  using backend = B;
  static constexpr int rank = S::rank;

  /// A tensor without values.
  NF4Tensor() = default;

  /// Quantises. float, half and bfloat16 as bitsandbytes does; double is rounded to float first.
  /// \throws ArgumentError when the block size is none of 32, 64, ..., 4096; with double_quant, when a value is not
  ///         finite
  template <Scalar U, ShapeLike Other>
  explicit NF4Tensor(const Tensor<U, Other, B>& w, const NF4Options& options = {}) : shape_(w.shape()) {
    static_assert(Stored<U>, "veneer::NF4Tensor(w): w must hold float, half, bfloat16 or double");
    expect_blocksize(options.blocksize);
    const B& device = w.device();
    const index_t count = w.count(), blocks = (count + options.blocksize - 1) / options.blocksize;
    parts_.blocksize = options.blocksize;
    parts_.from = std::is_same_v<U, half>       ? QuantizedFrom::float16
                  : std::is_same_v<U, bfloat16> ? QuantizedFrom::bfloat16
                                                : QuantizedFrom::float32;
    parts_.codes = Vector<std::uint8_t, B>(Shape<dyn>((count + 1) / 2), device);
    Vector<float, B> absmax(Shape<dyn>(blocks), device);
    device.for_each(blocks,
                    ops::EncodeNF4Body<U>{parts_.codes.data(), absmax.data(), w.data(), count, options.blocksize},
                    options.blocksize * 2);
    parts_.scales = options.double_quant ? nest(absmax) : BlockScales<B>(absmax);
    make_view();
  }

  /// From parts, of a file for one.
  /// \throws ShapeError, ArgumentError when they do not fit the shape, or each other
  NF4Tensor(S shape, PackedParts<B> parts) : shape_(shape), parts_(std::move(parts)) {
    expect_blocksize(parts_.blocksize);
    expects(parts_.values.size() == 16, "veneer::NF4Tensor(shape, parts): 4-bit codes have 16 values");
    const index_t count = shape_.count(), blocks = (count + parts_.blocksize - 1) / parts_.blocksize;
    if (parts_.codes.count() != (count + 1) / 2 || parts_.scales.count() != blocks) {
      throw ShapeError("veneer::NF4Tensor(shape, parts): " + to_string(shape_) + " in blocks of " +
                       std::to_string(parts_.blocksize) + " has " + std::to_string((count + 1) / 2) +
                       " bytes of codes and " + std::to_string(blocks) + " scales; found " +
                       std::to_string(parts_.codes.count()) + " and " + std::to_string(parts_.scales.count()));
    }
    make_view();
  }

  /// The same values under a type that knows more or fewer extents, or decodes to another type.
  /// \throws ShapeError when an extent differs from what the type says
  template <ShapeLike Other, Real U>
    requires(std::is_constructible_v<S, const Other&> && !(std::is_same_v<S, Other> && std::is_same_v<T, U>))
  explicit(!std::is_convertible_v<Other, S> || !std::is_same_v<T, U>) NF4Tensor(const NF4Tensor<Other, B, U>& other)
      : shape_(S(other.shape())), parts_(other.parts()), view_(other.view()) {}

  const S& shape() const { return shape_; }
  index_t extent(int axis) const { return shape_[axis < 0 ? rank + axis : axis]; }
  index_t count() const { return shape_.count(); }
  const B& device() const { return parts_.codes.device(); }
  explicit operator bool() const { return static_cast<bool>(parts_.codes); }
  /// The memory of the codes, by which handles of one weight are known.
  const std::shared_ptr<std::uint8_t>& share() const { return parts_.codes.share(); }

  const PackedParts<B>& parts() const { return parts_; }
  NF4Options options() const { return {parts_.blocksize, parts_.scales.nested()}; }

  /// Bytes on the device.
  index_t bytes() const {
    const auto& s = parts_.scales;
    return parts_.codes.count() + (s.nested() ? s.codes().count() + 4 * s.nested_absmax().count() : 4 * s.count());
  }

  const ops::PackedView& view() const { return view_; }

 private:
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

namespace detail {
template <class W>
struct IsNF4Tensor : std::false_type {};
template <ShapeLike S, Backend B, Real T>
struct IsNF4Tensor<NF4Tensor<S, B, T>> : std::true_type {};
}  // namespace detail

template <class W>
concept NF4TensorLike = detail::IsNF4Tensor<std::remove_cvref_t<W>>::value;

/// How a product reads it, transposed if asked.
template <ShapeLike S, Backend B, Real T>
Operand operand(const NF4Tensor<S, B, T>& w, bool transposed) {
  return {&w.view(), w.extent(-1), transposed, Storage::coded, &ops::nf4_decoder()};
}

/// The values in another type: the float product, rounded to nearest even where To is narrower.
template <Stored To, ShapeLike S, Backend B, Real T>
Tensor<To, S, B> decode_as(const NF4Tensor<S, B, T>& w) {
  if (!w) return Tensor<To, S, B>(w.shape(), w.device(), nullptr);
  Tensor<To, S, B> y(w.shape(), w.device());
  if constexpr (requires { y.device().decode(ops::nf4_decoder(), &w.view(), y.count(), y.data()); }) {
    y.device().decode(ops::nf4_decoder(), &w.view(), y.count(), y.data());
  } else {
    y.device().for_each(y.count(), ops::DecodeBody<To>{y.data(), w.view()});
  }
  return y;
}

/// The dense form, of the same shape.
template <ShapeLike S, Backend B, Real T>
Tensor<T, S, B> decode(const NF4Tensor<S, B, T>& w) {
  return decode_as<T>(w);
}

namespace ops {

/// Rows of a 4-bit table; it is frozen, so there is no way back.
struct DecodeRows {
  template <NF4TensorLike W, TensorLike I>
  auto forward(const W& w, const I& ids) const {
    using T = typename W::scalar;
    using S = Shape<extent_of<typename I::shape_type, 0>, extent_of<typename W::shape_type, 1>>;
    Tensor<T, S, typename W::backend> y(shape_of<S>(ids.extent(0), w.extent(1)), w.device());
    y.device().for_each(ids.extent(0), DecodeRowsBody<T>{y.data(), w.view(), ids.data(), w.extent(1)}, w.extent(1));
    return y;
  }
  static constexpr Reads reads(const Wanted<2>&) { return Reads::nothing(); }
};

}  // namespace ops

/// Rows of a 4-bit table by number.    w: (rows, columns)   ids: (count), each in [0, rows)   result: (count, columns)
template <ShapeLike S, Backend B, Real T, ValueLike I>
auto gather_rows(const NF4Tensor<S, B, T>& w, const I& ids) {
  static_assert(S::rank == 2 && I::shape_type::rank == 1 && std::is_same_v<typename I::scalar, std::int32_t>,
                "veneer::gather: picks from a matrix by a vector of int32 numbers");
  return apply(ops::DecodeRows{}, w, ids);
}

}  // namespace veneer
