// SPDX-License-Identifier: Apache-2.0
// expect: veneer::unify_t: both shapes must have the same rank
#include "veneer/core/shape.hpp"

#ifdef VENEER_MUST_FAIL
using Other = veneer::Shape<3, 4, 5>;
#else
using Other = veneer::Shape<3, 4>;
#endif
static_assert(veneer::unify_t<veneer::Shape<veneer::dyn, 4>, Other>::rank == 2);
