// SPDX-License-Identifier: Apache-2.0
/// \file check.hpp
/// check(status, call): a status of the CUDA runtime or of cuBLASLt becomes an exception that names the call, the error
/// and a remedy.
///
/// A kernel reports what went wrong in it at some later call: the message names the call that heard of it.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <string>

#include "veneer/core/error.hpp"

namespace veneer::gpu {

/// What to do about an error of the runtime; empty when there is nothing to say.
inline const char* remedy(cudaError_t status) {
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
      return "; look at nvidia-smi and at CUDA_VISIBLE_DEVICES, or compute on veneer::Cpu";
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
      return "; install a driver at least as new as the CUDA toolkit of this program, or compute on veneer::Cpu";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      return "; compile for the architecture of this device (-arch, or CMAKE_CUDA_ARCHITECTURES)";
    case cudaErrorMemoryAllocation: return "; a smaller batch, shorter sequences or checkpointing need less";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
    case cudaErrorMisalignedAddress:
      return "; an earlier kernel failed and the device is lost to this process: compute-sanitizer shows which one";
    default: return "";
  }
}

/// \param call what was being done, for the message: "gemm"
/// \throws MemoryError when memory of the device is used up, BackendError for every other failure
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that is reported once must not be met again by the next call
  const std::string message = std::string("veneer::Cuda: ") + call + ": " + cudaGetErrorName(status) + " (" +
                              cudaGetErrorString(status) + ")" + remedy(status);
  if (status == cudaErrorMemoryAllocation) throw MemoryError(message);
  throw BackendError(message);
}

/// The same for cuBLASLt.
inline void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string message = std::string("veneer::Cuda: ") + call + ": " + cublasLtGetStatusName(status) + " (" +
                              cublasLtGetStatusString(status) + ")";
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw MemoryError(message + remedy(cudaErrorMemoryAllocation));
  if (status == CUBLAS_STATUS_ARCH_MISMATCH) {
    throw BackendError(message + "; this cuBLAS has no kernels for the device: install one that matches it");
  }
  throw BackendError(message);
}

}  // namespace veneer::gpu
