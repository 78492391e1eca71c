// SPDX-License-Identifier: Apache-2.0
/// \file flag_conflicts.hpp
/// Checks for flags that contradict the settings of a checkpoint or an adapter. Every given flag, on the command line
/// or in a recipe, is compared with the saved setting of the same name.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "veneer/io/json.hpp"

namespace veneer::program {

/// Returns the long names, without dashes, of the given flags.
std::vector<std::string> given_flags(const CLI::App& command);

/// Compares the given flags with saved settings. Flags without a saved setting, such as `--threads`, belong to the call
/// and are not compared. A saved null is a setting that does not exist there. Texts agree if they are equal numbers,
/// the same names in another order, or paths of the same file.
/// \param flags  the settings of the flags, by flag
/// \param where  the file with the saved settings
/// \param advice  the remedy
/// \throws ArgumentError that lists every contradiction
void refuse_conflicts(const std::vector<std::string>& given, const Json& flags, const Json& saved,
                      const std::string& where, const std::string& advice);

}  // namespace veneer::program
