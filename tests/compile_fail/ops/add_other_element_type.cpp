// SPDX-License-Identifier: Apache-2.0
// expect: veneer: both operands must hold the same element type
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/pointwise.hpp"

using namespace veneer;

auto sum(const Matrix<float, Cpu>& x, const Matrix<double, Cpu>& y) {
#ifdef VENEER_MUST_FAIL
  return add(x, y);
#else
  return add(convert<double>(x), y);
#endif
}
