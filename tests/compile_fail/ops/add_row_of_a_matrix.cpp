// SPDX-License-Identifier: Apache-2.0
// expect: veneer::add_row(x, row): x must be a matrix and row a vector
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Row = Values<4, 4>;
#else
using Row = Values<4>;
#endif

auto sum(const Values<veneer::dyn, 4>& x, const Row& row) { return veneer::add_row(x, row); }
