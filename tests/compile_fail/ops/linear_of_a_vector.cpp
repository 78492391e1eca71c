// SPDX-License-Identifier: Apache-2.0
// expect: veneer::linear(x, w): x and w must be matrices
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/linear.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Input = Values<4>;
#else
using Input = Values<1, 4>;
#endif

auto product(const Input& x, const Values<8, 4>& w) { return veneer::linear(x, w); }
