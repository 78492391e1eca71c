// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// The kernels for AVX2 with fused multiply-add: blocks of 6 x 16 in 12 of 16 registers.
#pragma once

#if defined(__x86_64__)

#include "veneer/backend/cpu/kernels.hpp"

#if defined(__CUDACC__)
#pragma nv_diag_suppress 1675
#endif
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace veneer::cpu::avx2 {

inline constexpr int vector_bytes = 32, panel_rows = 6;
inline constexpr index_t panel_depth = 256;

#include "veneer/backend/cpu/vector_kernels.inl"

inline constexpr Kernels table = vector_kernels("avx2");

}  // namespace veneer::cpu::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
