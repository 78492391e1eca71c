// SPDX-License-Identifier: Apache-2.0
/// \file
/// The backends of typed tests: Cpu, and also Cuda if the file is compiled by nvcc.
///
///   TEMPLATE_LIST_TEST_CASE("what holds", "", testing::Backends) {
///     if (!testing::usable<TestType>()) return;
///     const TestType device;
///     ...
///   }
/// Functors for the verbs must be at namespace scope: a kernel cannot have a local type as an argument.
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

/// Returns whether the backend is usable. If not, the case is skipped: ctest searches this sentence. It would hide a
/// failed CHECK before it, so only REQUIRE may precede this call.
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

/// Copies values to memory of the device.
template <Scalar T, Backend B>
std::shared_ptr<T> upload(const B& device, const std::vector<T>& values) {
  std::shared_ptr<T> there = device.template allocate<T>(static_cast<index_t>(values.size()));
  device.copy_in(there.get(), values.data(), static_cast<index_t>(values.size()));
  return there;
}

/// Returns the first `count` values in memory of the device.
template <Scalar T, Backend B>
std::vector<T> download(const B& device, const std::shared_ptr<T>& there, index_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  device.copy_out(values.data(), there.get(), count);
  return values;
}

}  // namespace veneer::testing
