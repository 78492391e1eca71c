// SPDX-License-Identifier: Apache-2.0
// expect: veneer::linear(x, w): the last extent of x must equal the last extent of w
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/linear.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
constexpr veneer::index_t in = 5;
#else
constexpr veneer::index_t in = 4;
#endif

auto run(const veneer::Linear<Values<8, in>>& layer, const Values<veneer::dyn, 4>& x) { return layer(x); }
