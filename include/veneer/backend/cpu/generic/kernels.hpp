// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// The kernels for the baseline of the target: SSE2 on x86-64, NEON on ARM.
#pragma once

#include "veneer/backend/cpu/kernels.hpp"

#if defined(__CUDACC__)
#pragma nv_diag_suppress 1675  // nvcc does not know GCC's unroll, which its host compiler does
#endif

namespace veneer::cpu::generic {

inline constexpr int vector_bytes = 16, panel_rows = 6;
inline constexpr index_t panel_depth = 256;

#include "veneer/backend/cpu/vector_kernels.inl"

inline constexpr Kernels table = vector_kernels("generic");

}  // namespace veneer::cpu::generic
