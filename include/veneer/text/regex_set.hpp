// SPDX-License-Identifier: Apache-2.0
/// \file regex_set.hpp
/// Sets of characters in PCRE2's syntax: properties, shorthands, POSIX brackets, and classes of these.
///
///     \s              [\x{9}-\x{d}\x{20}\x{85}...]      White_Space: PCRE2's own \s includes U+180E
///     \w              Alphabetic, M, Nd, Pc             Unicode Technical Standard 18, annex C
///     [^\W_]          (?:(?!(?:[_]|[^...]))(?s:.))      a complement inside a class
///     [a-z&&[^b]]     (?:(?=[a-z])[^b])                 an intersection
///
/// Every result matches exactly one character.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/unicode.hpp"

namespace veneer::detail {

inline constexpr std::string_view any_character = "(?s:.)";

inline void append_code_point(std::string& out, char32_t value) {
  constexpr const char* digits = "0123456789abcdef";
  out += "\\x{";
  for (int shift = 20; shift >= 0; shift -= 4) out += digits[(value >> shift) & 15u];
  out += '}';
}

inline void append_range(std::string& out, const CodePointRange& range) {
  append_code_point(out, range.first);
  if (range.last == range.first) return;
  out += '-';
  append_code_point(out, range.last);
}

/// Returns the ranges between those of `ranges`, which are in order.
template <std::size_t N>
std::string complement_of(const std::array<CodePointRange, N>& ranges) {
  std::string out;
  char32_t next = 0;
  for (const CodePointRange& range : ranges) {
    if (range.first > next) append_range(out, {next, range.first - 1});
    next = range.last + 1;
  }
  append_range(out, {next, 0x10FFFF});
  return out;
}

inline constexpr auto hex_digits = std::to_array<CodePointRange>({{U'0', U'9'}, {U'A', U'F'}, {U'a', U'f'}});

/// A set as the text between the brackets of a PCRE2 class, and its complement in the same form; the latter is empty if
/// PCRE2 cannot express it.
struct CharacterSet {
  std::string inside;
  std::string outside;
};

/// Appends the newer characters whose general category begins with `prefix`, with consecutive ones as one range.
inline void append_newer(std::string& out, std::string_view prefix) {
  std::optional<CodePointRange> last;
  for (const NewerRange& range : newer_characters) {
    if (!category_name(range.category).starts_with(prefix)) continue;
    const bool together = last && last->last + 1 == range.first;
    if (last && !together) append_range(out, *last);
    last = {together ? last->first : range.first, range.last};
  }
  if (last) append_range(out, *last);
}

/// Returns the characters of general categories: "L", "Lu", or several; `more` are further properties of PCRE2. ASCII
/// letters and digits are listed in addition: PCRE2 checks these in a table before properties.
inline CharacterSet categories(std::initializer_list<std::string_view> names, bool newer, std::string_view more = "") {
  CharacterSet set;
  set.inside = more;
  for (const std::string_view name : names) {
    if (name == "L") set.inside += "A-Za-z";
    if (name == "N" || name == "Nd") set.inside += "0-9";
    set.inside.append("\\p{").append(name).append("}");
    if (newer) append_newer(set.inside, name);
  }
  if (names.size() == 1 && more.empty() && !newer) set.outside = "\\P{" + std::string(*names.begin()) + "}";
  return set;
}

/// Returns the word characters. Outside a class, Oniguruma also includes the superscripts and fractions of Latin-1.
inline CharacterSet word_characters(bool newer, bool in_class) {
  return categories({"L", "M", "Nd", "Nl", "Pc"}, newer,
                    in_class ? "\\p{Alphabetic}" : "\\p{Alphabetic}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
}

/// Reads the set of a POSIX bracket; returns false for an unknown name. The same names are properties.
inline bool posix_set(std::string_view name, bool newer, CharacterSet& set) {
  if (name == "alpha")
    set = categories({"L", "Nl"}, newer, "\\p{Alphabetic}");
  else if (name == "alnum")
    set = categories({"L", "Nl", "Nd"}, newer, "\\p{Alphabetic}");
  else if (name == "digit")
    set = categories({"Nd"}, newer);
  else if (name == "lower")
    set = categories({"Ll"}, newer, "\\p{Lowercase}");
  else if (name == "upper")
    set = categories({"Lu"}, newer, "\\p{Uppercase}");
  else if (name == "punct")
    set = categories({"P", "S"}, newer);
  else if (name == "cntrl")
    set = categories({"Cc"}, newer);
  else if (name == "graph")
    set = categories({"L", "M", "N", "P", "S", "Cf", "Co"}, newer);
  else if (name == "print")
    set = categories({"L", "M", "N", "P", "S", "Cf", "Co", "Zs"}, newer);
  else if (name == "blank")
    set = {"\\p{Zs}\\x{9}", ""};
  else if (name == "word")
    set = word_characters(newer, true);
  else if (name == "ascii")
    set = {"\\x{0}-\\x{7f}", "\\x{80}-\\x{10ffff}"};
  else if (name == "space" || name == "whitespace") {
    set = {"", complement_of(white_space)};
    for (const CodePointRange& range : white_space) append_range(set.inside, range);
  } else if (name == "xdigit") {
    set = {"", complement_of(hex_digits)};
    for (const CodePointRange& range : hex_digits) append_range(set.inside, range);
  } else {
    return false;
  }
  return true;
}

/// Returns the short name of a general category from its short or long name in loose form ("uppercaseletter"), or "".
inline std::string_view category_of_name(std::string_view name) {
  using Names = std::pair<std::string_view, std::string_view>;
  static constexpr auto names = std::to_array<Names>({{"letter", "L"},
                                                      {"uppercaseletter", "Lu"},
                                                      {"lowercaseletter", "Ll"},
                                                      {"titlecaseletter", "Lt"},
                                                      {"modifierletter", "Lm"},
                                                      {"otherletter", "Lo"},
                                                      {"mark", "M"},
                                                      {"combiningmark", "M"},
                                                      {"nonspacingmark", "Mn"},
                                                      {"spacingmark", "Mc"},
                                                      {"enclosingmark", "Me"},
                                                      {"number", "N"},
                                                      {"decimalnumber", "Nd"},
                                                      {"letternumber", "Nl"},
                                                      {"othernumber", "No"},
                                                      {"punctuation", "P"},
                                                      {"connectorpunctuation", "Pc"},
                                                      {"dashpunctuation", "Pd"},
                                                      {"openpunctuation", "Ps"},
                                                      {"closepunctuation", "Pe"},
                                                      {"initialpunctuation", "Pi"},
                                                      {"finalpunctuation", "Pf"},
                                                      {"otherpunctuation", "Po"},
                                                      {"symbol", "S"},
                                                      {"mathsymbol", "Sm"},
                                                      {"currencysymbol", "Sc"},
                                                      {"modifiersymbol", "Sk"},
                                                      {"othersymbol", "So"},
                                                      {"separator", "Z"},
                                                      {"spaceseparator", "Zs"},
                                                      {"lineseparator", "Zl"},
                                                      {"paragraphseparator", "Zp"},
                                                      {"other", "C"},
                                                      {"control", "Cc"},
                                                      {"format", "Cf"},
                                                      {"privateuse", "Co"},
                                                      {"surrogate", "Cs"},
                                                      {"unassigned", "Cn"}});
  const auto same = [&](std::string_view short_name) {
    return short_name.size() == name.size() && (short_name[0] | 0x20) == name[0] &&
           (name.size() == 1 || short_name[1] == name[1]);
  };
  for (const Names& entry : names) {
    if (entry.first == name || same(entry.second)) return entry.second;
  }
  return "";
}

/// A builder of a class: characters and sets are added, then it is written.
class ClassBuilder {
 public:
  void add(const CodePointRange& range) { append_range(inside_, range); }

  void add(const CharacterSet& set, bool negated) {
    if (!negated) {
      inside_ += set.inside;
    } else if (!set.outside.empty()) {
      inside_ += set.outside;
    } else {
      others_.push_back("[^" + set.inside + "]");
    }
  }

  /// Adds the characters matched by an expression of one character.
  void add(std::string expression) { others_.push_back(std::move(expression)); }

  std::string write(bool negated) const {
    if (others_.empty() && inside_.empty()) return std::string(negated ? any_character : "(?!)");
    if (others_.empty()) return (negated ? "[^" : "[") + inside_ + "]";
    std::string all = inside_.empty() ? "" : "[" + inside_ + "]";
    for (const std::string& other : others_) all += (all.empty() ? "" : "|") + other;
    return negated ? "(?:(?!" + all + ")" + std::string(any_character) + ")" : "(?:" + all + ")";
  }

 private:
  std::string inside_;
  std::vector<std::string> others_;
};

}  // namespace veneer::detail
