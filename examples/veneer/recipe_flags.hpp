// SPDX-License-Identifier: Apache-2.0
/// \file recipe_flags.hpp
/// RecipeFlags: --config, in which the keys of a recipe are the long flags of a subcommand, and the
/// values their arguments.
///
/// The command line takes precedence over the recipe, and the recipe over the defaults. Keys and values are checked by
/// the options of the subcommand.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "veneer/core/error.hpp"

#include "recipe_file.hpp"

namespace veneer::program {

/// The type name of an option with names separated by commas: a list in a recipe is joined for it.
inline constexpr const char* names_type = "NAMES";

class RecipeFlags {
 public:
  void add_to(CLI::App& command) {
    command.add_option("--config", path_, "flags as YAML, without their dashes; given flags take precedence");
  }

  bool given() const { return !path_.empty(); }

  /// Reads the file and sets the options that are not on the command line. Keys in `passed_over` are checked
  /// but not used.
  /// \throws RecipeError, FormatError, IoError
  void apply(CLI::App& command, const std::vector<std::string>& passed_over = {});

  /// Calls f(); if it throws for a flag whose value came from the recipe, the error names the recipe's line.
  template <class F>
  auto naming_lines(const F& f) const {
    try {
      return f();
    } catch (const ArgumentError& error) {
      rethrow(error);
    }
  }

 private:
  void give(CLI::Option& option, const RecipeEntry& entry) const;
  [[noreturn]] void rethrow(const ArgumentError& error) const;
  [[noreturn]] void fail(const RecipeEntry& entry, const std::string& message) const;

  std::string path_;
  std::map<std::string, std::size_t> lines_;  // the line of each flag in the file
};

}  // namespace veneer::program
