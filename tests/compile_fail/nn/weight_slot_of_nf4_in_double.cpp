// SPDX-License-Identifier: Apache-2.0
// expect: veneer::WeightSlot: a slot holds a quantised matrix that decodes to the slot's own type
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/weight_slot.hpp"

using namespace veneer;

auto slot(const NF4Tensor<Shape<dyn, dyn>, Cpu, double>& other, const NF4Tensor<Shape<dyn, dyn>, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return static_cast<void>(w), WeightSlot<float, Shape<dyn, dyn>, Cpu>(other);
#else
  return static_cast<void>(other), WeightSlot<float, Shape<dyn, dyn>, Cpu>(w);
#endif
}
