// SPDX-License-Identifier: Apache-2.0
/// \file compiled.hpp
/// Declarations of the instantiations that most programs share. The CMake target veneer::compiled is a library with
/// these instantiations; it makes a target that links it include this header before each of its sources.
///
/// Without it, the default, every source file compiles all templates that it uses. A header of compiled/ is a list of
/// `extern template` declarations, and CMake generates the source of the library from it by omitting `extern`. The
/// lists contain templates that several source files of a program use and that take seconds to compile.
#pragma once

#include "veneer/compiled/adapters.hpp"  // IWYU pragma: export
#include "veneer/compiled/cpu.hpp"       // IWYU pragma: export
#include "veneer/compiled/llama.hpp"     // IWYU pragma: export
