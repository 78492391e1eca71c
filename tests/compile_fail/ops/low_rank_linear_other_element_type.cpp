// SPDX-License-Identifier: Apache-2.0
// expect: veneer::low_rank_linear(x, w, a, b): x, w, a and b must all be double, or none
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/linear.hpp"

using namespace veneer;

auto product(const Matrix<float, Cpu>& x, const Matrix<float, Cpu>& w, const Matrix<double, Cpu>& a,
             const Matrix<float, Cpu>& b) {
#ifdef VENEER_MUST_FAIL
  return low_rank_linear(x, w, a, b, 1.0);
#else
  return low_rank_linear(x, w, convert<float>(a), b, 1.0);
#endif
}
