// SPDX-License-Identifier: Apache-2.0
/// \file name_pattern.hpp
/// Regular expressions over module names, with the meaning of Python's `re.fullmatch` and `re.match`.
///
/// The grammar is std::regex's ECMAScript; adapters use the part that it shares with Python's. Patterns come from
/// files, so time and stack are bounded: 1,000 bytes, few counted repetitions and lookaheads, and the executor of
/// libstdc++ with polynomial time (without back references).
#pragma once

#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"

namespace veneer {

/// A compiled pattern.
class NamePattern {
 public:
  /// Compiles a pattern. `setting` names the option in messages ("target_modules"). Throws `ArgumentError` for
  /// an invalid pattern.
  NamePattern(const std::string& pattern, const std::string& setting) {
    check_bounds(pattern, setting);
    try {
      regex_.assign(pattern, flags());
    } catch (const std::regex_error&) {
      throw ArgumentError(
          setting + ": the regular expression \"" + pattern +
          "\" can't be read. Groups, classes, repetition and lookahead are; (?P<name>), (?i), lookbehind and "
          "back references are not");
    }
  }

  /// Returns whether the pattern matches all of `name`: `re.fullmatch`.
  bool full_match(const std::string& name) const { return std::regex_match(name, regex_); }

  /// Returns whether the pattern matches at the start of `name`: `re.match`.
  bool match(const std::string& name) const {
    return std::regex_search(name, regex_, std::regex_constants::match_continuous);
  }

  /// Returns the text of the last group if the pattern matches at the start of `name`; empty otherwise.
  std::string last_group(const std::string& name) const {
    std::smatch groups;
    if (!std::regex_search(name, groups, regex_, std::regex_constants::match_continuous)) return {};
    return groups[groups.size() - 1].str();
  }

 private:
  static std::regex::flag_type flags() {
#if defined(__GLIBCXX__)
    return std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
    return std::regex::ECMAScript;
#endif
  }

  /// Checks the limits of a pattern. Counted repetitions are unrolled by the compiler of patterns, and nested
  /// lookaheads multiply the time: both are rare in module names, and a file could use them to exhaust the stack.
  static void check_bounds(const std::string& pattern, const std::string& setting) {
    const auto refuse = [&](const std::string& why) {
      throw ArgumentError(setting + ": the regular expression \"" + pattern.substr(0, 80) + "\" " + why);
    };
    if (pattern.size() > 1000) refuse("... has " + std::to_string(pattern.size()) + " bytes, at most 1000 are read");
    if (pattern.find('\0') != std::string::npos) refuse("holds a NUL byte");
    std::uint64_t unrolled = 1;
    int lookaheads = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (pattern.compare(i, 3, "(?=") == 0 || pattern.compare(i, 3, "(?!") == 0) ++lookaheads;
      if (pattern[i] == '{') unrolled *= largest_count(std::string_view(pattern).substr(i + 1));
      if (unrolled > 1000) refuse("repeats more than 1000 times by counts");
    }
    if (lookaheads > 3) refuse("has more than 3 lookaheads");
  }

  /// Returns the larger number of "n}" or "n,m}" at the start of `text`, at least 1 and at most 10,000.
  static std::uint64_t largest_count(std::string_view text) {
    std::uint64_t largest = 1;
    std::uint64_t current = 0;
    for (const char c : text) {
      if (c >= '0' && c <= '9') {
        current = current > 1000 ? 10000 : current * 10 + static_cast<std::uint64_t>(c - '0');
        largest = current > largest ? current : largest;
      } else if (c == ',') {
        current = 0;
      } else {
        break;
      }
    }
    return largest;
  }

  std::regex regex_;
};

}  // namespace veneer
