// SPDX-License-Identifier: Apache-2.0
// expect: veneer::WeightSlot: a slot of float holds float, bfloat16 or half
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/weight_slot.hpp"

using namespace veneer;

auto slot(const Matrix<double, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return WeightSlot<float, Shape<dyn, dyn>, Cpu>(w);
#else
  return WeightSlot<float, Shape<dyn, dyn>, Cpu>(convert<bfloat16>(w));
#endif
}
