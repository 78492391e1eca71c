// SPDX-License-Identifier: Apache-2.0
/// \file compiled.hpp
/// What most programs instantiate, declared as instantiated elsewhere. The CMake target veneer::compiled is a library
/// that holds these instantiations; a target that links it compiles each of its sources with this header in front.
///
/// Without it, the default, every source file compiles what it uses. A header of compiled/ is a list of `extern
/// template` declarations, and CMake makes the source of the library from it by leaving out `extern`. Listed is what
/// several source files of a program share and what takes seconds to compile.
#pragma once

#include "veneer/compiled/adapters.hpp"  // IWYU pragma: export
#include "veneer/compiled/cpu.hpp"       // IWYU pragma: export
#include "veneer/compiled/llama.hpp"     // IWYU pragma: export
