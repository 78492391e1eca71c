// SPDX-License-Identifier: Apache-2.0
/// \file portable.hpp
/// VENEER_HD, the only macro of the library: marks a function that a kernel may call. Empty for a host compiler.
///
/// Tensors and shapes are never used in a kernel, so it marks only functors and the few functions that they call.
#pragma once

#if defined(__CUDACC__)
#define VENEER_HD __host__ __device__
#else
#define VENEER_HD
#endif
