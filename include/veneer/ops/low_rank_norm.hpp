// SPDX-License-Identifier: Apache-2.0
/// \file low_rank_norm.hpp
/// The norms of the rows of w + s B A, or of the columns of w + s (B A)ᵀ, without that sum as a matrix.
///
///   n_o^2 = ||w_o||^2 + 2 s (w Aᵀ)_o . B_o + s^2 B_o (A Aᵀ) B_oᵀ
///   rows:    w: (out, in)              A: (rank, in)           B: (out, rank)        n: (out)
///   columns: w: (vocabulary, features) A: (rank, vocabulary)   B: (features, rank)   n: (features)
/// Constants to autograd: DoRA holds them so (Liu et al., arXiv:2402.09353, section 4.3). The three terms are added in
/// double. Where they nearly cancel, n^2 < (||w_o||^2 + ||s B_o A||^2) / 10, a row is summed element by element.
/// w may be of any format; one that can be decoded in pieces is not decoded as a whole.
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

/// Those of a tensor, or of a format that says them one by one.
template <class W>
auto elements(const W& w) {
  if constexpr (TensorLike<W>) {
    return Elements<typename W::scalar>{w.data()};
  } else {
    return w.view();
  }
}

template <Real T, bool Columns>
struct SquaresLoad {
  const T* w;
  index_t columns;  // of w as stored
  VENEER_HD double operator()(index_t o, index_t i) const {
    const double x = static_cast<double>(Columns ? w[i * columns + o] : w[o * columns + i]);
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

template <Real T>
struct TransposeBody {
  T* y;  // (columns, rows)
  const T* x;
  index_t rows, columns;
  VENEER_HD void operator()(index_t c) const {
    for (index_t r = 0; r < rows; ++r) y[c * rows + r] = x[r * columns + c];
  }
};

/// Rows [first, first + rows) of y = w a, or of y = wᵀ a, from the rows or columns of w that these need.
template <bool Columns, class Y, class W, class A>
void product_from_left_piece(Y& y, const W& w, const A& a, index_t first, index_t rows) {
  using T = typename Y::scalar;
  const index_t in = a.extent(0), rank = a.extent(1);
  const auto piece = y.device().template allocate<T>(rows * in);
  if constexpr (Columns) {
    w.decode_block(0, in, first, rows, piece.get());
  } else {
    w.decode_block(first, rows, 0, in, piece.get());
  }
  Gemm<T> gemm{.transpose_a = Columns, .m = rows, .n = rank, .k = in};
  gemm.a = piece.get(), gemm.lda = Columns ? rows : in;
  gemm.b = a.data(), gemm.ldb = rank;
  gemm.c = y.data() + first * rank, gemm.ldc = rank;
  y.device().gemm(gemm);
}

/// y = w a, with Columns y = wᵀ a, for a weight of any format: on the left, as weight_product has it on the right.
template <bool Columns, TensorLike Y, class W, TensorLike A>
void product_from_left(Y& y, const W& w, const A& a) {
  if constexpr (DecodesInBlocks<W> && WorksSideBySide<typename Y::backend>) {
    constexpr index_t height = 32;
    const index_t rows = y.extent(0);
    y.device().concurrently((rows + height - 1) / height, [&](index_t i) {
      product_from_left_piece<Columns>(y, w, a, i * height, i * height + height < rows ? height : rows - i * height);
    });
  } else {
    product<Columns, false>(y, decode(w), a);
  }
}

/// ||w_o||^2 of each row, or column, of a dense matrix.
template <bool Columns, TensorLike W>
auto squared_norms(const W& w) {
  const index_t out = w.extent(Columns ? 1 : 0), in = w.extent(Columns ? 0 : 1);
  Tensor<double, Shape<dyn>, typename W::backend> squares(Shape<dyn>(out), w.device());
  w.device().reduce_rows(Sum<double>{}, out, in, SquaresLoad<typename W::scalar, Columns>{w.data(), w.extent(1)},
                         squares.data());
  return squares;
}

}  // namespace ops

/// The norms of the rows of w + s B A; with Columns of the columns of w + s (B A)ᵀ.
/// \param squares  ops::squared_norms<Columns>(decode(w)), which only w decides
template <bool Columns, class W, TensorLike N, TensorLike A, TensorLike C>
auto low_rank_norms(const W& w, const N& squares, const A& a, const C& b, double scale) {
  using T = typename A::scalar;
  using B = typename W::backend;
  const index_t out = b.extent(0), in = a.extent(1), rank = a.extent(0);
  Matrix<T, B> gram(Shape<dyn, dyn>(rank, rank), w.device()), ba(Shape<dyn, dyn>(out, rank), w.device()),
      wa(Shape<dyn, dyn>(out, rank), w.device()), turned(Shape<dyn, dyn>(in, rank), w.device());
  ops::product<false, true>(gram, a, a);
  ops::product<false, false>(ba, b, gram);
  turned.device().for_each(in, ops::TransposeBody<T>{turned.data(), a.data(), rank, in}, rank);
  ops::product_from_left<Columns>(wa, w, turned);  // nothing is packed then
  Tensor<T, Shape<dyn>, B> norms(Shape<dyn>(out), w.device());
  const ops::LowRankNormBody<T, decltype(ops::elements(w)), Columns> body{
      norms.data(), squares.data(), ops::elements(w), wa.data(), a.data(), b.data(), ba.data(), out, in, rank, scale};
  w.device().for_each(out, body, 4 * rank);
  return norms;
}

}  // namespace veneer
