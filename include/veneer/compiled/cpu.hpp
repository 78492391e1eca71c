// SPDX-License-Identifier: Apache-2.0
/// \file cpu.hpp
/// Explicit instantiations used by every program on the CPU: the kernels of all instruction sets, and
/// matmuls. See veneer/compiled.hpp.
#pragma once

#include "veneer/backend/cpu.hpp"

namespace veneer::cpu {

extern template const InstructionSets& instruction_sets<void>();
extern template void matmul<void>(const Matmul&);

}  // namespace veneer::cpu
