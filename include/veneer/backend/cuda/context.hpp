// SPDX-License-Identifier: Apache-2.0
/// \file context.hpp
/// The state shared by all handles to one device: its stream, its memory pool, a cuBLASLt handle with
/// plans, a workspace.
///
/// All work is submitted to one stream and runs in order. Memory is allocated and freed in the same order
/// (cudaMallocAsync), so a block can be reused while the kernel that read it last is still queued. The pool caches
/// freed memory, so after the first training step the driver is not called. The library has its own pool: the device's
/// default pool, which other libraries use, keeps its settings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "veneer/backend/cuda/check.hpp"
#include "veneer/backend/cuda/plan.hpp"

namespace veneer::gpu {

/// A scope in which a device is the current one of this thread.
class DeviceScope {
 public:
  explicit DeviceScope(int device) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    if (before_ == device) return;
    check(cudaSetDevice(device), "cudaSetDevice");
    changed_ = true;
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope() {
    if (changed_) cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
  bool changed_ = false;
};

/// The bytes of a device in use, their maximum, and the bytes held by its pool.
struct MemoryUse {
  std::size_t used = 0;
  std::size_t peak = 0;
  std::size_t reserved = 0;
};

class Context {
 public:
  /// Returns the context of a device, created at the first call. It is never destroyed, since a tensor with static
  /// storage may outlive everything else, including the driver.
  /// \throws BackendError when there is no such device
  static Context& of(int device) {
    static std::mutex mutex;
    static std::vector<Context*>& all = *new std::vector<Context*>;
    const std::lock_guard<std::mutex> lock(mutex);
    for (Context* made : all) {
      if (made->device_ == device) return *made;
    }
    all.reserve(all.size() + 1);
    all.push_back(new Context(device));
    return *all.back();
  }

  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  cublasLtHandle_t handle() const { return handle_; }

  /// Returns a lock to hold while kernels that use the workspace or a plan are submitted: two threads must
  /// not interleave them.
  std::unique_lock<std::mutex> exclusive() { return std::unique_lock<std::mutex>(mutex_); }
  void* workspace() const { return workspace_; }
  Plans& plans() { return plans_; }

  /// Allocates uninitialised memory, aligned to 256 bytes. Before it fails, cached memory is returned to the driver.
  /// \throws MemoryError with the bytes requested, in use and free
  void* take(std::size_t bytes) {
    const DeviceScope scope(device_);
    bytes = std::max<std::size_t>(bytes, 1);  // a tensor without elements also has an address
    void* block = nullptr;
    cudaError_t status = cudaMallocFromPoolAsync(&block, bytes, pool_, stream_);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      synchronize();
      check(cudaMemPoolTrimTo(pool_, 0), "cudaMemPoolTrimTo");
      status = cudaMallocFromPoolAsync(&block, bytes, pool_, stream_);
    }
    if (status == cudaErrorMemoryAllocation) out_of_memory(bytes);
    check(status, "cudaMallocAsync");
    return block;
  }

  /// Frees memory after all previous work. Errors are ignored: when a process ends, the driver may already be unloaded.
  void give_back(void* block) noexcept { cudaFreeAsync(block, stream_); }

  MemoryUse memory() const {
    return {attribute(cudaMemPoolAttrUsedMemCurrent), attribute(cudaMemPoolAttrUsedMemHigh),
            attribute(cudaMemPoolAttrReservedMemCurrent)};
  }

  void synchronize() const { check(cudaStreamSynchronize(stream_), "synchronize"); }

 private:
  explicit Context(int device) : device_(device) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "looking for a CUDA device");
    if (device < 0 || device >= count) {
      throw BackendError("veneer::Cuda: there is no device " + std::to_string(device) + ", there are " +
                         std::to_string(count) + remedy(cudaErrorInvalidDevice));
    }
    const DeviceScope scope(device);
    int pools = 0;
    check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device), "cudaDeviceGetAttribute");
    expects<BackendError>(pools != 0,
                          "veneer::Cuda: this device or its driver has no stream-ordered memory (cudaMallocAsync)");
    check(cublasLtCreate(&handle_), "cublasLtCreate");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");

    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    check(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
    std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
    workspace_ = take(workspace_bytes);
  }

  std::size_t attribute(cudaMemPoolAttr which) const {
    std::uint64_t value = 0;
    check(cudaMemPoolGetAttribute(pool_, which, &value), "cudaMemPoolGetAttribute");
    return static_cast<std::size_t>(value);
  }

  [[noreturn]] void out_of_memory(std::size_t bytes) const {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw MemoryError("veneer::Cuda: the device gave no " + std::to_string(bytes) + " bytes (" +
                      std::to_string(memory().used) + " bytes are in use, " + std::to_string(free) + " of " +
                      std::to_string(total) + " are free)" + remedy(cudaErrorMemoryAllocation));
  }

  int device_;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::mutex mutex_;
  Plans plans_;
};

}  // namespace veneer::gpu
