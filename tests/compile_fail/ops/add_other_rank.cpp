// SPDX-License-Identifier: Apache-2.0
// expect: veneer::add(x, y): x and y must have the same shape
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Other = Values<4>;
#else
using Other = Values<veneer::dyn, 4>;
#endif

auto sum(const Values<veneer::dyn, 4>& x, const Other& y) { return veneer::add(x, y); }
