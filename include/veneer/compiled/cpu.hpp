// SPDX-License-Identifier: Apache-2.0
/// \file cpu.hpp
/// Explicit instantiations of what every program on the CPU uses: the kernels of all instruction sets, and
/// products. See veneer/compiled.hpp.
#pragma once

#include "veneer/backend/cpu.hpp"

namespace veneer::cpu {

extern template const InstructionSets& instruction_sets<void>();
extern template void multiply<void>(const Product&);

}  // namespace veneer::cpu
