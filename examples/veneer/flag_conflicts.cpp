// SPDX-License-Identifier: Apache-2.0
#include "flag_conflicts.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "veneer/core/error.hpp"

namespace veneer::program {

namespace {

std::optional<double> number_in(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc{} && read.ptr == end ? std::optional(value) : std::nullopt;
}

std::vector<std::string> sorted_names(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    names.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool agree(const std::string& a, const std::string& b) {
  if (const auto first = number_in(a), second = number_in(b); first && second) return *first == *second;
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  return !a.starts_with("regex:") && !b.starts_with("regex:") && sorted_names(a) == sorted_names(b);
}

bool agree(const Json& a, const Json& b) {
  if (a == b) return true;
  return a.is_string() && b.is_string() && agree(a.get_ref<const std::string&>(), b.get_ref<const std::string&>());
}

std::string shown(const Json& value) {
  if (value.is_null()) return "no such setting";
  if (value == "" || value == Json::array()) return "none";
  if (value.is_string()) return printable(value.get<std::string>(), 200);
  if (value.is_array()) {
    std::string list;
    for (const Json& each : value) list += (list.empty() ? "" : ",") + shown(each);
    return list;
  }
  return value.dump();
}

/// Returns which of `--steps` and `--epochs` determined the length of a run.
const char* length_of(const Json& settings) { return settings.value("steps", 0) > 0 ? "steps" : "epochs"; }

}  // namespace

std::vector<std::string> given_flags(const CLI::App& command) {
  std::vector<std::string> given;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() > 0) given.insert(given.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return given;
}

void refuse_conflicts(const std::vector<std::string>& given, const Json& flags, const Json& saved,
                      const std::string& where, const std::string& advice) {
  std::string conflicts;
  for (const std::string& key : given) {
    if (!saved.contains(key)) continue;
    std::string saved_as = key;
    if (key == "steps" || key == "epochs") saved_as = length_of(saved);
    const bool same_length = saved_as == key || std::find(given.begin(), given.end(), saved_as) != given.end();
    if (same_length && agree(flags.at(key), saved.at(key))) continue;
    conflicts += (conflicts.empty() ? "--" : ", --") + key + " " + shown(flags.at(key)) +
                 " (there: " + (saved_as == key ? "" : "--" + saved_as + " ") + shown(saved.at(saved_as)) + ")";
  }
  if (!conflicts.empty()) throw ArgumentError("flags that contradict " + where + ": " + conflicts + ". " + advice);
}

}  // namespace veneer::program
