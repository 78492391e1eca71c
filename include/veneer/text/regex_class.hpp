// SPDX-License-Identifier: Apache-2.0
/// \file regex_class.hpp
/// RegexClassReader: reads a part of an Oniguruma expression that matches one character:
/// shorthands, properties, classes.
///
///     [^\W_]   \p{^Han}   [[:alpha:]-]   [a-z&&[^b]]
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/text/regex_cursor.hpp"
#include "veneer/text/regex_pcre2.hpp"
#include "veneer/text/regex_set.hpp"

namespace veneer::detail {

class RegexClassReader : protected RegexCursor {
 public:
  /// \param newer  list the characters that PCRE2's tables lack, which makes matching slower by half
  RegexClassReader(std::string_view pattern, bool newer) : RegexCursor(pattern), newer_(newer) {}

 protected:
  static std::string written(const CharacterSet& set, bool negated) {
    return (negated ? "[^" : "[") + set.inside + "]";
  }

  /// Reads \s and similar shorthands; some differ in a class (`in_class`).
  bool shorthand(CharacterSet& set, bool& negated, bool in_class) {
    if (done()) return false;
    const char letter = pattern_[at_];
    const char lower = static_cast<char>(letter | 0x20);
    if (lower != 's' && lower != 'd' && lower != 'w' && lower != 'h') return false;
    if (lower == 'w') set = word_characters(newer_, in_class);
    if (lower != 'w') posix_set(lower == 's' ? "space" : lower == 'd' ? "digit" : "xdigit", newer_, set);
    negated = letter != lower;
    ++at_;
    return true;
  }

  /// Reads the name of a property, with "}", and returns its set.
  CharacterSet property_set(bool& negated) {
    if (takes("^")) negated = !negated;
    const std::size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos) fail("expected }");
    std::string loose;
    for (const char c : pattern_.substr(at_, end - at_)) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (letter) loose += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      if (!letter && c != ' ' && c != '_' && c != '-') fail("an unknown property");
    }
    if (loose.empty() || loose.size() > 40) fail("an unknown property");
    CharacterSet set;
    if (const std::string_view category = category_of_name(loose); !category.empty()) {
      set = categories({category}, newer_);
    } else if (loose == "any") {
      set = {"\\x{0}-\\x{10ffff}", ""};
    } else if (loose == "lc" || loose == "casedletter") {
      set = categories({"Lu", "Ll", "Lt"}, newer_);
    } else if (loose == "punct") {  // unlike the POSIX bracket of this name, which includes symbols
      set = categories({"P"}, newer_);
    } else if (!posix_set(loose, newer_, set)) {
      const std::string script = "sc:" + loose;
      const bool is_script = is_property(script);
      if (!is_script && !is_property(loose)) fail("an unknown or unsupported property");
      set.inside = "\\p{" + (is_script ? script : loose) + "}";
      set.outside = "\\P{" + (is_script ? script : loose) + "}";
    }
    at_ = end + 1;
    return set;
  }

  std::string property(bool negated, bool ignore_case) {
    const CharacterSet set = property_set(negated);
    // In case-insensitive parts PCRE2 matches category Lu with letters of either case.
    return ignore_case ? "(?-i:" + written(set, negated) + ")" : written(set, negated);
  }

  /// Reads the part after "[".
  std::string character_class() {
    if (++depth_ > deepest) fail("classes are nested too deep");
    const bool negated = takes("^");
    std::string all;  // of the parts before each &&
    ClassBuilder part;
    bool empty = true, anything = false;
    while (true) {
      if (done()) fail("a class without its ]");
      if (sees("]") && !(empty && !anything && pattern_.find(']', at_ + 1) != std::string_view::npos)) break;
      if (takes("&&")) {
        all = both(all, part.write(false));
        part = ClassBuilder();
        anything = true;
      } else {
        class_item(part);
        empty = false;
      }
    }
    ++at_;
    --depth_;
    if (empty && !anything) fail("an empty class");
    if (all.empty()) return part.write(negated);
    all = both(all, part.write(false));
    return negated ? "(?:(?!" + all + ")" + std::string(any_character) + ")" : all;
  }

  static std::string both(const std::string& left, const std::string& right) {
    return left.empty() ? right : "(?:(?=" + left + ")" + right + ")";
  }

  /// Reads a character, a range, a set or a nested class.
  void class_item(ClassBuilder& part) {
    if (sees("[:") && posix_bracket(part)) return;
    if (takes("[")) return part.add(character_class());
    CharacterSet set;
    bool negated = false;
    char32_t first = 0;
    if (class_character(set, negated, first)) {
      part.add(set, negated);
      return refuse_range();
    }
    if (!sees("-") || sees("-]") || sees("-&&")) return part.add(CodePointRange{first, first});
    ++at_;
    char32_t last = 0;
    if (sees("[") || class_character(set, negated, last)) fail("a range to a set");
    if (last < first) fail("an empty range");
    part.add(CodePointRange{first, last});
    if (sees("-") && !sees("-]")) {  // [a-c-e]: a "-" after a range is itself
      ++at_;
      part.add(CodePointRange{U'-', U'-'});
    }
  }

  /// Reads a set and returns true, or reads a character.
  bool class_character(CharacterSet& set, bool& negated, char32_t& value) {
    negated = false;
    if (!takes("\\")) {
      value = next_character();
      return false;
    }
    if (shorthand(set, negated, true)) return true;
    if (sees("p{") || sees("P{")) {
      negated = sees("P");
      at_ += 2;
      set = property_set(negated);
      return true;
    }
    value = takes("b")                                                ? U'\b'
            : !done() && pattern_[at_] >= '1' && pattern_[at_] <= '7' ? octal(3)
                                                                      : escaped_character();
    return false;
  }

  bool posix_bracket(ClassBuilder& part) {
    const std::size_t end = pattern_.find(":]", at_ + 2);
    if (end == std::string_view::npos || end - at_ > 20) return false;
    std::string_view word = pattern_.substr(at_ + 2, end - at_ - 2);
    const bool negated = word.starts_with('^');
    if (negated) word.remove_prefix(1);
    CharacterSet set;
    if (word == "whitespace" || !posix_set(word, newer_, set)) fail("an unknown POSIX bracket");
    part.add(set, negated);
    if (ignore_case_ && (word == "upper" || word == "lower"))
      part.add(CharacterSet{"\\p{Uppercase}\\p{Lowercase}", ""}, negated);
    at_ = end + 2;
    refuse_range();
    return true;
  }

  void refuse_range() const {
    if (sees("-") && !sees("-]") && !sees("-&&")) fail("a range from a set");
  }

  bool newer_;
  bool ignore_case_ = false;
  std::size_t depth_ = 0;  // of groups and classes
  static constexpr std::size_t deepest = 100;
};

}  // namespace veneer::detail
