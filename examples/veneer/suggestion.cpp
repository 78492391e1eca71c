// SPDX-License-Identifier: Apache-2.0
#include "suggestion.hpp"

#include <string_view>

#include "model_flags.hpp"

namespace veneer::program {

std::string shell_word(const std::string& text) {
  constexpr std::string_view safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%^";
  if (!text.empty() && text.find_first_not_of(safe) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

void suggest(const std::vector<std::string>& words) {
  std::string line = "next: veneer";
  for (const std::string& word : words) line += " " + shell_word(word);
  note(line);
}

std::string new_run_folder(const std::filesystem::path& named_after) {
  std::string name = (named_after.has_filename() ? named_after : named_after.parent_path()).filename().string();
  name = name.substr(0, name.find('.', 1));
  if (name.empty() || name.starts_with(".")) name = "run";
  std::string folder = "out/" + name;
  std::error_code error;
  for (int number = 2; std::filesystem::exists(folder, error); ++number)
    folder = "out/" + name + "-" + std::to_string(number);
  return folder;
}

}  // namespace veneer::program
