// SPDX-License-Identifier: Apache-2.0
// expect: veneer::attention(q, k, v): q, k and v must be matrices (tokens, heads * d)
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/attention.hpp"

using namespace veneer;

auto attended(const Vector<float, Cpu>& q, const Matrix<float, Cpu>& k) {
#ifdef VENEER_MUST_FAIL
  return attention(q, k, k, AttentionLayout::packed({1}), 1, 1);
#else
  return attention(q.reshape(Shape<dyn, dyn>(1, q.extent(0))), k, k, AttentionLayout::packed({1}), 1, 1);
#endif
}
