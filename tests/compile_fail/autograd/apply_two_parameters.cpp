// SPDX-License-Identifier: Apache-2.0
// expect: veneer::apply(op, parameter): parameters alone are on no tape and their gradient would be lost
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

#ifdef VENEER_MUST_FAIL
using Operand = veneer::Parameter<float, veneer::Shape<2, 4>, veneer::Cpu>;
#else
using Operand = veneer::Variable<float, veneer::Shape<2, 4>, veneer::Cpu>;
#endif

auto sum(const Operand& x, const veneer::Parameter<float, veneer::Shape<2, 4>, veneer::Cpu>& y) {
  return veneer::add(x, y);
}
