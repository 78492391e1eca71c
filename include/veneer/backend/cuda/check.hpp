// SPDX-License-Identifier: Apache-2.0
/// \file check.hpp
/// check(status, call): throws for an error of the CUDA runtime or of cuBLASLt, with the call, the error and a remedy.
///
/// Kernel errors are asynchronous: the message names the call that observed the error.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <string>

#include "veneer/core/error.hpp"

namespace veneer::gpu {

/// Returns the remedy for an error of the runtime, or an empty text.
inline const char* remedy(cudaError_t status) {
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable: return "; check nvidia-smi and CUDA_VISIBLE_DEVICES, or compute on veneer::Cpu";
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

/// \param call  name of the operation in the message, such as "gemm"
/// \throws MemoryError when the memory of the device is exhausted, BackendError for every other failure
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears the error, so that the next call does not report it again
  const std::string message = std::string("veneer::Cuda: ") + call + ": " + cudaGetErrorName(status) + " (" +
                              cudaGetErrorString(status) + ")" + remedy(status);
  if (status == cudaErrorMemoryAllocation) throw MemoryError(message);
  throw BackendError(message);
}

/// Throws for an error of cuBLASLt.
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
