// SPDX-License-Identifier: Apache-2.0
/// \file for_each.hpp
/// body(i) for i in [0, count), a thread an index or two: cub::DeviceFor.
#pragma once

#include <cub/device/device_for.cuh>

#include "veneer/backend/cuda/context.hpp"

namespace veneer::gpu {

/// count is at least 1.
template <class Body>
void for_each(const Context& context, index_t count, const Body& body) {
  const DeviceScope scope(context.device());
  check(cub::DeviceFor::Bulk(count, body, context.stream()), "for_each");
}

}  // namespace veneer::gpu
