// SPDX-License-Identifier: Apache-2.0
/// \file flag_conflicts.hpp
/// Flags that contradict the settings of a checkpoint or an adapter. Every flag that was given, on the command line or
/// by a recipe, is compared with the saved setting of the same name.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "veneer/io/json.hpp"

namespace veneer::program {

/// The long names, without dashes, of the flags that were given.
std::vector<std::string> given_flags(const CLI::App& command);

/// Compares the given flags with saved settings. Flags without a saved setting are about the call, as `--threads` is:
/// they are not compared. A saved null is a setting that does not exist there. Texts agree when they are the same
/// numbers, the same names in another order, or paths of the same file.
/// \param flags  the settings as the flags say, by flag
/// \param where  the file that holds the saved settings
/// \param advice  what to do instead
/// \throws ArgumentError that lists every contradiction
void refuse_conflicts(const std::vector<std::string>& given, const Json& flags, const Json& saved,
                      const std::string& where, const std::string& advice);

}  // namespace veneer::program
