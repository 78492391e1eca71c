// SPDX-License-Identifier: Apache-2.0
/// \file rope.hpp
/// rope(x, cosines, sines, width): turns pairs of features by an angle that grows with the position of the token.
///
///   x, y: (tokens, heads * width)   cosines, sines: (tokens, d / 2), d <= width
///   y[i]         = x[i] cos_i - x[i + d/2] sin_i        for i in [0, d/2), in every head
///   y[i + d/2]   = x[i + d/2] cos_i + x[i] sin_i        features from d on are copied (partial rotation)
/// Su et al., "RoFormer", arXiv:2104.09864, eq. 34, with the pairs (i, i + d/2) of Hugging Face checkpoints.
/// The pullback is the turn by the opposite angle.
#pragma once

#include <string>

#include "veneer/autograd/apply.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct RopeBody {
  T* y;
  const T* x;
  const T* cosines;
  const T* sines;
  index_t heads, half, width;
  T direction;  // 1, or -1 to turn back
  VENEER_HD void operator()(index_t token) const {
    const T* c = cosines + token * half;
    const T* s = sines + token * half;
    for (index_t head = 0; head < heads; ++head) {
      const T* in = x + (token * heads + head) * width;
      T* out = y + (token * heads + head) * width;
      for (index_t i = 0; i < half; ++i) {
        const T low = in[i], high = in[i + half], turn = direction * s[i];
        out[i] = low * c[i] - high * turn;
        out[i + half] = high * c[i] + low * turn;
      }
      for (index_t i = 2 * half; i < width; ++i) out[i] = in[i];
    }
  }
};

struct Rope {
  index_t width = 0;  // features of a head

  template <TensorLike X>
  X turn(const X& x, const auto& cosines, const auto& sines, double direction) const {
    using T = typename X::scalar;
    const index_t half = cosines.extent(1);
    X y(x.shape(), x.device());
    y.device().for_each(x.extent(0),
                        RopeBody<T>{y.data(), x.data(), cosines.data(), sines.data(), x.extent(1) / width, half, width,
                                    static_cast<T>(direction)},
                        2 * x.extent(1));
    return y;
  }
  auto forward(const auto& x, const auto& cosines, const auto& sines) const { return turn(x, cosines, sines, 1.0); }
  auto pullback(Wrt<0>, const auto& dy, const auto&, const auto&, const auto& cosines, const auto& sines) const {
    return turn(dy, cosines, sines, -1.0);
  }
  static constexpr Reads reads(const Wanted<3>&) { return Reads::operand(1) | Reads::operand(2); }
};

}  // namespace ops

/// Turns the features of every head.    x: (tokens, heads * width)   cosines, sines: (tokens, d / 2), constants
/// \param width  features of a head, the first d of which turn; 0: d
/// \throws ShapeError when the extents do not fit
template <ValueLike X, TensorLike C>
auto rope(const X& x, const C& cosines, const C& sines, index_t width = 0) {
  static_assert(X::shape_type::rank == 2 && C::shape_type::rank == 2,
                "veneer::rope(x, cosines, sines): all three must be matrices, a row a token");
  if (width == 0) width = 2 * cosines.extent(1);
  if (cosines.extent(0) != x.extent(0) || !(cosines.shape() == sines.shape()) || cosines.extent(1) == 0 ||
      width < 2 * cosines.extent(1) || x.extent(1) % width != 0) {
    throw ShapeError(
        "veneer::rope(x, cosines, sines): a row of angles a token, and heads of twice as many features; they are " +
        to_string(x.shape()) + ", " + to_string(cosines.shape()) + " and " + to_string(sines.shape()));
  }
  return apply(ops::Rope{width}, x, cosines, sines);
}

}  // namespace veneer
