// SPDX-License-Identifier: Apache-2.0
/// \file cuda.hpp
/// Cuda: the four verbs on an NVIDIA device, implemented with CUB, Thrust's iterators and cuBLASLt, in the order
/// of one stream.
///
/// Link cudart and cublasLt; compile with nvcc and -std=c++20 --expt-relaxed-constexpr (the CMake target veneer::cuda
/// does). Results have the same bits in every run on one device: no order of summation depends on timing.
#pragma once

#if !defined(__CUDACC__)
#error "veneer/backend/cuda.hpp needs a CUDA compiler: use nvcc (in CMake: LANGUAGE CUDA) for this file, or veneer::Cpu"
#else

#include <concepts>
#include <cstddef>
#include <cuda_runtime_api.h>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cuda/context.hpp"
#include "veneer/backend/cuda/for_each.hpp"
#include "veneer/backend/cuda/matmul.hpp"
#include "veneer/backend/cuda/reduce.hpp"

namespace veneer {

/// A handle to a device, as large as a pointer: copies share the device's stream and memory. Constructing the default
/// one does not initialise the device; the first verb does. Several threads may use one device: their work runs in the
/// order of submission.
class Cuda {
 public:
  /// Constructs a handle to device 0.
  Cuda() = default;

  /// \param device  index from 0 to device_count() - 1
  /// \throws BackendError when there is no such device
  explicit Cuda(int device) : context_(&gpu::Context::of(device)) {}

  /// Returns the number of devices; 0 if there is no driver.
  static int device_count() noexcept {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    cudaGetLastError();
    return 0;
  }
  static bool available() noexcept { return device_count() > 0; }

  int device() const { return context_ == nullptr ? 0 : context_->device(); }

  /// Returns the product name, such as "NVIDIA H200".
  /// \throws BackendError when there is no device
  std::string name() const {
    cudaDeviceProp properties{};
    gpu::check(cudaGetDeviceProperties(&properties, device()), "cudaGetDeviceProperties");
    return properties.name;
  }

  /// Returns the current and the largest number of bytes used by tensors of this device, in all handles.
  gpu::MemoryUse memory() const { return context().memory(); }

  /// Allocates uninitialised memory for `count` values; it is freed, in stream order, with its last owner.
  /// \throws MemoryError when the device has no more
  template <Scalar T>
  std::shared_ptr<T> allocate(index_t count) const {
    if (count < 0) throw ShapeError("veneer::allocate: a negative count");
    if (count > std::numeric_limits<index_t>::max() / static_cast<index_t>(sizeof(T))) {
      throw MemoryError("veneer::Cuda: no device holds " + std::to_string(count) + " values");
    }
    gpu::Context& owner = context();
    T* block = static_cast<T*>(owner.take(static_cast<std::size_t>(count) * sizeof(T)));
    return std::shared_ptr<T>(block, [&owner](T* old) { owner.give_back(old); });
  }

  /// Copies from host to device. After it returns, the values on the host may be changed.
  template <Scalar T>
  void copy_in(T* there, const T* host, index_t count) const {
    copy(there, host, count, cudaMemcpyHostToDevice);
  }

  /// Copies from device to host; waits for all previous work.
  template <Scalar T>
  void copy_out(T* host, const T* there, index_t count) const {
    copy(host, there, count, cudaMemcpyDeviceToHost);
  }

  /// Calls body(i) for i in [0, count), in any order, concurrently.
  template <class Body>
  void for_each(index_t count, const Body& body, index_t = 1) const {
    if (count > 0) gpu::for_each(context(), count, body);
  }

  /// Calls body(r, c) for r in [0, rows) and c in [0, columns), in any order; neighbouring threads
  /// have neighbouring columns.
  template <class Body>
  void for_each(index_t rows, index_t columns, const Body& body, index_t = 1) const {
    if (rows > 0 && columns > 0) gpu::for_each(context(), rows, columns, body);
  }

  /// Computes out[r] = reduction of load(r, c) over c in [0, columns), for r in [0, rows).
  template <class Monoid, class Load>
  void reduce_rows(Monoid, index_t rows, index_t columns, const Load& load, typename Monoid::value_type* out) const {
    if (rows > 0) gpu::reduce_rows<Monoid>(context(), rows, columns, load, out);
  }

  template <Real T>
  void gemm(const Gemm<T>& problem) const {
    if (problem.m != 0 && problem.n != 0 && problem.batch != 0) gpu::matmul(context(), problem);
  }

  /// Waits for all previous work.
  /// \throws BackendError when some of it failed
  void synchronize() const { context().synchronize(); }

 private:
  gpu::Context& context() const {
    if (context_ != nullptr) return *context_;
    static gpu::Context& first = gpu::Context::of(0);
    return first;
  }

  template <Scalar T>
  void copy(T* to, const T* from, index_t count, cudaMemcpyKind kind) const {
    if (count <= 0) return;
    const gpu::Context& owner = context();
    const gpu::DeviceScope scope(owner.device());
    gpu::check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), kind, owner.stream()), "copy");
    owner.synchronize();  // also for copies to the device: CUDA may read the host memory after the call returns
  }

  gpu::Context* context_ = nullptr;  // null: device 0, initialised on first use
};

static_assert(Backend<Cuda>);
static_assert(sizeof(Cuda) == sizeof(void*) && std::is_nothrow_default_constructible_v<Cuda>);

}  // namespace veneer

#endif
