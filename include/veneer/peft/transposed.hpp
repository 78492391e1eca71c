// SPDX-License-Identifier: Apache-2.0
/// \file transposed.hpp
/// transposed(x): xᵀ as a differentiable function, and transposed(x, count), which repeats the columns of x.
///
///   y_i = column i mod n of x      x: (rows, n)   y: (count, rows)
#pragma once

#include <cstdint>
#include <vector>

#include "veneer/ops/gather.hpp"

namespace veneer {

template <ValueLike X>
auto transposed(const X& x, index_t count) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(count));
  for (index_t i = 0; i < count; ++i) columns[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % x.extent(1));
  return gather_columns(x, from_host(Shape<dyn>(count), columns, x.device()));
}
template <ValueLike X>
auto transposed(const X& x) {
  return transposed(x, x.extent(1));
}

}  // namespace veneer
