// SPDX-License-Identifier: Apache-2.0
/// \file low_rank_norm.hpp
/// low_rank_norms: the norms of the rows of w + s B A, or of the columns of w + s (B A)ᵀ, without computing that sum.
///
///   n_o^2 = ||w_o||^2 + 2 s (w Aᵀ)_o . B_o + s^2 B_o (A Aᵀ) B_oᵀ
///   rows:    w: (out, in)              A: (rank, in)           B: (out, rank)        n: (out)
///   columns: w: (vocabulary, features) A: (rank, vocabulary)   B: (features, rank)   n: (features)
/// The norms are constants to autograd, as in DoRA (Liu et al., arXiv:2402.09353, section 4.3). The three terms are
/// summed in double. If they nearly cancel, n^2 < (||w_o||^2 + ||s B_o A||^2) / 10, a row is summed element by element.
/// w may have any format.
#pragma once

#include <cmath>

#include "veneer/ops/linear.hpp"

namespace veneer {

namespace ops {

/// The elements of a matrix by their flat index.
template <Scalar T>
struct Elements {
  const T* x;
  VENEER_HD double operator()(index_t i) const { return static_cast<double>(static_cast<compute_t<T>>(x[i])); }
};

/// Returns the elements of a tensor, or of a weight format, by their flat index.
template <class W>
auto elements(const W& w) {
  if constexpr (TensorLike<W>) {
    return Elements<typename W::scalar>{w.data()};
  } else {
    return w.view();
  }
}

template <class W, bool Columns>
struct SquaresLoad {
  W w;
  index_t columns;  // of w as stored
  VENEER_HD double operator()(index_t o, index_t i) const {
    const double x = static_cast<double>(w(Columns ? i * columns + o : o * columns + i));
    return x * x;
  }
};

template <Real T, class W, bool Columns>
struct LowRankNormBody {
  T* norm;
  const double* squares;  // ||w_o||^2
  W w;
  const T* wa;  // w Aᵀ, or wᵀ Aᵀ
  const T* a;
  const T* b;
  const T* ba;  // B (A Aᵀ)
  index_t out, in, rank;
  double scale;
  VENEER_HD void operator()(index_t o) const {
    double mixed = 0.0, change = 0.0;
    for (index_t k = 0; k < rank; ++k) {
      const double factor = static_cast<double>(b[o * rank + k]);
      mixed += factor * static_cast<double>(wa[o * rank + k]);
      change += factor * static_cast<double>(ba[o * rank + k]);
    }
    change *= scale * scale;
    double sum = squares[o] + 2.0 * scale * mixed + change;
    if (sum < 0.1 * (squares[o] + change)) sum = in_full(o);
    norm[o] = static_cast<T>(std::sqrt(sum));
  }
  VENEER_HD double in_full(index_t o) const {
    double sum = 0.0;
    for (index_t i = 0; i < in; ++i) {
      double x = 0.0;
      for (index_t k = 0; k < rank; ++k) x += static_cast<double>(b[o * rank + k]) * static_cast<double>(a[k * in + i]);
      x = static_cast<double>(w(Columns ? i * out + o : o * in + i)) + scale * x;
      sum += x * x;
    }
    return sum;
  }
};

/// Returns ||w_o||^2 of each row, or column, of a weight of any format, element by element.
template <bool Columns, class W>
auto squared_norms(const W& w) {
  const auto device = w.device();
  const index_t columns = w.extent(1), out = w.extent(Columns ? 1 : 0), in = w.extent(Columns ? 0 : 1);
  Tensor<double, Shape<dyn>, typename W::backend> squares(Shape<dyn>(out), device);
  const auto squares_of = [&](const auto& stored) {
    using View = decltype(elements(stored));
    device.reduce_rows(Sum<double>{}, out, in, SquaresLoad<View, Columns>{elements(stored), columns}, squares.data());
    return 0;
  };
  if constexpr (requires { w.visit(squares_of); }) {
    w.visit(squares_of);  // each storage type has its own loop
  } else {
    squares_of(w);
  }
  return squares;
}

}  // namespace ops

/// Returns the norms of the rows of w + s B A; with Columns, of the columns of w + s (B A)ᵀ.
/// \param squares  ops::squared_norms<Columns>(w), which depends only on w
template <bool Columns, class W, TensorLike N, TensorLike A, TensorLike C>
auto low_rank_norms(const W& w, const N& squares, const A& a, const C& b, double scale) {
  using T = typename A::scalar;
  using B = typename W::backend;
  const index_t out = b.extent(0), in = a.extent(1), rank = a.extent(0);
  Matrix<T, B> gram(Shape<dyn, dyn>(rank, rank), w.device()), ba(Shape<dyn, dyn>(out, rank), w.device()),
      wa(Shape<dyn, dyn>(out, rank), w.device());
  ops::matmul<false, true>(gram, a, a);
  ops::matmul<false, false>(ba, b, gram);
  ops::sum_of_matmuls_in(storage_of<T>, wa, 0.0, ops::term<Columns, true>(w, a));
  Tensor<T, Shape<dyn>, B> norms(Shape<dyn>(out), w.device());
  const ops::LowRankNormBody<T, decltype(ops::elements(w)), Columns> body{
      norms.data(), squares.data(), ops::elements(w), wa.data(), a.data(), b.data(), ba.data(), out, in, rank, scale};
  w.device().for_each(out, body, 4 * rank);
  return norms;
}

}  // namespace veneer
