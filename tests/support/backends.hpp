// SPDX-License-Identifier: Apache-2.0
/// \file
/// The backends that a typed test runs on: Cpu, and Cuda too where the file is compiled by nvcc.
///
///   TEMPLATE_LIST_TEST_CASE("what holds", "", testing::Backends) {
///     if (!testing::usable<TestType>()) return;
///     const TestType device;
///     ...
///   }
/// Functors for the verbs stand at namespace scope: a kernel cannot be given a local type.
#pragma once

#include <memory>
#include <tuple>
#include <type_traits>
#include <vector>

#include "veneer/backend/cpu.hpp"

#include "support/catch.hpp"
#if defined(__CUDACC__)
#include "veneer/backend/cuda.hpp"
#endif

namespace veneer::testing {

#if defined(__CUDACC__)
using Backends = std::tuple<Cpu, Cuda>;
#else
using Backends = std::tuple<Cpu>;
#endif

/// Whether the backend can compute here. Where it cannot, the case counts as skipped: ctest looks for this sentence. It
/// would cover up a failed CHECK before it, so only REQUIRE may stand before this call.
template <Backend B>
bool usable() {
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<B, Cuda>) {
    if (!Cuda::available()) {
      WARN("skipped: no CUDA device");
      return false;
    }
  }
#endif
  return true;
}

/// The values in memory of the device.
template <Scalar T, Backend B>
std::shared_ptr<T> upload(const B& device, const std::vector<T>& values) {
  std::shared_ptr<T> there = device.template allocate<T>(static_cast<index_t>(values.size()));
  device.copy_in(there.get(), values.data(), static_cast<index_t>(values.size()));
  return there;
}

/// The first `count` values in memory of the device.
template <Scalar T, Backend B>
std::vector<T> download(const B& device, const std::shared_ptr<T>& there, index_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  device.copy_out(values.data(), there.get(), count);
  return values;
}

}  // namespace veneer::testing
