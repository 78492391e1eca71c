// SPDX-License-Identifier: Apache-2.0
// expect: veneer::cross_entropy(logits, labels): logits must be a matrix (rows, classes)
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/cross_entropy.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Logits = Values<4>;
#else
using Logits = Values<1, 4>;
#endif

using Labels = veneer::Tensor<std::int32_t, veneer::Shape<veneer::dyn>, veneer::Cpu>;
auto loss(const Logits& logits, const Labels& labels) { return veneer::cross_entropy(logits, labels); }
