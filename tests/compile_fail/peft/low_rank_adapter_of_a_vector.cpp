// SPDX-License-Identifier: Apache-2.0
// expect: veneer::LowRankAdapter(weight): the shape must be that of a matrix (out, in)
#include "veneer/backend/cpu.hpp"
#include "veneer/peft/lora.hpp"

#ifdef VENEER_MUST_FAIL
using Weight = veneer::Shape<8>;
#else
using Weight = veneer::Shape<8, 4>;
#endif

auto adapter() { return veneer::LowRankAdapter<veneer::Cpu, 2>(Weight()); }
