// SPDX-License-Identifier: Apache-2.0
// expect: veneer::softmax(x): x must be a matrix; each row is normalised
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/softmax.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Input = Values<4>;
#else
using Input = Values<1, 4>;
#endif

auto shares(const Input& x) { return veneer::softmax(x); }
