// SPDX-License-Identifier: Apache-2.0
/// \file linear.hpp
/// linear(x, w) = x wᵀ, and low_rank_linear, which adds a low-rank term in the same op.
///
///   x: (tokens, in)   w: (out, in)   y: (tokens, out)
///   low_rank_linear(x, w, a, b, s) = x wᵀ + s (x aᵀ) bᵀ      a: (rank, in)   b: (out, rank)
///   Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, eq. 3.
///
/// x may be stored in 16 bits, then y and dx are as well; sums are float, and so are the gradients of float factors. w
/// may have any format (ops/matmul.hpp). The tape keeps w in its storage type.
#pragma once

#include <string>
#include <tuple>
#include <utility>

#include "veneer/autograd/apply.hpp"
#include "veneer/ops/matmul.hpp"

namespace veneer {

namespace ops {

/// True if x and w are multiplied in the same type.
template <class X, class W>
concept SameCompute = std::same_as<compute_t<typename X::scalar>, compute_t<typename W::scalar>>;

/// Returns an uninitialised matrix with the rows of x and the columns of y.
template <Stored T, int RowAxis, int ColumnAxis, class X, class Y>
auto empty(const X& x, const Y& y) {
  using S = Shape<extent_of<typename X::shape_type, RowAxis>, extent_of<typename Y::shape_type, ColumnAxis>>;
  return Tensor<T, S, typename X::backend>(shape_of<S>(x.shape()[RowAxis], y.shape()[ColumnAxis]), x.device());
}

struct Linear {
  template <TensorLike X, class W>
  auto forward(const X& x, const W& w) const {
    auto y = empty<typename X::scalar, 0, 0>(x, w);  // (tokens, out)
    matmul<false, true>(y, x, w);
    return y;
  }
  template <TensorLike Dy>
  auto pullback(Wrt<0>, const Dy& dy, const auto&, const auto&, const auto& w) const {
    auto dx = empty<typename Dy::scalar, 0, 1>(dy, w);  // (tokens, in)
    matmul<false, false>(dx, dy, w);
    return dx;
  }
  template <class W>
  auto pullback(Wrt<1>, const auto& dy, const auto&, const auto& x, const W&) const {
    auto dw = empty<typename W::scalar, 1, 1>(dy, x);  // (out, in)
    matmul<true, false>(dw, dy, x);
    return dw;
  }
  static constexpr Reads reads(const RequiresGrad<2>& wanted) {
    return Reads::operand(1).when(wanted[0]) | Reads::operand(0).when(wanted[1]);
  }
};

/// The op of low_rank_linear. Both terms are summed in one matmul, so y is written once.
struct LowRankLinear {
  double scale = 1.0;

  template <TensorLike X>
  auto forward(const X& x, const auto& w, const auto& a, const auto& b) const {
    auto z = empty<typename X::scalar, 0, 0>(x, a);  // s x aᵀ: (tokens, rank)
    matmul<false, true>(z, x, a, scale);
    auto y = empty<typename X::scalar, 0, 0>(x, w);  // (tokens, out)
    sum_of_matmuls(y, 0.0, term<false, true>(x, w), term<false, true>(z, b));
    return Forward{y, z};
  }

  template <TensorLike Dy, class W, class A, class C>
  auto pullbacks(const RequiresGrad<4>& wanted, const Dy& dy, const auto& z, const auto& x, const W& w, const A& a,
                 const C& b) const {
    using T = typename Dy::scalar;
    decltype(empty<T, 0, 1>(dy, w)) dx;
    decltype(empty<typename W::scalar, 1, 1>(dy, x)) dw;
    decltype(empty<typename A::scalar, 1, 1>(z, x)) da;
    decltype(empty<typename C::scalar, 1, 1>(dy, z)) db;
    if (wanted[0] || wanted[2]) {
      auto dz = empty<T, 0, 1>(dy, b);  // (tokens, rank)
      matmul<false, false>(dz, dy, b, scale);
      if (wanted[0]) {
        dx = empty<T, 0, 1>(dy, w);
        sum_of_matmuls(dx, 0.0, term<false, false>(dy, w), term<false, false>(dz, a));
      }
      if (wanted[2]) {
        da = empty<typename A::scalar, 1, 1>(z, x);
        matmul<true, false>(da, dz, x);
      }
    }
    if (wanted[1]) {
      dw = empty<typename W::scalar, 1, 1>(dy, x);
      matmul<true, false>(dw, dy, x);
    }
    if (wanted[3]) {
      db = empty<typename C::scalar, 1, 1>(dy, z);
      matmul<true, false>(db, dy, z);
    }
    return std::tuple{dx, dw, da, db};
  }

  static constexpr Reads reads(const RequiresGrad<4>& wanted) {
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

/// Returns x wᵀ.    x: (tokens, in)   w: (out, in)   result: (tokens, out)
/// \throws ShapeError when the last extents differ
template <ValueLike X, Weight W>
auto linear(const X& x, const W& w) {
  static_assert(X::shape_type::rank == 2 && W::shape_type::rank == 2, "veneer::linear(x, w): x and w must be matrices");
  static_assert(ops::SameCompute<X, W>, "veneer::linear(x, w): x and w must both be double, or neither");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename W::shape_type, -1>>,
                "veneer::linear(x, w): the last extent of x must equal the last extent of w");
  ops::expect_matching("linear(x, w)", "the last extent of x must equal the last extent of w", x, w, 1, 1);
  return apply(ops::Linear{}, x, w);
}

/// Returns x wᵀ + scale (x aᵀ) bᵀ.    a: (rank, in)   b: (out, rank)
/// \throws ShapeError when extents do not fit
template <ValueLike X, Weight W, ValueLike A, ValueLike C>
auto low_rank_linear(const X& x, const W& w, const A& a, const C& b, double scale) {
  static_assert(
      X::shape_type::rank == 2 && W::shape_type::rank == 2 && A::shape_type::rank == 2 && C::shape_type::rank == 2,
      "veneer::low_rank_linear(x, w, a, b): x, w, a and b must be matrices");
  static_assert(ops::SameCompute<X, W> && ops::SameCompute<X, A> && ops::SameCompute<X, C>,
                "veneer::low_rank_linear(x, w, a, b): x, w, a and b must all be double, or none");
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
