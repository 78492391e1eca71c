// SPDX-License-Identifier: Apache-2.0
// expect: veneer/backend/cuda.hpp needs a CUDA compiler
#ifdef VENEER_MUST_FAIL
#include "veneer/backend/cuda.hpp"
#else
#include "veneer/backend/cpu.hpp"
#endif
