// SPDX-License-Identifier: Apache-2.0
/// \file cuda.hpp
/// The CUDA backend, for sources compiled by nvcc.
#pragma once

#include "veneer/backend/cuda.hpp"  // IWYU pragma: export
