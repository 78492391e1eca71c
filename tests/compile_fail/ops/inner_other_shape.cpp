// SPDX-License-Identifier: Apache-2.0
// expect: veneer::dot(x, y): x and y must have the same shape
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/reduce.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
constexpr veneer::index_t columns = 5;
#else
constexpr veneer::index_t columns = 4;
#endif

auto result(const Values<veneer::dyn, 4>& x, const Values<veneer::dyn, columns>& y) { return veneer::dot(x, y); }
