// SPDX-License-Identifier: Apache-2.0
// expect: veneer::cross_entropy(logits, labels): labels must be a vector of int32
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/cross_entropy.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Labels = veneer::Tensor<float, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#else
using Labels = veneer::Tensor<std::int32_t, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#endif

auto loss(const Values<veneer::dyn, 4>& logits, const Labels& labels) { return veneer::cross_entropy(logits, labels); }
