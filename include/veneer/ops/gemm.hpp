// SPDX-License-Identifier: Apache-2.0
/// \file gemm.hpp
/// gemm(device, g): C = alpha op(A) op(B) + beta C for operands of any storage type.
///
/// float and double use the backend's verb. A matmul of 16-bit operands is an optional verb: on a backend without it
/// they are widened, which is exact, multiplied in float, and the result is rounded once.
#pragma once

#include "veneer/backend/concept.hpp"
#include "veneer/ops/map.hpp"

namespace veneer::ops {

/// Copies a matrix to another type. A stride is the distance between two rows.
template <Backend B, Stored To, Stored From>
void convert_rows(const B& device, index_t rows, index_t columns, const From* from, index_t from_stride, To* to,
                  index_t to_stride) {
  device.for_each(rows, columns, MapRowsBody<To, RowsLoad<From>>{to, {from, from_stride}, to_stride});
}

template <Backend B, Stored In, Stored Out>
void gemm(const B& device, const Gemm<In, Out>& g) {
  if constexpr (requires { device.gemm(g); }) {
    device.gemm(g);
  } else {
    const index_t rows_a = g.transpose_a ? g.k : g.m, columns_a = g.transpose_a ? g.m : g.k;
    const index_t rows_b = g.transpose_b ? g.n : g.k, columns_b = g.transpose_b ? g.k : g.n;
    const auto a = device.template allocate<float>(rows_a * columns_a);
    const auto b = device.template allocate<float>(rows_b * columns_b);
    const auto c = device.template allocate<float>(g.m * g.n);
    for (index_t i = 0; i < g.batch; ++i) {
      Out* out = g.c + i * g.stride_c;
      convert_rows(device, rows_a, columns_a, g.a + i * g.stride_a, g.lda, a.get(), columns_a);
      convert_rows(device, rows_b, columns_b, g.b + i * g.stride_b, g.ldb, b.get(), columns_b);
      if (g.beta != 0) convert_rows(device, g.m, g.n, out, g.ldc, c.get(), g.n);
      Gemm<float> wide{g.transpose_a, g.transpose_b, g.m, g.n, g.k, g.alpha};
      wide.a = a.get(), wide.lda = columns_a, wide.b = b.get(), wide.ldb = columns_b;
      wide.beta = g.beta, wide.c = c.get(), wide.ldc = g.n;
      device.gemm(wide);
      convert_rows(device, g.m, g.n, c.get(), g.n, out, g.ldc);
    }
  }
}

}  // namespace veneer::ops
