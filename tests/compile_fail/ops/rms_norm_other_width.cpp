// SPDX-License-Identifier: Apache-2.0
// expect: veneer::rms_norm(x, w): the last extent of x must equal the extent of w
#include "veneer/backend/cpu.hpp"
#include "veneer/ops/rms_norm.hpp"

template <veneer::index_t... Extents>
using Values = veneer::Tensor<float, veneer::Shape<Extents...>, veneer::Cpu>;

#ifdef VENEER_MUST_FAIL
constexpr veneer::index_t features = 5;
#else
constexpr veneer::index_t features = 4;
#endif

auto norm(const Values<veneer::dyn, 4>& x, const Values<features>& w) { return veneer::rms_norm(x, w, 1e-6); }
