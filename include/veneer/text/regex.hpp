// SPDX-License-Identifier: Apache-2.0
/// \file regex.hpp
/// Regex: the regular expressions of tokenizers, with Oniguruma's syntax and Unicode 16, matched by PCRE2.
///
///     Regex(R"(\p{L}+)").each_part("ab c", scratch, emit)    emit([0, 2), true), emit([2, 3), false), ...
///
/// PCRE2 has the tables of Unicode 14. Newer characters are listed in the pattern, which makes matching slower by
/// half, so this pattern is used only for texts that may contain such characters; for published patterns, only
/// for such lines.
///
/// The patterns of published tokenizers take linear time. Others might take exponential time, so they have a limit, and
/// exceeding it is an error.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/regex_pcre2.hpp"
#include "veneer/text/regex_syntax.hpp"
#include "veneer/text/unicode_newer.hpp"

namespace veneer {

/// Patterns with linear time.
namespace split_pattern {
inline constexpr std::string_view gpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
    R"(\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Mistral from NeMo on ("tekken"), and GPT-4o ("o200k", Llama 4): words begin at upper case after lower case.
inline constexpr std::string_view tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

inline bool is_known(std::string_view pattern) {
  return pattern == gpt2 || pattern == llama3 || pattern == qwen2 || pattern == tekken || pattern == o200k;
}
}  // namespace split_pattern

namespace detail {

/// A set of the first two bytes of characters.
class LeadingBytes {
 public:
  /// Constructs the set of the newer characters; only letters, marks and numbers unless `symbols`.
  constexpr explicit LeadingBytes(bool symbols) {
    for (const NewerRange& range : newer_characters) {
      const bool symbol = range.category > UTF8PROC_CATEGORY_NO;
      if (symbol && !symbols) continue;
      for (char32_t value = range.first & ~char32_t{63}; value <= range.last; value += 64) add(value);
    }
  }

  bool any_in(std::string_view text) const {
    for (std::size_t at = 0; at + 1 < text.size(); ++at) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte >= 0xE0 && pairs_[byte & 15u][static_cast<unsigned char>(text[at + 1]) & 63u]) return true;
    }
    return false;
  }

 private:
  constexpr void add(char32_t value) {
    const bool long_form = value >= 0x10000;
    if (value < 0x800) return;
    pairs_[long_form ? value >> 18 : value >> 12][(long_form ? value >> 12 : value >> 6) & 63u] = true;
  }
  std::array<std::array<bool, 64>, 16> pairs_{};
};

}  // namespace detail

/// Returns whether `text` may contain a letter, mark or number (with `symbols` any character) that PCRE2's tables lack.
/// Only leading bytes are checked, so there may be false positives.
inline bool may_hold_newer_characters(std::string_view text, bool symbols = false) {
  static constexpr detail::LeadingBytes letters(false), all(true);
  return (symbols ? all : letters).any_in(text);
}

class Regex {
 public:
  /// Compiles a pattern. Throws `RegexError` with the offset of a malformed or unsupported part.
  explicit Regex(std::string_view pattern)
      : known_(split_pattern::is_known(pattern)),
        usual_(detail::OnigurumaTranslator(pattern, false).translate()),
        exact_(detail::OnigurumaTranslator(pattern, true).translate()) {}

  /// Calls `emit(range, is_match)` for the matches in `text`, which is UTF-8, and for the parts between them, in order.
  /// Matches may be empty, the parts between are not. As in Oniguruma's iterator, an empty match directly after a match
  /// is skipped. `exact` selects the newer tables; by default they are used only if needed. Throws `ArgumentError` with
  /// the offset where matching exceeds its limit.
  template <class Emit>
  void each_part(std::string_view text, detail::MatchScratch& scratch, const Emit& emit,
                 std::optional<bool> exact = std::nullopt) const {
    Stretch stretch{exact ? text.size() + 1 : 0, exact.value_or(false)};
    std::size_t at = 0, done = 0;
    bool matched = false;
    while (at <= text.size()) {
      if (at >= stretch.end) stretch = stretch_at(text, at);
      const auto match = find(text, at, stretch.exact, scratch);
      if (!match) break;
      if (match->begin == match->end && matched && match->end == done) {
        at += at < text.size() ? decode_utf8(text, at).length : 1;
        continue;
      }
      if (match->begin > done) emit(ByteRange{done, match->begin}, false);
      emit(*match, true);
      matched = true;
      at = done = std::max(match->end, done);
    }
    if (done < text.size()) emit(ByteRange{done, text.size()}, false);
  }

 private:
  /// A part of a text that is matched with one of the two expressions.
  struct Stretch {
    std::size_t end;
    bool exact;
  };

  /// Returns the stretch that begins at `at`. The known patterns look ahead at most to a letter after a line end, and
  /// never match both: lines that begin with a letter are separate stretches.
  Stretch stretch_at(std::string_view text, std::size_t at) const {
    std::size_t end = known_ ? text.find('\n', at) : std::string_view::npos;
    while (end < text.size() && !(end + 1 < text.size() && is_ascii_letter(text[end + 1])))
      end = text.find('\n', end + 1);
    end = std::min(end, text.size()) + 1;
    return {end, may_hold_newer_characters(text.substr(at, end - at), !known_)};
  }

  static bool is_ascii_letter(char value) {
    const auto byte = static_cast<unsigned char>(value);
    return (byte | 0x20u) >= 'a' && (byte | 0x20u) <= 'z';
  }

  /// Returns the first match at or after byte `from`.
  std::optional<ByteRange> find(std::string_view text, std::size_t from, bool exact,
                                detail::MatchScratch& scratch) const {
    // The known patterns backtrack at most once per character, and the limit would fail for a run of as many spaces.
    const int code = (exact ? exact_ : usual_).match(text, from, known_ ? UINT32_MAX : match_limit, scratch);
    if (code < 0) {
      if (code != PCRE2_ERROR_NOMATCH) give_up(text, from, code);
      return std::nullopt;
    }
    const PCRE2_SIZE* const match = pcre2_get_ovector_pointer_8(scratch.data.get());
    return ByteRange{match[0], match[1]};
  }

  [[noreturn]] static void give_up(std::string_view text, std::size_t from, int code) {
    throw ArgumentError("veneer::Regex: PCRE2 gives up (" + detail::Expression::message(code) + ") at byte " +
                        std::to_string(from) + " of a piece of " + std::to_string(text.size()) +
                        " bytes: cut the text, or use a pattern that does not backtrack so much");
  }

  static constexpr std::uint32_t match_limit = 10'000'000;  // about a tenth of a second

  bool known_;
  detail::Expression usual_;
  detail::Expression exact_;
};

}  // namespace veneer
