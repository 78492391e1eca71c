// SPDX-License-Identifier: Apache-2.0
// expect: veneer::backward(loss): loss must be a Variable of real values, recorded on a tape
#include "veneer/autograd/tape.hpp"
#include "veneer/backend/cpu.hpp"

#ifdef VENEER_MUST_FAIL
using Loss = veneer::Variable<std::int32_t, veneer::Shape<1>, veneer::Cpu>;
#else
using Loss = veneer::Variable<float, veneer::Shape<1>, veneer::Cpu>;
#endif

void go(const Loss& loss) { veneer::backward(loss); }
