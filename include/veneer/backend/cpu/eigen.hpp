// SPDX-License-Identifier: Apache-2.0
/// \file eigen.hpp
/// Views of CPU memory as row-major Eigen matrices, for decompositions and as a reference for matmuls. This is the only
/// header that includes Eigen; matmuls do not need it, so most files do not compile it.
#pragma once

#ifndef EIGEN_NO_CUDA
#define EIGEN_NO_CUDA  // Eigen's own device annotations only cause warnings under nvcc
#endif
#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE  // its threads would change the bits
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // false alarms in g++ 12's own AVX-512 intrinsics
#endif
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "veneer/backend/concept.hpp"

namespace veneer::cpu {

template <Real T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <Real T>
using EigenInput = Eigen::Map<const EigenMatrix<T>, 0, Eigen::OuterStride<>>;

template <Real T>
using EigenOutput = Eigen::Map<EigenMatrix<T>, 0, Eigen::OuterStride<>>;

/// Returns a view of (rows, columns) values with a distance of `stride` between rows.
template <Real T>
EigenInput<T> as_eigen(const T* data, index_t rows, index_t columns, index_t stride) {
  return EigenInput<T>(data, rows, columns, Eigen::OuterStride<>(stride));
}
template <Real T>
EigenOutput<T> as_eigen(T* data, index_t rows, index_t columns, index_t stride) {
  return EigenOutput<T>(data, rows, columns, Eigen::OuterStride<>(stride));
}

}  // namespace veneer::cpu
