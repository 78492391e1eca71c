// SPDX-License-Identifier: Apache-2.0
/// \file product.hpp
/// gemm on the CPU: C is cut into tiles by its shape alone, and each tile is one single-threaded product over all of k:
/// by the
/// kernel of kernel.hpp where the target has fused multiply-add vectors, else by Eigen, which stays the kernel's twin
/// in the tests.
///
/// Tiles of (m, n, k), decided by extents and never by the number of threads, so the bits do not depend on it:
///   general          128..512 rows by up to 512 columns
///   skinny (n <= 64, or m <= 64: the products of an adapter)   the short side whole, the long side in strips
/// The one place to refine: `Product<T>::tile`. This is the only header that includes Eigen.
#pragma once

#ifndef EIGEN_NO_CUDA
#define EIGEN_NO_CUDA  // Eigen's own device annotations only bring warnings under nvcc
#endif
#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE  // its threads would change the bits
#endif
#include <algorithm>

#include <Eigen/Core>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/kernel.hpp"
#include "veneer/backend/cpu/pool.hpp"

namespace veneer::cpu {

/// Rows and columns of a tile of C.
struct TileShape {
  index_t rows = 1;
  index_t columns = 1;
};

/// The number of pieces of about `target` that `extent` is cut into, and the size of each, a multiple of 16.
constexpr index_t even_cut(index_t extent, index_t target) {
  const index_t pieces = extent <= target ? 1 : (extent + target - 1) / target;
  const index_t size = (extent + pieces - 1) / pieces;
  return (size + 15) / 16 * 16;
}

/// Eight tiles or more when there is enough work for them, long enough that packing an operand is paid for.
constexpr TileShape tile_shape(index_t m, index_t n, index_t k) {
  constexpr index_t short_side = 64;
  const auto strip = [k](index_t extent, index_t other) {
    const index_t worth = (index_t{1} << 18) / (other * k + 1) + 1;  // 2^18 multiplications are worth a task
    return even_cut(extent, std::clamp(worth, index_t{64}, std::max(index_t{64}, extent / 8)));
  };
  if (n <= short_side) return {strip(m, n), n};
  if (m <= short_side) return {m, strip(n, m)};
  if (m * n * k <= (index_t{1} << 21)) return {even_cut(m, 128), n};
  return {even_cut(m, m >= 2048 ? 512 : 256), even_cut(n, n >= 2048 ? 512 : 256)};
}

#if defined(__FMA__) || defined(__AVX512F__)
inline constexpr bool has_fused_vectors = true;
#else
inline constexpr bool has_fused_vectors = false;
#endif

template <Real T>
struct Product {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Input = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
  using Output = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;

  /// C[row.., column..] of one product.
  static void tile(const Gemm<T>& p, index_t row, index_t rows, index_t column, index_t columns) {
    if constexpr (has_fused_vectors) {
      tile_product(p, row, rows, column, columns);
    } else {
      eigen_tile(p, row, rows, column, columns);
    }
  }

  /// The same by Eigen.
  static void eigen_tile(const Gemm<T>& p, index_t row, index_t rows, index_t column, index_t columns) {
    const Input a = p.transpose_a ? Input(p.a + row, p.k, rows, Eigen::OuterStride<>(p.lda))
                                  : Input(p.a + row * p.lda, rows, p.k, Eigen::OuterStride<>(p.lda));
    const Input b = p.transpose_b ? Input(p.b + column * p.ldb, columns, p.k, Eigen::OuterStride<>(p.ldb))
                                  : Input(p.b + column, p.k, columns, Eigen::OuterStride<>(p.ldb));
    Output c(p.c + row * p.ldc + column, rows, columns, Eigen::OuterStride<>(p.ldc));
    if (p.beta == T(0)) {
      c.setZero();
    } else if (p.beta != T(1)) {
      c *= p.beta;
    }
    if (p.transpose_a) {
      p.transpose_b ? add(c, p.alpha, a.transpose(), b.transpose()) : add(c, p.alpha, a.transpose(), b);
    } else {
      p.transpose_b ? add(c, p.alpha, a, b.transpose()) : add(c, p.alpha, a, b);
    }
  }

  /// The whole product, or every product of the batch, over the pool.
  static void run(const Gemm<T>& p) {
    if (p.m == 0 || p.n == 0 || p.batch == 0) return;
    const TileShape shape = tile_shape(p.m, p.n, p.k);
    const index_t down = (p.m + shape.rows - 1) / shape.rows;
    const index_t across = (p.n + shape.columns - 1) / shape.columns;
    const index_t work = p.m * p.n * (p.k + 1);
    const index_t together = std::max<index_t>(1, (index_t{1} << 17) / (work + 1));  // small products share a task
    if (down * across == 1 && together > 1) {
      Pool::instance().run((p.batch + together - 1) / together, [&](index_t task) {
        const index_t end = std::min(p.batch, (task + 1) * together);
        for (index_t i = task * together; i < end; ++i) tile(element(p, i), 0, p.m, 0, p.n);
      });
      return;
    }
    Pool::instance().run(p.batch * down * across, [&](index_t task) {
      const index_t row = task % down * shape.rows;  // neighbours share the columns, that is the weight
      const index_t column = task / down % across * shape.columns;
      tile(element(p, task / (down * across)), row, std::min(shape.rows, p.m - row), column,
           std::min(shape.columns, p.n - column));
    });
  }

 private:
  static void add(Output& c, T alpha, const auto& a, const auto& b) { c.noalias() += alpha * (a * b); }

  static Gemm<T> element(Gemm<T> p, index_t i) {
    p.a += i * p.stride_a;
    p.b += i * p.stride_b;
    p.c += i * p.stride_c;
    return p;
  }
};

}  // namespace veneer::cpu
