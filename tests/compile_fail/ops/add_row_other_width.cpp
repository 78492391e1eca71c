// SPDX-License-Identifier: Apache-2.0
// expect: veneer::add_row(x, row): the last extent of x must equal the extent of row
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
constexpr veneer::index_t columns = 5;
#else
constexpr veneer::index_t columns = 4;
#endif

auto sum(const Values<veneer::dyn, 4>& x, const Values<columns>& row) { return veneer::add_row(x, row); }
