// SPDX-License-Identifier: Apache-2.0
// expect: veneer::checkpoint(f, x): a parameter is on no tape and its gradient would be lost; use on_tape(parameter,
// tape)
#include "veneer/autograd/checkpoint.hpp"
#include "veneer/backend/cpu.hpp"

#ifdef VENEER_MUST_FAIL
using Input = veneer::Parameter<float, veneer::Shape<2, 4>, veneer::Cpu>;
#else
using Input = veneer::Variable<float, veneer::Shape<2, 4>, veneer::Cpu>;
#endif

auto again(const Input& x) {
  return veneer::checkpoint([](const auto& value) { return value; }, x);
}
