// SPDX-License-Identifier: Apache-2.0
/// \file suggestion.hpp
/// Suggests the next command, as one line on stderr that can be pasted into a shell. Words in capitals (MODEL,
/// DATA) are placeholders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace veneer::program {

/// Returns a path or value as one word of a POSIX shell, in quotes if necessary.
std::string shell_word(const std::string& text);

/// Prints "next: veneer ..." with each word quoted for a shell.
void suggest(const std::vector<std::string>& words);

/// Returns a new folder for a run, named after the data or model: out/NAME, out/NAME-2, ...
std::string new_run_folder(const std::filesystem::path& named_after);

}  // namespace veneer::program
