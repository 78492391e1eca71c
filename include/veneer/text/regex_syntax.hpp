// SPDX-License-Identifier: Apache-2.0
/// \file regex_syntax.hpp
/// OnigurumaTranslator: translates a regular expression of Oniguruma (its own syntax, UTF-8, Unicode 16), the language
/// of tokenizers, to one of PCRE2 (Unicode 14) that matches the same text.
///
///     Oniguruma                             PCRE2
///     (?m)                                  (?s)         and ^ and $ are always at lines
///     a(?i)b|c                              a(?i:b|c)
///     \h \v \O \uHHHH                       [0-9A-Fa-f], \x{b}, (?s:.), \x{HHHH}
///     x{,n}   x{n}?   x{n,m}+   x**         x{0,n}   (?:x{n})?   (?:x{n,m})+   (?:x*)*
///     \p{^L} \p{Han} [[:alpha:]] \w         see regex_class.hpp: the names denote other characters in PCRE2
///     [a[bc]] [a-z&&[^b]]                   nested classes
///
/// Parts without a translation are refused with their offset: absence operators, callouts, \y, lookbehind of varying
/// length. In case-insensitive parts a character is not compared with several ("ß" with "ss").
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/text/regex_class.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer::detail {

class OnigurumaTranslator : RegexClassReader {
 public:
  /// Constructs a translator; see `RegexClassReader`.
  OnigurumaTranslator(std::string_view pattern, bool newer)
      : RegexClassReader(pattern, newer), named_groups_(has_named_groups(pattern)) {}

  /// Throws `RegexError`.
  std::string translate() {
    std::string out = alternatives({});
    if (!done()) fail("unmatched )");
    return out;
  }

 private:
  struct Options {
    bool ignore_case = false;
    bool extended = false;  // white space and comments are skipped
  };

  static bool has_named_groups(std::string_view pattern) {
    for (std::size_t at = pattern.find("(?<"); at != std::string_view::npos; at = pattern.find("(?<", at + 1)) {
      if (at + 3 < pattern.size() && pattern[at + 3] != '=' && pattern[at + 3] != '!') return true;
    }
    return false;
  }

  // -- groups ------------------------------------------------------------------------------------------------------

  std::string alternatives(Options options) {
    if (++depth_ > deepest) fail("groups are nested too deep");
    std::string out;
    while (!done() && !sees(")")) {
      if (takes("|")) {
        out += '|';
      } else {
        out += repeated(options);
      }
    }
    --depth_;
    return out;
  }

  /// Reads the part after "(".
  std::string group(Options options) {
    const std::size_t begin = at_;
    if (takes("?#")) {
      const std::size_t end = pattern_.find(')', at_);
      if (end == std::string_view::npos) fail("unmatched (");
      at_ = end + 1;
      return "";
    }
    if (sees("*")) fail("callouts are not supported");
    std::string open = named_groups_ ? "(?:" : "(";
    for (const std::string_view kind : {"?:", "?=", "?!", "?>", "?<=", "?<!"}) {
      if (takes(kind)) {
        open = "(" + std::string(kind);
        return close(open, options);
      }
    }
    if (takes("?<")) return close("(?<" + name('>') + ">", options);
    if (takes("?'")) return close("(?<" + name('\'') + ">", options);
    if (sees("?(") || sees("?~") || sees("?{")) fail("this kind of group is not supported");
    if (takes("?")) return option_group(options, begin);
    return close(open, options);
  }

  std::string close(const std::string& open, Options options) {
    std::string out = open + alternatives(options);
    if (!takes(")")) fail("unmatched (");
    return out + ")";
  }

  std::string name(char end) {
    const std::size_t begin = at_;
    while (!done() && is_word_character(decode_utf8(pattern_, at_).value)) next_character();
    const std::string found(pattern_.substr(begin, at_ - begin));
    if (found.empty() || !takes(std::string_view(&end, 1))) fail("expected the name of a group");
    return found;
  }

  /// Reads (?i-m:...), or (?i) for the rest of the group.
  std::string option_group(Options options, std::size_t begin) {
    std::string set = "?", unset;
    bool on = true;
    while (!done() && !sees(":") && !sees(")")) {
      const char32_t letter = next_character();
      if (letter == U'-') {
        on = false;
      } else if (letter == U'i') {
        options.ignore_case = on;
        (on ? set : unset) += 'i';
      } else if (letter == U'm') {
        (on ? set : unset) += 's';
      } else if (letter == U'x') {
        options.extended = on;
      } else {
        at_ = begin;
        fail("this option of a group is not supported");
      }
    }
    const std::string open = "(" + set + (unset.empty() ? "" : "-" + unset) + ":";
    if (takes(":")) return close(open, options);
    if (!takes(")")) fail("unmatched (");
    return open + alternatives(options) + ")";  // the end of the group is read by the caller
  }

  // -- one item, repeated -----------------------------------------------------------------------------------------

  std::string repeated(Options options) {
    std::string atom = one(options);
    if (atom.empty()) return atom;
    const bool anchor = anchor_;
    for (bool first = true;; first = false) {
      skip_extended(options);
      std::string count;
      if (!quantifier(count)) return atom;
      if (anchor) fail("nothing to repeat");
      if (!first) atom = "(?:" + atom + ")";
      atom += count;
    }
  }

  /// Reads a quantifier and its lazy or possessive suffix.
  bool quantifier(std::string& count) {
    if (sees("{")) return interval(count);
    if (done() || (!sees("*") && !sees("+") && !sees("?"))) return false;
    count = static_cast<char>(next_character());
    if (sees("?") || sees("+")) count += static_cast<char>(next_character());
    return true;
  }

  /// Reads {n}, {n,}, {n,m} or {,m}, optionally lazy; except {n}?, which is an optional {n}. Otherwise "{"
  /// is a character.
  bool interval(std::string& count) {
    std::size_t at = at_ + 1;
    const auto number = [&] {
      const std::size_t begin = at;
      while (at < pattern_.size() && pattern_[at] >= '0' && pattern_[at] <= '9') ++at;
      return std::string(pattern_.substr(begin, at - begin));
    };
    const std::string least = number();
    const bool ranged = at < pattern_.size() && pattern_[at] == ',';
    if (ranged) ++at;
    const std::string most = ranged ? number() : least;
    if (at >= pattern_.size() || pattern_[at] != '}' || (least.empty() && most.empty())) return false;
    if (least.size() > 5 || most.size() > 5) fail("repeats too often");
    if (!most.empty() && !least.empty() && std::stoul(most) < std::stoul(least)) fail("a range that runs backwards");
    at_ = at + 1;
    count = "{" + (least.empty() ? "0" : least) + (ranged ? "," + most : "") + "}";
    if (ranged && takes("?")) count += '?';
    return true;
  }

  void skip_extended(Options options) {
    while (options.extended && !done()) {
      if (sees("#")) {
        at_ = std::min(pattern_.find('\n', at_), pattern_.size());
      } else if (std::string_view(" \t\n\r\f\v").find(pattern_[at_]) != std::string_view::npos) {
        ++at_;
      } else {
        return;
      }
    }
  }

  /// Reads a character, a set, a group or an anchor, which can't be repeated.
  std::string one(Options options) {
    skip_extended(options);
    anchor_ = sees("^") || sees("$");
    for (const std::string_view start : {"(?=", "(?!", "(?<=", "(?<!", "\\b", "\\B", "\\A", "\\Z", "\\z", "\\G"})
      anchor_ = anchor_ || sees(start);
    const bool anchor = anchor_;
    std::string atom = unrepeated(options);
    anchor_ = anchor;  // that of the outermost
    return atom;
  }

  std::string unrepeated(Options options) {
    if (done() || sees(")") || sees("|")) return "";
    std::string unused;
    if (quantifier(unused)) fail("nothing to repeat");
    if (takes("(")) return group(options);
    ignore_case_ = options.ignore_case;
    if (takes("[")) return character_class();
    if (takes("\\")) return escape(options);
    if (takes(".")) return ".";
    if (takes("^")) return "^";
    if (takes("$")) return "$";
    return literal(next_character());
  }

  static std::string literal(char32_t value) {
    std::string out;
    const bool plain = value >= 0x80 || (value | 0x20u) - U'a' < 26 || value - U'0' < 10 || value == U' ' ||
                       std::u32string_view(U"'\",;:!@%&=<>/_~`").find(value) != std::u32string_view::npos;
    if (plain) {
      append_utf8(out, value);
    } else {
      append_code_point(out, value);
    }
    return out;
  }

  // -- escapes -----------------------------------------------------------------------------------------------------

  /// Reads the part after "\" outside a class.
  std::string escape(Options options) {
    CharacterSet set;
    bool negated = false;
    if (shorthand(set, negated, false)) return written(set, negated);
    if (takes("p{")) return property(false, options.ignore_case);
    if (takes("P{")) return property(true, options.ignore_case);
    const std::string word = word_characters(newer_, false).inside;
    const std::string before = "(?<=[" + word + "])", not_before = "(?<![" + word + "])";
    const std::string after = "(?=[" + word + "])", not_after = "(?![" + word + "])";
    if (takes("b")) return "(?:" + before + not_after + "|" + not_before + after + ")";
    if (takes("B")) return "(?:" + before + after + "|" + not_before + not_after + ")";
    for (const std::string_view same : {"A", "Z", "z", "G", "K", "R", "X", "N"}) {
      if (takes(same)) return "\\" + std::string(same);
    }
    if (takes("O")) return std::string(any_character);
    if (sees("y") || sees("Y")) fail("text segments are not supported");
    if (takes("k<")) return "\\k<" + name('>') + ">";
    if (takes("g<")) return "\\g<" + name('>') + ">";
    if (!done() && pattern_[at_] >= '1' && pattern_[at_] <= '9') return reference();
    return literal(escaped_character());
  }

  /// Reads \1, which is a group unless the groups have names.
  std::string reference() {
    if (named_groups_) fail("a numbered reference among named groups");
    const std::size_t begin = at_;
    while (!done() && pattern_[at_] >= '0' && pattern_[at_] <= '9') ++at_;
    const std::string digits(pattern_.substr(begin, at_ - begin));
    const auto groups = static_cast<std::size_t>(std::count(pattern_.begin(), pattern_.end(), '('));
    if (digits.size() <= 3 && std::stoul(digits) <= groups) return "\\g{" + digits + "}";
    at_ = begin;
    if (pattern_[at_] >= '8') fail("a reference to a group that does not exist");
    return literal(octal(3));
  }

  bool named_groups_;
  bool anchor_ = false;
};

}  // namespace veneer::detail
