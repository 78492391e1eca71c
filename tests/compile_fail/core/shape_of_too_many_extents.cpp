// SPDX-License-Identifier: Apache-2.0
// expect: veneer::shape_of: expected one extent per axis
#include "veneer/core/shape.hpp"

auto shape() {
#ifdef VENEER_MUST_FAIL
  return veneer::shape_of<veneer::Shape<veneer::dyn, 4>>(8, 4, 2);
#else
  return veneer::shape_of<veneer::Shape<veneer::dyn, 4>>(8, 4);
#endif
}
