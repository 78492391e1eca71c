// SPDX-License-Identifier: Apache-2.0
// expect: veneer::Tensor::rows: expected a vector or a matrix
#include "veneer/backend/cpu.hpp"
#include "veneer/tensor/tensor.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Batch = Values<2, 3, 4>;
#else
using Batch = Values<6, 4>;
#endif

auto first_row(const Batch& x) { return x.rows(0, 1); }
