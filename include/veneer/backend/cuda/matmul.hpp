// SPDX-License-Identifier: Apache-2.0
/// \file matmul.hpp
/// gemm on a device: one call of cublasLtMatmul with a cached plan.
#pragma once

#include "veneer/backend/cuda/for_each.hpp"
#include "veneer/backend/cuda/plan.hpp"

namespace veneer::gpu {

/// The kernel of C = beta C, a matmul with k = 0. If beta = 0, C is not read.
template <Real T>
struct ScaleResultBody {
  T* c;
  T beta;
  index_t m, n, ldc, stride;
  VENEER_HD void operator()(index_t i) const {
    T& value = c[i / (m * n) * stride + i / n % m * ldc + i % n];
    value = beta == T(0) ? T(0) : beta * value;
  }
};

/// Computes C = alpha op(A) op(B) + beta C; m, n and batch are at least 1.
template <Real T>
void matmul(Context& context, const Gemm<T>& p) {
  if (p.k == 0) {
    for_each(context, p.batch * p.m * p.n, ScaleResultBody<T>{p.c, p.beta, p.m, p.n, p.ldc, p.stride_c});
    return;
  }
  const DeviceScope scope(context.device());
  const auto lock = context.exclusive();
  Plan plan = context.plans().of(context.handle(), p);
  check(cublasLtMatmul(context.handle(), &plan.operation, &p.alpha, p.b, &plan.left, p.a, &plan.right, &p.beta, p.c,
                       &plan.result, p.c, &plan.result, &plan.algorithm, context.workspace(), workspace_bytes,
                       context.stream()),
        "gemm");
}

}  // namespace veneer::gpu
