// SPDX-License-Identifier: Apache-2.0
/// \file rope.hpp
/// rope(x, cosines, sines, width): rotates pairs of features by an angle proportional to the position of the token.
///
///   x, y: (tokens, heads * width)   cosines, sines: (tokens, d / 2), d <= width
///   y[i]         = x[i] cos_i - x[i + d/2] sin_i        for i in [0, d/2), in every head
///   y[i + d/2]   = x[i + d/2] cos_i + x[i] sin_i        features from d on are copied (partial rotation)
/// Su et al., "RoFormer", arXiv:2104.09864, eq. 34, with the pairs (i, i + d/2) of Hugging Face checkpoints. The
/// pullback is the rotation by the opposite angle.
#pragma once

#include <algorithm>
#include <string>

#include "veneer/autograd/apply.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

namespace ops {

/// A kernel that rotates pair i of one head of one token. With Partial, it also copies feature i of those that
/// are not rotated.
template <Stored T, bool Partial>
struct RopeBody {
  T* y;
  const T* x;
  const compute_t<T>* cosines;
  const compute_t<T>* sines;
  index_t heads, half, width;
  compute_t<T> direction;  // 1, or -1 for the opposite angle
  VENEER_HD void operator()(index_t row, index_t i) const {
    using C = compute_t<T>;
    const index_t at = row * width + i, rest = at + 2 * half, angle = row / heads * half + i;
    if (!Partial || i < half) {
      const C low = x[at], high = x[at + half], c = cosines[angle], turn = direction * sines[angle];
      y[at] = static_cast<T>(low * c - high * turn);
      y[at + half] = static_cast<T>(high * c + low * turn);
    }
    if (Partial && i < width - 2 * half) y[rest] = x[rest];
  }
};

struct Rope {
  index_t width = 0;  // features of a head

  template <TensorLike X>
  X turn(const X& x, const auto& cosines, const auto& sines, double direction) const {
    return 2 * cosines.extent(1) < width ? turn_part<true>(x, cosines, sines, direction)
                                         : turn_part<false>(x, cosines, sines, direction);
  }
  template <bool Partial, TensorLike X>
  X turn_part(const X& x, const auto& cosines, const auto& sines, double direction) const {
    using T = typename X::scalar;
    const index_t half = cosines.extent(1), heads = x.extent(1) / width;
    X y(x.shape(), x.device());
    y.device().for_each(x.extent(0) * heads, Partial ? std::max(half, width - 2 * half) : half,
                        RopeBody<T, Partial>{y.data(), x.data(), cosines.data(), sines.data(), heads, half, width,
                                             static_cast<compute_t<T>>(direction)},
                        4);
    return y;
  }
  auto forward(const auto& x, const auto& cosines, const auto& sines) const { return turn(x, cosines, sines, 1.0); }
  auto pullback(Wrt<0>, const auto& dy, const auto&, const auto&, const auto& cosines, const auto& sines) const {
    return turn(dy, cosines, sines, -1.0);
  }
  static constexpr Reads reads(const RequiresGrad<3>&) { return Reads::operand(1) | Reads::operand(2); }
};

}  // namespace ops

/// Rotates the features of every head.
///   x: (tokens, heads * width)   cosines, sines: (tokens, d / 2), constants in compute_t of x
/// \param width  features of a head, of which the first d are rotated; 0: d
/// \throws ShapeError when the extents do not fit
template <ValueLike X, TensorLike C>
auto rope(const X& x, const C& cosines, const C& sines, index_t width = 0) {
  static_assert(X::shape_type::rank == 2 && C::shape_type::rank == 2,
                "veneer::rope(x, cosines, sines): all three must be matrices, one row per token");
  static_assert(std::same_as<typename C::scalar, compute_t<typename X::scalar>>,
                "veneer::rope(x, cosines, sines): the angles must have the compute type of x");
  if (width == 0) width = 2 * cosines.extent(1);
  if (cosines.extent(0) != x.extent(0) || !(cosines.shape() == sines.shape()) || cosines.extent(1) == 0 ||
      width < 2 * cosines.extent(1) || x.extent(1) % width != 0) {
    throw ShapeError(
        "veneer::rope(x, cosines, sines): expected a row of angles per token, and heads of at least twice as many "
        "features; they are " +
        to_string(x.shape()) + ", " + to_string(cosines.shape()) + " and " + to_string(sines.shape()));
  }
  return apply(ops::Rope{width}, x, cosines, sines);
}

}  // namespace veneer
