// SPDX-License-Identifier: Apache-2.0
#include "recipe_flags.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "veneer/io/file.hpp"

#include "command.hpp"

namespace veneer::program {

namespace {

/// Returns the least number of characters to insert, remove or replace to convert one text to the other.
std::size_t edit_distance(const std::string& from, const std::string& to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

/// Returns whether a flag belongs to the call, not to the run.
bool belongs_to_the_call(const std::string& key) { return key == "config" || key == "help" || key == "resume"; }

/// Returns the known key that is nearest to the given one, unless none is near.
std::optional<std::string> nearest_key(const CLI::App& command, const std::string& key) {
  const std::string written = key.substr(0, 64);
  std::size_t best = std::max<std::size_t>(2, written.size() / 2) + 1;
  std::optional<std::string> nearest;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::size_t distance = edit_distance(written, name);
      if (belongs_to_the_call(name) || distance >= best) continue;
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }
bool repeats(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

/// Returns the expected values of an option in words. CLI11 has them as "INT:POSITIVE" or "TEXT:{a,b}".
std::string expected_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t colon = type.find(':');
  const std::string base = type.substr(0, colon);
  const std::string check = colon == std::string::npos ? "" : type.substr(colon + 1);
  if (const std::size_t set = check.find('{'); set != std::string::npos) return "one of " + check.substr(set);
  std::string words = base == "INT" || base == "UINT" ? "a whole number"
                      : base == "FLOAT"               ? "a number"
                      : base == names_type            ? "names"
                                                      : "a text";
  if (repeats(option)) words += ", or a list of such";
  if (check == "POSITIVE") return words + " above 0";
  if (check == "NONNEGATIVE" || base == "UINT") return words + " of at least 0";
  if (const std::size_t in = check.find(" in ["); in != std::string::npos) return words + check.substr(in);
  return words;
}

}  // namespace

void RecipeFlags::fail(const RecipeEntry& entry, const std::string& message) const {
  throw FormatError(path_ + ": line " + std::to_string(entry.line) + ": \"" + printable(entry.key, 40) +
                    "\": " + message);
}

void RecipeFlags::apply(CLI::App& command, const std::vector<std::string>& passed_over) {
  const std::vector<RecipeEntry> entries = read_recipe(read_text(path_, std::size_t{1} << 20), path_);
  std::map<const CLI::Option*, const RecipeEntry*> seen;
  for (const RecipeEntry& entry : entries) {
    if (belongs_to_the_call(entry.key)) fail(entry, "can only be given on the command line");
    CLI::Option* option = command.get_option_no_throw("--" + entry.key);
    if (option == nullptr) {
      const auto nearest = nearest_key(command, entry.key);
      fail(entry, "is not a key of a recipe; " +
                      (nearest ? "did you mean \"" + *nearest + "\"?"
                               : "the keys are the flags of veneer " + command.get_name() + " without their dashes"));
    }
    const auto [same, added] = seen.emplace(option, &entry);
    if (!added)
      fail(entry, "has the same meaning as \"" + same->second->key + "\" on line " +
                      std::to_string(same->second->line) + "; omit one of the two");
    const bool unused = std::find(passed_over.begin(), passed_over.end(), entry.key) != passed_over.end();
    if (unused || option->count() > 0) continue;
    give(*option, entry);
    for (const std::string& name : option->get_lnames()) lines_.emplace(name, entry.line);
  }
}

void RecipeFlags::give(CLI::Option& option, const RecipeEntry& entry) const {
  const std::string text_of_value = printable(joined(entry.values, ","), 60);
  const std::string found = "found " + (entry.list ? "[" + text_of_value + "]" : "\"" + text_of_value + "\"");
  std::vector<std::string> values = entry.values;
  if (is_flag(option)) {
    if (entry.list || (values[0] != "true" && values[0] != "false")) fail(entry, found + ", expected true or false");
    option.add_result(option.get_flag_value(entry.key, values[0]));
  } else {
    const bool names = option.get_type_name() == names_type;
    const bool text = names || option.get_type_name().starts_with("TEXT");
    if (names && !values.empty()) values = {joined(values, ",")};
    const bool too_many = names ? values.empty() : entry.list && !repeats(option);
    const bool missing = !text && std::find(values.begin(), values.end(), "") != values.end();
    if (too_many || missing) fail(entry, found + ", expected " + expected_of(option));
    if (values.empty()) return;  // an empty list keeps the default
    option.add_result(values);
  }
  try {
    option.run_callback();
  } catch (const CLI::Error&) {
    fail(entry, found + ", expected " + expected_of(option) + " (" + option.get_description() + ")");
  }
}

void RecipeFlags::rethrow(const ArgumentError& error) const {
  const std::string message = error.what();
  if (message.starts_with("--")) {
    const auto line = lines_.find(message.substr(2, message.find_first_of(" :") - 2));
    if (line != lines_.end()) throw FormatError(path_ + ": line " + std::to_string(line->second) + ": " + message);
  }
  throw error;
}

}  // namespace veneer::program
