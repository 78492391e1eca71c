// SPDX-License-Identifier: Apache-2.0
/// \file linear.hpp
/// linear(x, w) = x wᵀ, the product that adapters are made of, and its low-rank companion in one op.
///
///   x: (tokens, in)   w: (out, in)   y: (tokens, out)
///   low_rank_linear(x, w, a, b, s) = x wᵀ + s (x aᵀ) bᵀ      a: (rank, in)   b: (out, rank)
///   Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, eq. 3.
///
/// A weight format is one function: decode(w) gives the dense weight. A tensor is its own; a 16-bit tensor widens,
/// exactly, for the length of one product. The tape keeps w as it is stored and decodes again in the backward pass. A
/// format that also has decode_block is decoded a piece at a time where the backend works on pieces side by side.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "veneer/autograd/apply.hpp"

namespace veneer {

/// A real tensor is its own dense form.
template <Real T, ShapeLike S, Backend B>
const Tensor<T, S, B>& decode(const Tensor<T, S, B>& w) {
  return w;
}

/// 16-bit storage widens to float.
template <Scalar T, ShapeLike S, Backend B>
  requires(Stored<T> && !Real<T>)
Tensor<float, S, B> decode(const Tensor<T, S, B>& w) {
  return convert<float>(w);
}

/// The dense form of a frozen operand; one that learns, which is dense, as it is.
template <class W>
const auto& decode_frozen(const W& w)
  requires(VariableLike<W> || ParameterLike<W>)
{
  return w;
}
template <class W>
decltype(auto) decode_frozen(const W& w) {
  return decode(w);
}

/// What a layer may multiply by: anything with a shape (out, in) and a dense form.
template <class W>
concept Weight = requires(const W& w) {
  { w.shape()[0] } -> std::convertible_to<index_t>;
  decode(value_of(w));
};

/// A weight that has no gradient, by its type.
template <class W>
concept FrozenWeight = Weight<W> && !Differentiable<W>;

namespace ops {

/// The dense form of W holds what X holds.
template <class X, class W>
concept SameScalar =
    std::same_as<typename X::scalar,
                 typename std::remove_cvref_t<decltype(decode(value_of(std::declval<const W&>())))>::scalar>;

/// y = alpha op(x) op(w) + beta y, in place.
template <bool TransposeX, bool TransposeW, TensorLike Y, TensorLike X, TensorLike W>
void product(Y& y, const X& x, const W& w, double alpha = 1.0, double beta = 0.0) {
  using T = typename Y::scalar;
  Gemm<T> gemm{.transpose_a = TransposeX, .transpose_b = TransposeW};
  gemm.m = y.extent(0), gemm.n = y.extent(1), gemm.k = TransposeX ? x.extent(0) : x.extent(1);
  gemm.alpha = static_cast<T>(alpha), gemm.beta = static_cast<T>(beta);
  gemm.a = x.data(), gemm.lda = x.extent(1);
  gemm.b = w.data(), gemm.ldb = w.extent(1);
  gemm.c = y.data(), gemm.ldc = y.extent(1);
  y.device().gemm(gemm);
}

/// A format of which a part can be decoded alone: rows [row, row + rows), columns [column, column + columns).
template <class W>
concept DecodesInBlocks = requires(const W& w, typename W::scalar* to, index_t i) { w.decode_block(i, i, i, i, to); };

/// Whether a backend has the refinement for pieces.
template <class B>
concept WorksSideBySide = requires(const B& device, index_t count) { device.concurrently(count, archetype::Body{}); };

/// Columns [first, first + columns) of y = x wᵀ, or of y = x w, from the rows or columns of w that these need.
template <bool TransposeW, class Y, class X, class W>
void product_piece(Y& y, const X& x, const W& w, index_t first, index_t columns) {
  using T = typename Y::scalar;
  const index_t inner = x.extent(1);
  const auto piece = y.device().template allocate<T>(columns * inner);
  if constexpr (TransposeW) {
    w.decode_block(first, columns, 0, inner, piece.get());
  } else {
    w.decode_block(0, inner, first, columns, piece.get());
  }
  Gemm<T> gemm{.transpose_b = TransposeW, .m = y.extent(0), .n = columns, .k = inner};
  gemm.a = x.data(), gemm.lda = inner;
  gemm.b = piece.get(), gemm.ldb = TransposeW ? inner : columns;
  gemm.c = y.data() + first, gemm.ldc = y.extent(1);
  y.device().gemm(gemm);
}

/// y = x wᵀ, or y = x w, for a weight of any format. No more than a few pieces of w are decoded at a time, where that
/// can be; their extents, and so the bits, depend on the shapes alone.
template <bool TransposeW, TensorLike Y, TensorLike X, class W>
void weight_product(Y& y, const X& x, const W& w) {
  if constexpr (DecodesInBlocks<W> && WorksSideBySide<typename Y::backend>) {
    const index_t columns = y.extent(1), width = x.extent(0) <= 64 ? 32 : 128;
    y.device().concurrently((columns + width - 1) / width, [&](index_t i) {
      product_piece<TransposeW>(y, x, w, i * width, i * width + width < columns ? width : columns - i * width);
    });
  } else {
    product<false, TransposeW>(y, x, decode(w));
  }
}

/// A matrix of the rows of x and the columns of y, uninitialised.
template <int RowAxis, int ColumnAxis, TensorLike X, class Y>
auto empty_like(const X& x, const Y& y) {
  using S = Shape<extent_of<typename X::shape_type, RowAxis>, extent_of<typename Y::shape_type, ColumnAxis>>;
  return Tensor<typename X::scalar, S, typename X::backend>(shape_of<S>(x.shape()[RowAxis], y.shape()[ColumnAxis]),
                                                            x.device());
}

struct Linear {
  auto forward(const auto& x, const auto& w) const {
    auto y = empty_like<0, 0>(x, w);  // (tokens, out)
    weight_product<true>(y, x, w);
    return y;
  }
  auto pullback(Wrt<0>, const auto& dy, const auto&, const auto&, const auto& w) const {
    auto dx = empty_like<0, 1>(dy, w);  // (tokens, in)
    weight_product<false>(dx, dy, w);
    return dx;
  }
  auto pullback(Wrt<1>, const auto& dy, const auto&, const auto& x, const auto&) const {
    auto dw = empty_like<1, 1>(dy, x);  // (out, in)
    product<true, false>(dw, dy, x);
    return dw;
  }
  static constexpr Reads reads(const Wanted<2>& wanted) {
    return Reads::operand(1).when(wanted[0]) | Reads::operand(0).when(wanted[1]);
  }
};

/// Both products into one result: nothing of the size of y is written twice.
struct LowRankLinear {
  double scale = 1.0;

  auto forward(const auto& x, const auto& w, const auto& a, const auto& b) const {
    auto z = empty_like<0, 0>(x, a);  // (tokens, rank)
    product<false, true>(z, x, a);
    auto y = empty_like<0, 0>(x, w);  // (tokens, out)
    weight_product<true>(y, x, w);
    product<false, true>(y, z, b, scale, 1.0);
    return Forward{y, z};
  }

  auto pullbacks(const Wanted<4>& wanted, const auto& dy, const auto& z, const auto& x, const auto& w, const auto& a,
                 const auto& b) const {
    decltype(empty_like<0, 1>(dy, w)) dx;
    decltype(empty_like<1, 1>(dy, x)) dw;
    decltype(empty_like<1, 1>(z, x)) da;
    decltype(empty_like<1, 1>(dy, z)) db;
    if (wanted[0] || wanted[2]) {
      auto dz = empty_like<0, 1>(dy, b);  // (tokens, rank)
      product<false, false>(dz, dy, b, scale);
      if (wanted[0]) {
        dx = empty_like<0, 1>(dy, w);
        weight_product<false>(dx, dy, w);
        product<false, false>(dx, dz, a, 1.0, 1.0);
      }
      if (wanted[2]) {
        da = empty_like<1, 1>(z, x);
        product<true, false>(da, dz, x);
      }
    }
    if (wanted[1]) {
      dw = empty_like<1, 1>(dy, x);
      product<true, false>(dw, dy, x);
    }
    if (wanted[3]) {
      db = empty_like<1, 1>(dy, z);
      product<true, false>(db, dy, z, scale);
    }
    return std::tuple{dx, dw, da, db};
  }

  static constexpr Reads reads(const Wanted<4>& wanted) {
    return Reads::result().when(wanted[3]) | Reads::operand(0).when(wanted[1] || wanted[2]) |
           Reads::operand(1).when(wanted[0]) | Reads::operand(2).when(wanted[0]) |
           Reads::operand(3).when(wanted[0] || wanted[2]);
  }
};

template <class X, class W>
void expect_matching(const char* call, const char* sentence, const X& x, const W& w, int axis_x, int axis_w) {
  if (x.shape()[axis_x] != w.shape()[axis_w]) {
    throw ShapeError(std::string("veneer::") + call + ": " + sentence + "; they are " + to_string(x.shape()) + " and " +
                     to_string(w.shape()));
  }
}

}  // namespace ops

/// x wᵀ.    x: (tokens, in)   w: (out, in)   result: (tokens, out)
/// \throws ShapeError when the last extents differ
template <ValueLike X, Weight W>
auto linear(const X& x, const W& w) {
  static_assert(X::shape_type::rank == 2 && W::shape_type::rank == 2, "veneer::linear(x, w): x and w must be matrices");
  static_assert(ops::SameScalar<X, W>,
                "veneer::linear(x, w): x must hold the element type that w is decoded to, float for 16-bit weights");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename W::shape_type, -1>>,
                "veneer::linear(x, w): the last extent of x must equal the last extent of w");
  ops::expect_matching("linear(x, w)", "the last extent of x must equal the last extent of w", x, w, 1, 1);
  return apply(ops::Linear{}, x, w);
}

/// x wᵀ + scale (x aᵀ) bᵀ.    a: (rank, in)   b: (out, rank)
/// \throws ShapeError when extents do not fit
template <ValueLike X, Weight W, ValueLike A, ValueLike C>
auto low_rank_linear(const X& x, const W& w, const A& a, const C& b, double scale) {
  static_assert(
      X::shape_type::rank == 2 && W::shape_type::rank == 2 && A::shape_type::rank == 2 && C::shape_type::rank == 2,
      "veneer::low_rank_linear(x, w, a, b): x, w, a and b must be matrices");
  static_assert(ops::SameScalar<X, W> && std::same_as<typename X::scalar, typename A::scalar> &&
                    std::same_as<typename X::scalar, typename C::scalar>,
                "veneer::low_rank_linear(x, w, a, b): x, a and b must hold the element type that w is decoded to");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename W::shape_type, -1>>,
                "veneer::low_rank_linear(x, w, a, b): the last extent of x must equal the last extent of w");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename A::shape_type, -1>>,
                "veneer::low_rank_linear(x, w, a, b): the last extent of x must equal the last extent of a");
  static_assert(SameExtent<extent_of<typename W::shape_type, 0>, extent_of<typename C::shape_type, 0>>,
                "veneer::low_rank_linear(x, w, a, b): the first extent of w must equal the first extent of b");
  static_assert(SameExtent<extent_of<typename A::shape_type, 0>, extent_of<typename C::shape_type, 1>>,
                "veneer::low_rank_linear(x, w, a, b): the rank of a must equal the rank of b");
  constexpr const char* call = "low_rank_linear(x, w, a, b)";
  ops::expect_matching(call, "the last extent of x must equal the last extent of w", x, w, 1, 1);
  ops::expect_matching(call, "the last extent of x must equal the last extent of a", x, a, 1, 1);
  ops::expect_matching(call, "the first extent of w must equal the first extent of b", w, b, 0, 0);
  ops::expect_matching(call, "the rank of a must equal the rank of b", a, b, 0, 1);
  return apply(ops::LowRankLinear{scale}, x, w, a, b);
}

}  // namespace veneer
