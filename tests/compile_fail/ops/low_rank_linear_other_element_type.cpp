// SPDX-License-Identifier: Apache-2.0
// expect: veneer::low_rank_linear(x, w, a, b): x, w, a and b must all be double, or none
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/linear.hpp"

using namespace veneer;

template <class T>
using M = Matrix<T, Cpu>;

auto product(const M<float>& x, const M<half>& w, const M<half>& a, const M<float>& b) {
#ifdef VENEER_MUST_FAIL
  return low_rank_linear(x, w, a, b, 1.0);
#else
  return low_rank_linear(x, w, convert<float>(a), b, 1.0);
#endif
}
