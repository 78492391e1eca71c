// SPDX-License-Identifier: Apache-2.0
/// \file suggestion.hpp
/// The next command to run, as one line on stderr that can be pasted into a shell. Words in capitals (MODEL, DATA) are
/// placeholders for what the program can't know.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace veneer::program {

/// A path or value as one word of a POSIX shell, in quotes where it needs them.
std::string shell_word(const std::string& text);

/// Prints "next: veneer ..." with each word as a shell reads it.
void suggest(const std::vector<std::string>& words);

/// A folder for a new run, named after the data or model and not there yet: out/NAME, out/NAME-2, ...
std::string new_run_folder(const std::filesystem::path& named_after);

}  // namespace veneer::program
