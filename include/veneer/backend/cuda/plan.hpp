// SPDX-License-Identifier: Apache-2.0
/// \file plan.hpp
/// Plan: the cuBLASLt descriptors of one kind of matmul, and the algorithm that its heuristics rank first.
///
/// cuBLASLt reads column-major matrices. A row-major matrix read this way is its transpose, hence C = op(A) op(B) is
/// computed as Cᵀ = op(B)ᵀ op(A)ᵀ: operands are swapped, transpositions are kept, and no data is copied.
/// float is computed in float (CUBLAS_COMPUTE_32F: no TF32), double in double. Sums that are split along k are reduced
/// in a workspace in a fixed order. The choice depends only on the problem, so one problem has the same bits in every
/// run on one device.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cublasLt.h>
#include <map>
#include <string>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cuda/check.hpp"

namespace veneer::gpu {

/// The size of the scratch memory shared by matmuls and reductions of a device, in bytes.
inline constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

/// All values that determine the choice of an algorithm.
using ProblemKey = std::array<index_t, 14>;

/// Returns the largest power of two up to 16 that divides an address: wide loads need 16.
inline index_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return address % 16 == 0 ? 16 : address % 8 == 0 ? 8 : 4;
}

template <Real T>
ProblemKey key_of(const Gemm<T>& p) {
  return {static_cast<index_t>(sizeof(T)),
          (p.transpose_a ? 1 : 0) + (p.transpose_b ? 2 : 0),
          p.m,
          p.n,
          p.k,
          p.lda,
          p.ldb,
          p.ldc,
          p.batch,
          p.stride_a,
          p.stride_b,
          p.stride_c,
          alignment_of(p.a) * 32 + alignment_of(p.b),
          alignment_of(p.c)};
}

/// A plan as plain data, with cuBLASLt's descriptors by value.
struct Plan {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t left, right, result;  // B, A and C, as read by cuBLASLt
  cublasLtMatmulAlgo_t algorithm;
};

namespace detail {

template <Real T>
inline constexpr cudaDataType_t data_type = std::same_as<T, double> ? CUDA_R_64F : CUDA_R_32F;
template <Real T>
inline constexpr cublasComputeType_t compute_type = std::same_as<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;

/// Initialises the layout of a row-major matrix of `rows` by `columns` as stored.
inline void lay_out(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType_t type, index_t rows, index_t columns,
                    index_t leading, index_t batch, index_t stride) {
  if (rows == 1) leading = columns;  // with one row the stride is irrelevant
  check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows),
                                 leading),
        "gemm");
  if (batch == 1) return;
  const auto count = static_cast<std::int32_t>(batch);
  check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "gemm");
  check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
        "gemm");
}

inline void prefer(cublasLtMatmulPreferenceOpaque_t& preference, cublasLtMatmulPreferenceAttributes_t what,
                   auto value) {
  check(cublasLtMatmulPreferenceSetAttribute(&preference, what, &value, sizeof value), "gemm");
}

inline void transpose(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t operand, bool transposed) {
  const cublasOperation_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(cublasLtMatmulDescSetAttribute(&operation, operand, &value, sizeof value), "gemm");
}

}  // namespace detail

/// Returns a plan without its algorithm.
template <Real T>
Plan describe(const Gemm<T>& p) {
  constexpr cudaDataType_t type = detail::data_type<T>;
  Plan plan{};
  check(cublasLtMatmulDescInit(&plan.operation, detail::compute_type<T>, type), "gemm");
  detail::transpose(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b);
  detail::transpose(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a);
  detail::lay_out(plan.left, type, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb, p.batch, p.stride_b);
  detail::lay_out(plan.right, type, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda, p.batch, p.stride_a);
  detail::lay_out(plan.result, type, p.m, p.n, p.ldc, p.batch, p.stride_c);
  return plan;
}

/// \throws BackendError when cuBLASLt has no algorithm for the problem
template <Real T>
Plan make_plan(cublasLtHandle_t handle, const Gemm<T>& p) {
  Plan plan = describe(p);
  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), "gemm");
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(alignment_of(p.b)));
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(alignment_of(p.a)));
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(alignment_of(p.c)));
  detail::prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(alignment_of(p.c)));

  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, &plan.operation, &plan.left, &plan.right, &plan.result, &plan.result, &preference, 1, &found, &count);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0) {
    throw BackendError("veneer::Cuda: gemm: cuBLASLt has no algorithm for (" + std::to_string(p.m) + ", " +
                       std::to_string(p.k) + ") times (" + std::to_string(p.k) + ", " + std::to_string(p.n) +
                       "), lda " + std::to_string(p.lda) + ", ldb " + std::to_string(p.ldb) + ", ldc " +
                       std::to_string(p.ldc) + ", batch " + std::to_string(p.batch) + " (" +
                       cublasLtGetStatusName(status) + ")");
  }
  plan.algorithm = found.algo;
  return plan;
}

/// A cache of plans. Making a plan takes longer than a small matmul.
class Plans {
 public:
  template <Real T>
  const Plan& of(cublasLtHandle_t handle, const Gemm<T>& problem) {
    const ProblemKey key = key_of(problem);
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second;
    if (plans_.size() >= most) plans_.clear();  // bounds the size of the cache when lengths vary
    return plans_.emplace(key, make_plan(handle, problem)).first->second;
  }

 private:
  static constexpr std::size_t most = 4096;
  std::map<ProblemKey, Plan> plans_;
};

}  // namespace veneer::gpu
