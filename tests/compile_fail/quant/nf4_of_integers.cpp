// SPDX-License-Identifier: Apache-2.0
// expect: veneer::NF4Tensor(w): w must hold float, half, bfloat16 or double
#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

using namespace veneer;

auto quantised(const Matrix<std::int32_t, Cpu>& ids, const Matrix<float, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return static_cast<void>(w), NF4Tensor(ids);
#else
  return static_cast<void>(ids), NF4Tensor(w);
#endif
}
