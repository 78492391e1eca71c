// SPDX-License-Identifier: Apache-2.0
// expect: veneer::Tape::variable(x): a gradient needs real values
#include "veneer/autograd/tape.hpp"
#include "veneer/backend/cpu.hpp"

#ifdef VENEER_MUST_FAIL
using Values = veneer::Tensor<std::int32_t, veneer::Shape<4>, veneer::Cpu>;
#else
using Values = veneer::Tensor<float, veneer::Shape<4>, veneer::Cpu>;
#endif

auto variable(veneer::Tape& tape, const Values& x) { return tape.variable(x); }
