// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"

#include "command.hpp"
#include "model_flags.hpp"

namespace veneer::program {

namespace {

struct ShippedRecipe {
  std::string_view name, text;
};

/// The files examples/recipes/*.yaml at build time.
constexpr std::array shipped_recipes{
#include "shipped_recipes.inc"
};

/// Returns the title of a recipe, its first line.
std::string_view title(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  return line.substr(std::min(line.size(), line.find_first_not_of("# ")));
}

int list_recipes() {
  for (const ShippedRecipe& recipe : shipped_recipes) {
    std::string name(recipe.name);
    name.resize(std::max<std::size_t>(name.size() + 1, 9), ' ');
    print(name);
    print(title(recipe.text));
    print("\n");
  }
  flush();
  return done;
}

int print_recipe(const std::string& name) {
  std::string known;
  for (const ShippedRecipe& recipe : shipped_recipes) {
    if (recipe.name == name) {
      print(recipe.text);
      flush();
      return done;
    }
    known += (known.empty() ? "" : ", ") + std::string(recipe.name);
  }
  throw ArgumentError("recipes: found \"" + name + "\", expected one of " + known);
}

}  // namespace

void add_recipes(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("recipes", "the shipped recipes, for train --config");
  auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "print this one");
  command->callback([&run, name] { run = [name] { return name->empty() ? list_recipes() : print_recipe(*name); }; });
}

}  // namespace veneer::program
