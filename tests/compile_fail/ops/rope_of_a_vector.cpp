// SPDX-License-Identifier: Apache-2.0
// expect: veneer::rope(x, cosines, sines): all three must be matrices, one row per token
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/rope.hpp"

using namespace veneer;

auto turned(const Vector<float, Cpu>& x, const Matrix<float, Cpu>& angles) {
#ifdef VENEER_MUST_FAIL
  return rope(x, angles, angles);
#else
  return rope(x.reshape(Shape<dyn, dyn>(1, x.extent(0))), angles, angles);
#endif
}
