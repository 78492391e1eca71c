// SPDX-License-Identifier: Apache-2.0
// expect: x and w must both be double, or neither
#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

using namespace veneer;

auto product(const Matrix<double, Cpu>& x, const NF4Tensor<Shape<dyn, dyn>, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return linear(x, w);
#else
  return linear(x, NF4Tensor<Shape<dyn, dyn>, Cpu, double>(w));
#endif
}
