// SPDX-License-Identifier: Apache-2.0
/// \file context.hpp
/// What all handles on one device share: its stream, its pool of memory, a cuBLASLt handle with plans, a workspace.
///
/// Work runs in the order in which it is handed to the one stream. Memory is taken and given back in that order too
/// (cudaMallocAsync), so a block can be used again while the kernel that read it last is still waiting; the pool keeps
/// what is given back, so a training step after the first asks the driver for nothing. It is a pool of our own: the
/// device's default one, which other libraries use, keeps its settings.
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

/// Makes a device the current one of this thread for the length of a scope.
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

/// Bytes of a device now in use, their maximum, and bytes that its pool holds.
struct MemoryUse {
  std::size_t used = 0;
  std::size_t peak = 0;
  std::size_t reserved = 0;
};

class Context {
 public:
  /// The context of a device, made at the first call. It is never destroyed: a tensor of static storage may outlive
  /// everything else, the driver included.
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

  /// Held while kernels that use the workspace, or a plan, are handed over: two threads must not interleave theirs.
  std::unique_lock<std::mutex> exclusive() { return std::unique_lock<std::mutex>(mutex_); }
  void* workspace() const { return workspace_; }
  Plans& plans() { return plans_; }

  /// Uninitialised memory, aligned to 256 bytes. Cached memory is returned to the driver before giving up.
  /// \throws MemoryError with bytes asked, in use and free
  void* take(std::size_t bytes) {
    const DeviceScope scope(device_);
    bytes = std::max<std::size_t>(bytes, 1);  // a tensor without elements has an address too
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

  /// Ordered behind the work that was handed out before. No error is reported: when a process ends, the driver may be
  /// gone already.
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
