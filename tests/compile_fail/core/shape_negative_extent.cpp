// SPDX-License-Identifier: Apache-2.0
// expect: veneer::Shape: an extent must be dyn or at least 0
#include "veneer/core/shape.hpp"

#ifdef VENEER_MUST_FAIL
constexpr veneer::Shape<3, -2> shape;
#else
constexpr veneer::Shape<3, 2> shape;
#endif
static_assert(shape.rank == 2);
