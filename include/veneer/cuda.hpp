// SPDX-License-Identifier: Apache-2.0
/// \file cuda.hpp
/// The CUDA backend: for sources that nvcc compiles.
#pragma once

#include "veneer/backend/cuda.hpp"  // IWYU pragma: export
