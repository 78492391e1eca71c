// SPDX-License-Identifier: Apache-2.0
/// \file module_choice.hpp
/// ModuleChoice: a selection of modules by name, as in the settings of adapters.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "veneer/peft/name_pattern.hpp"

namespace veneer {

/// A choice of modules: none, by the ends of their names, by a regular expression over the whole name, or all of
/// the linear modules.
struct ModuleChoice {
  enum class Kind { none, names, regex, all_linear };

  Kind kind = Kind::none;
  std::vector<std::string> names;  // for Kind::names
  std::string pattern;             // for Kind::regex

  ModuleChoice() = default;
  ModuleChoice(std::initializer_list<std::string> list) : kind(Kind::names), names(list) {}
  ModuleChoice(std::vector<std::string> list) : kind(Kind::names), names(std::move(list)) {}  // NOLINT: reads as a list

  static ModuleChoice regex(std::string pattern) {
    ModuleChoice choice;
    choice.kind = Kind::regex;
    choice.pattern = std::move(pattern);
    return choice;
  }
  static ModuleChoice all_linear() {
    ModuleChoice choice;
    choice.kind = Kind::all_linear;
    return choice;
  }

  bool operator==(const ModuleChoice&) const = default;
};

/// The kind of a module, for "all-linear".
enum class ModuleKind {
  linear,
  output_head,  // the linear module of the logits, or of class scores: not part of all-linear
  embedding,
  other,
};

/// Returns whether a module is in a choice by PEFT's looser rule: an entry of a list matches any end of its
/// name, ignoring dots.
inline bool ends_in(const ModuleChoice& choice, const std::string& name) {
  if (choice.kind == ModuleChoice::Kind::regex) return NamePattern(choice.pattern, "modules").full_match(name);
  return std::any_of(choice.names.begin(), choice.names.end(),
                     [&](const std::string& entry) { return name.ends_with(entry); });
}

}  // namespace veneer
