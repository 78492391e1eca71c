// SPDX-License-Identifier: Apache-2.0
// expect: veneer::scale_columns(x, g): x and g must be computed in the same type
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/axis_scale.hpp"

using Values = veneer::Tensor<veneer::bfloat16, veneer::Shape<4, 8>, veneer::Cpu>;
#ifdef VENEER_MUST_FAIL
using Factors = veneer::Parameter<double, veneer::Shape<8>, veneer::Cpu>;
#else
using Factors = veneer::Parameter<float, veneer::Shape<8>, veneer::Cpu>;
#endif

auto scaled(const Values& x, const Factors& g) { return veneer::scale_columns(x, g); }
