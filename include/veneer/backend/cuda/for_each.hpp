// SPDX-License-Identifier: Apache-2.0
/// \file for_each.hpp
/// for_each on a device. body(i) for i in [0, count) uses cub::DeviceFor. body(r, c) over two extents uses a grid of
/// blocks that are as wide as a row, up to 256 threads: neighbouring threads have neighbouring columns, and few threads
/// are idle for narrow rows.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include <cub/device/device_for.cuh>

#include "veneer/backend/cuda/context.hpp"

namespace veneer::gpu {

/// Runs body(i); count is at least 1.
template <class Body>
void for_each(const Context& context, index_t count, const Body& body) {
  const DeviceScope scope(context.device());
  check(cub::DeviceFor::Bulk(count, body, context.stream()), "for_each");
}

template <class Body>
__global__ void for_each_kernel(index_t rows, index_t columns, Body body) {
  const index_t down = static_cast<index_t>(gridDim.y) * blockDim.y;
  const index_t across = static_cast<index_t>(gridDim.x) * blockDim.x;
  for (index_t r = static_cast<index_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < rows; r += down) {
    for (index_t c = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < columns; c += across) body(r, c);
  }
}

/// Runs body(r, c); both extents are at least 1.
template <class Body>
void for_each(const Context& context, index_t rows, index_t columns, const Body& body) {
  constexpr index_t threads = 256, most_blocks = 65535;  // of the second axis of a grid
  const DeviceScope scope(context.device());
  const index_t width = std::min(threads, static_cast<index_t>(std::bit_ceil(static_cast<std::uint64_t>(columns))));
  const index_t height = threads / width;
  const dim3 block(static_cast<unsigned>(width), static_cast<unsigned>(height));
  const dim3 grid(static_cast<unsigned>(std::min(most_blocks, ceil_div(columns, width))),
                  static_cast<unsigned>(std::min(most_blocks, ceil_div(rows, height))));
  for_each_kernel<<<grid, block, 0, context.stream()>>>(rows, columns, body);
  check(cudaGetLastError(), "for_each");
}

}  // namespace veneer::gpu
