// SPDX-License-Identifier: Apache-2.0
// expect: veneer::gather: expected a matrix and a vector of int32 indices
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/gather.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Ids = veneer::Tensor<float, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#else
using Ids = veneer::Tensor<std::int32_t, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#endif

auto picked(const Values<6, 4>& x, const Ids& ids) { return veneer::gather_columns(x, ids); }
