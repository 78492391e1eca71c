# SPDX-License-Identifier: Apache-2.0
# Decides whether this build has CUDA (VENEER_WITH_CUDA) and enables the language if so.

set(VENEER_WITH_CUDA OFF)
if(VENEER_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(VENEER_WITH_CUDA ON)
  endif()
elseif(VENEER_CUDA)
  set(VENEER_WITH_CUDA ON)
endif()

if(VENEER_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "${VENEER_CUDA_ARCHITECTURES}")
  endif()
  if(NOT DEFINED CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
    set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
  endif()
  enable_language(CUDA)
endif()
