// SPDX-License-Identifier: Apache-2.0
// expect: veneer::rms_norm(x, w): x must be a matrix and w a vector
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/rms_norm.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Input = Values<4>;
#else
using Input = Values<1, 4>;
#endif

auto norm(const Input& x, const Values<4>& w) { return veneer::rms_norm(x, w, 1e-6); }
