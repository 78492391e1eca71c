// SPDX-License-Identifier: Apache-2.0
// expect: veneer::linear(x, w): x and w must both be double, or neither
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/linear.hpp"

using namespace veneer;

auto product(const Matrix<double, Cpu>& x, const Matrix<bfloat16, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return linear(x, w);
#else
  return linear(convert<float>(x), w);
#endif
}
