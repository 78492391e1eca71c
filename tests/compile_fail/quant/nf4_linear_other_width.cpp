// SPDX-License-Identifier: Apache-2.0
// expect: veneer::linear(x, w): the last extent of x must equal the last extent of w
#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

using namespace veneer;

auto product(const Tensor<float, Shape<2, 64>, Cpu>& x, const Tensor<float, Shape<2, 32>, Cpu>& short_x,
             const NF4Tensor<Shape<8, 64>, Cpu>& w) {
#ifdef VENEER_MUST_FAIL
  return static_cast<void>(x), linear(short_x, w);
#else
  return static_cast<void>(short_x), linear(x, w);
#endif
}
