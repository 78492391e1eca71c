// SPDX-License-Identifier: Apache-2.0
// expect: veneer::low_rank_linear(x, w, a, b): the last extent of x must equal the last extent of w
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/linear.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
using Other = Values<8, 5>;
#else
using Other = Values<8, 4>;
#endif

auto product(const Values<veneer::dyn, 4>& x, const Other& w, const Values<2, 4>& a, const Values<8, 2>& b) {
  return veneer::low_rank_linear(x, w, a, b, 2.0);
}
