// SPDX-License-Identifier: Apache-2.0
// expect: veneer::rope(x, cosines, sines): the angles must have the compute type of x
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/rope.hpp"

using Values = veneer::Tensor<veneer::bfloat16, veneer::Shape<4, 8>, veneer::Cpu>;
#ifdef VENEER_MUST_FAIL
using Angles = veneer::Tensor<veneer::bfloat16, veneer::Shape<4, 4>, veneer::Cpu>;
#else
using Angles = veneer::Tensor<float, veneer::Shape<4, 4>, veneer::Cpu>;
#endif

auto turned(const Values& x, const Angles& cosines, const Angles& sines) { return veneer::rope(x, cosines, sines); }
