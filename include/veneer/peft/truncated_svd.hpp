// SPDX-License-Identifier: Apache-2.0
/// \file truncated_svd.hpp
/// truncated_svd: the best approximation of a matrix by one of small rank: M = U S Vᵀ with the largest
/// `rank` singular values.
///
///   M: (rows, columns)   up = U_r S_r: (rows, rank)   down = V_rᵀ: (rank, columns)
/// Eckart and Young, Psychometrika 1 (1936). One-sided Jacobi rotations in double: Golub and Van Loan, "Matrix
/// Computations", 4th edition, section 8.6.3. A product B A of small inner extent R is decomposed without computing it,
/// in O((rows + columns) R²); a dense matrix takes O(rows columns min(rows, columns)) per sweep, and about ten sweeps.
/// On the host, on one thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/peft/host_matrix.hpp"

namespace veneer {

/// The approximation M ~ up down.
struct TruncatedSvd {
  HostMatrix up;                 // U S: (rows, rank)
  HostMatrix down;               // Vᵀ: (rank, columns), rows of length 1, or 0 if M has no further direction
  std::vector<double> singular;  // the largest first
};

namespace detail {

inline double dot(const double* x, const double* y, index_t n) { return std::inner_product(x, x + n, y, 0.0); }

inline void rotate(double* x, double* y, index_t n, double cosine, double sine) {
  for (index_t i = 0; i < n; ++i) {
    const double a = x[i], b = y[i];
    x[i] = cosine * a - sine * b;
    y[i] = sine * a + cosine * b;
  }
}

/// Makes the rows of x orthogonal by rotations from the left, and applies these to y: x = Q x_before, y = Q y_before.
inline void orthogonalise_rows(HostMatrix& x, HostMatrix& y) {
  constexpr int sweeps = 60;
  const double tolerance = 2.3e-16 * static_cast<double>(std::max<index_t>(x.columns, 4));  // the error of a sum
  bool turned = true;
  for (int sweep = 0; sweep < sweeps && turned; ++sweep) {
    turned = false;
    for (index_t p = 0; p + 1 < x.rows; ++p) {
      for (index_t q = p + 1; q < x.rows; ++q) {
        const double pp = dot(x.row(p), x.row(p), x.columns), qq = dot(x.row(q), x.row(q), x.columns);
        const double pq = dot(x.row(p), x.row(q), x.columns);
        if (std::abs(pq) <= tolerance * std::sqrt(pp * qq)) continue;
        turned = true;
        const double zeta = (qq - pp) / (2.0 * pq);
        const double tangent = (zeta >= 0 ? 1.0 : -1.0) / (std::abs(zeta) + std::sqrt(1.0 + zeta * zeta));
        const double cosine = 1.0 / std::sqrt(1.0 + tangent * tangent), sine = cosine * tangent;
        rotate(x.row(p), x.row(q), x.columns, cosine, sine);
        rotate(y.row(p), y.row(q), y.columns, cosine, sine);
      }
    }
  }
}

inline HostMatrix identity(index_t n) {
  HostMatrix one(n, n);
  for (index_t i = 0; i < n; ++i) one.at(i, i) = 1.0;
  return one;
}

/// The decomposition x = sum over i of left_i lengths_i right_iᵀ of a matrix with at most as many rows as columns.
struct RowDecomposition {
  HostMatrix left;              // (rows, rows): row i is left_i
  HostMatrix right;             // (rows, columns): row i is right_i, of length 1, or 0
  std::vector<double> lengths;  // the largest first
};

inline RowDecomposition decompose_rows(HostMatrix x) {
  HostMatrix turns = identity(x.rows);
  orthogonalise_rows(x, turns);
  std::vector<double> lengths;
  for (index_t i = 0; i < x.rows; ++i) lengths.push_back(std::sqrt(dot(x.row(i), x.row(i), x.columns)));
  std::vector<index_t> order(lengths.size());
  std::iota(order.begin(), order.end(), index_t{0});
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
    return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
  });
  RowDecomposition found{HostMatrix(x.rows, x.rows), HostMatrix(x.rows, x.columns), {}};
  for (index_t i = 0; i < x.rows; ++i) {
    const index_t from = order[static_cast<std::size_t>(i)];
    const double length = lengths[static_cast<std::size_t>(from)];
    found.lengths.push_back(length);
    std::copy_n(turns.row(from), x.rows, found.left.row(i));
    for (index_t c = 0; c < x.columns && length > 0.0; ++c) found.right.at(i, c) = x.at(from, c) / length;
  }
  return found;
}

}  // namespace detail

/// Returns the best approximation of M of a rank, padded with zeros if the rank of M is lower.
inline TruncatedSvd truncated_svd(const HostMatrix& m, index_t rank) {
  expects(rank >= 1, "veneer::truncated_svd(m, rank): rank must be at least 1");
  const bool wide = m.rows <= m.columns;
  const detail::RowDecomposition found = detail::decompose_rows(wide ? m : transposed(m));
  TruncatedSvd svd{HostMatrix(m.rows, rank), HostMatrix(rank, m.columns), found.lengths};
  const HostMatrix &left = wide ? found.left : found.right, &right = wide ? found.right : found.left;
  for (index_t i = 0; i < std::min(rank, found.left.rows); ++i) {
    const double length = found.lengths[static_cast<std::size_t>(i)];
    for (index_t r = 0; r < m.rows; ++r) svd.up.at(r, i) = left.at(i, r) * length;
    if (length > 0.0) std::copy_n(right.row(i), m.columns, svd.down.row(i));
  }
  return svd;
}

/// Returns the best approximation of up down of a rank.    up: (rows, R)   down: (R, columns)
inline TruncatedSvd truncated_svd(const HostMatrix& up, const HostMatrix& down, index_t rank) {
  expects<ShapeError>(up.columns == down.rows,
                      "veneer::truncated_svd(up, down, rank): the columns of up must be the rows of down; they are " +
                          std::to_string(up.columns) + " and " + std::to_string(down.rows));
  if (up.columns >= std::min(up.rows, down.columns)) return truncated_svd(matmul(up, down), rank);
  // down = Lᵀ D R with the rows of R orthogonal, so up down = (up Lᵀ D) R, and the first factor is narrow.
  const detail::RowDecomposition inner = detail::decompose_rows(down);
  HostMatrix narrow = matmul(up, transposed(inner.left));
  for (index_t r = 0; r < narrow.rows; ++r)
    for (index_t c = 0; c < narrow.columns; ++c) narrow.at(r, c) *= inner.lengths[static_cast<std::size_t>(c)];
  TruncatedSvd svd = truncated_svd(narrow, rank);
  svd.down = matmul(svd.down, inner.right);
  return svd;
}

}  // namespace veneer
