// SPDX-License-Identifier: Apache-2.0
// expect: veneer::Tensor::rows: a tensor of rank 0 has no rows
#include "veneer/backend/cpu.hpp"
#include "veneer/tensor/tensor.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using One = Values<>;
#else
using One = Values<1>;
#endif

auto first_row(const One& x) { return x.rows(0, 1); }
