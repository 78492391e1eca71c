// SPDX-License-Identifier: Apache-2.0
/// \file decompose.hpp
/// Truncated singular value decompositions, exact and fast, and a truncated QR, in double.
///
///   svd       w ~ U_r diag(s_r) V_rᵀ: the nearest matrix of rank r (Eckart and Young, Psychometrika 1, 1936), through
///             the eigenvectors E of the smaller Gram matrix: E Eᵀ w, or w E Eᵀ. That is a projection: the squares
///             make the vectors of small singular values inaccurate, but never the product.
///   fast_svd  Q spans (w wᵀ)^iterations w Ω, Ω random of rank + 10 columns; then svd(Qᵀ w). Halko, Martinsson and
///             Tropp, "Finding Structure with Randomness", arXiv:0909.4061, algorithms 4.4 and 5.1.
///   qr        w = Q R: Q[:, :r] depends only on the first r columns of w, and R[:r] = Q[:, :r]ᵀ w.
/// This is the only file with decompositions by Eigen. The largest entry of each right vector is positive, so that
/// results do not depend on the arbitrary signs of an algorithm.
#pragma once

#include <algorithm>

#include "veneer/backend/cpu/eigen.hpp"
#include "veneer/peft/init/decomposition.hpp"

namespace veneer::detail {

using HostEigen = cpu::EigenMatrix<double>;

inline HostEigen to_eigen(const HostMatrix& x) { return cpu::as_eigen(x.values.data(), x.rows, x.columns, x.columns); }

inline HostMatrix from_eigen(const HostEigen& x) { return {x.rows(), x.cols(), {x.data(), x.data() + x.size()}}; }

inline void expect_decomposable(const char* name, const HostMatrix& w, index_t rank) {
  const index_t most = std::min(w.rows, w.columns);
  expects(rank >= 1 && rank <= most, std::string("veneer::") + name + ": a matrix of (" + std::to_string(w.rows) +
                                         ", " + std::to_string(w.columns) + ") has ranks from 1 to " +
                                         std::to_string(most) + "; asked for " + std::to_string(rank));
}

/// The leading singular triplets of w.
struct Triplets {
  HostEigen left, right;  // (rows, rank), (rank, columns)
  std::vector<double> values;
};

inline Triplets leading_triplets(const HostEigen& w, index_t rank) {
  const bool wide = w.rows() <= w.cols();
  const HostEigen gram = wide ? HostEigen(w * w.transpose()) : HostEigen(w.transpose() * w);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver{Eigen::MatrixXd(gram)};
  expects<DivergedError>(solver.info() == Eigen::Success,
                         "veneer::svd: the eigenvalues did not converge: look for values that are not finite");
  const HostEigen basis = solver.eigenvectors().rightCols(rank).rowwise().reverse();  // the largest first
  Triplets found;
  if (wide) {
    found.left = basis, found.right = basis.transpose() * w;
  } else {
    found.left = w * basis, found.right = basis.transpose();
  }
  for (index_t i = 0; i < rank; ++i) {
    const double value = wide ? found.right.row(i).norm() : found.left.col(i).norm();
    Eigen::Index at = 0;
    found.right.row(i).cwiseAbs().maxCoeff(&at);
    const double sign = found.right(i, at) < 0.0 ? -1.0 : 1.0, unit = value > 0.0 ? sign / value : 0.0;
    found.right.row(i) *= wide ? unit : sign;
    found.left.col(i) *= wide ? sign : unit;
    found.values.push_back(value);
  }
  return found;
}

/// Returns an orthonormal basis of the columns of x, (rows, columns) with at least as many rows.
inline HostEigen orthonormal(const HostEigen& x) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr{Eigen::MatrixXd(x)};
  return qr.householderQ() * Eigen::MatrixXd::Identity(x.rows(), x.cols());
}

inline Decomposition svd(const HostMatrix& w, index_t rank) {
  expect_decomposable("svd", w, rank);
  Triplets found = leading_triplets(to_eigen(w), rank);
  return {from_eigen(found.left), std::move(found.values), from_eigen(found.right)};
}

inline Decomposition fast_svd(const HostMatrix& w, index_t rank, index_t iterations, RandomStream source) {
  expect_decomposable("fast_svd", w, rank);
  const HostEigen dense = to_eigen(w);
  HostEigen sketch(w.columns, std::min(rank + 10, std::min(w.rows, w.columns)));
  for (index_t i = 0; i < sketch.size(); ++i) sketch.data()[i] = normal_at(source, static_cast<std::uint64_t>(i));
  HostEigen basis = orthonormal(dense * sketch);
  for (index_t i = 0; i < iterations; ++i) basis = orthonormal(dense * orthonormal(dense.transpose() * basis));
  Triplets found = leading_triplets(basis.transpose() * dense, rank);
  return {from_eigen(basis * found.left), std::move(found.values), from_eigen(found.right)};
}

inline Decomposition qr(const HostMatrix& w, index_t rank) {
  expect_decomposable("qr", w, rank);
  const HostEigen dense = to_eigen(w), basis = orthonormal(dense.leftCols(rank));
  return {from_eigen(basis), {}, from_eigen(basis.transpose() * dense)};
}

inline constexpr Decomposer host_decomposer{&svd, &fast_svd, &qr};

/// Registers these in decomposer() before main begins.
inline const bool decomposer_installed = (decomposer() = &host_decomposer, true);

}  // namespace veneer::detail
