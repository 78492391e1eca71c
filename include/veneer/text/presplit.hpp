// SPDX-License-Identifier: Apache-2.0
/// \file presplit.hpp
/// Cuts text into the words that byte-pair encoding works on, by the regular expressions of published tokenizers.
///
/// A pattern is matched again and again from left to right; each match is a word, and so is each gap between two
/// matches ("Isolated" in tokenizer.json). With several patterns the words of one are the texts of the next.
///
/// Vocabularies are made with Oniguruma and recent Unicode tables. PCRE2 cuts the same text alike once two things are
/// spelled out in the pattern: `\s` is the 25 characters of White_Space (PCRE2 takes U+180E too), and `\p{L}` and
/// `\p{N}` hold the characters newer than PCRE2's tables. The second makes matching slower by half, so only texts with
/// such characters pay it.
///
/// Only the patterns listed below are taken: another might take exponential time, or mean something else to PCRE2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH \
  8  // what pcre2.h asks of whoever includes it; the names used here carry the width themselves
#endif
#include <pcre2.h>

#include "veneer/core/error.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// The patterns that are known to cut alike in Oniguruma and PCRE2, in linear time, and to match every character but
/// for the last two.
namespace split_pattern {
inline constexpr std::string_view gpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
    R"(\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Mistral from NeMo on ("tekken"), and GPT-4o ("o200k", Llama 4): words begin where the case rises.
inline constexpr std::string_view tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view o200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Digits follow yet newer tables than the patterns do: Unicode 17.
inline constexpr std::string_view each_digit = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])";
inline constexpr std::string_view digit_runs = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}]+)";

/// Whether a tokenizer.json may use the pattern in a Split.
inline bool is_known(std::string_view pattern) {
  return pattern == gpt2 || pattern == llama3 || pattern == qwen2 || pattern == tekken || pattern == o200k;
}
}  // namespace split_pattern

namespace detail {

template <std::size_t N>
void append_ranges(std::string& out, const std::array<CodePointRange, N>& ranges) {
  constexpr const char* digits = "0123456789abcdef";
  const auto append = [&](char32_t value) {
    out += "\\x{";
    for (int shift = 20; shift >= 0; shift -= 4) out += digits[(value >> shift) & 15u];
    out += '}';
  };
  for (const CodePointRange& range : ranges) {
    append(range.first);
    if (range.last == range.first) continue;
    out += '-';
    append(range.last);
  }
}

/// A known pattern as PCRE2 must read it.
inline std::string to_pcre2(std::string_view pattern, bool newer_characters) {
  std::string out;
  bool in_class = false;
  const auto starts = [&](std::size_t at, std::string_view with) { return pattern.substr(at, with.size()) == with; };
  const auto put = [&](std::string_view open, std::string_view name, const auto& ranges) {
    if (!in_class) out += open;
    out += name;
    append_ranges(out, ranges);
    if (!in_class) out += ']';
  };
  for (std::size_t at = 0; at < pattern.size();) {
    if (starts(at, R"(\s)") || starts(at, R"(\S)")) {
      put(pattern[at + 1] == 's' ? "[" : "[^", "", white_space);
      at += 2;
    } else if (newer_characters && starts(at, R"(\p{)")) {
      const std::string_view name = pattern.substr(at, pattern.find('}', at) + 1 - at);
      const auto class_of = [&](std::string_view letters, const auto& ranges) {
        if (name.substr(3, name.size() - 4) == letters) put("[", name, ranges);
      };
      class_of("L", newer_letters), class_of("N", newer_numbers), class_of("M", newer_all_marks);
      class_of("Lu", newer_uppercase), class_of("Ll", newer_lowercase), class_of("Lm", newer_modifiers);
      class_of("Lo", newer_other_letters), class_of("Lt", std::array<CodePointRange, 0>{});
      at += name.size();
    } else if (pattern[at] == '\\') {
      out += pattern.substr(at, 2);
      at += 2;
    } else {
      if (pattern[at] == '[') in_class = true;
      if (pattern[at] == ']') in_class = false;
      out += pattern[at++];
    }
  }
  return out;
}

/// A compiled expression; copies share it.
class Expression {
 public:
  explicit Expression(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code_ = {pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                             &error, &at, nullptr),
             pcre2_code_free_8};
    if (code_ == nullptr) {
      throw BackendError("veneer::Splitter: PCRE2 refuses a pattern (error " + std::to_string(error) + " at " +
                         std::to_string(at) + "); it must be built with Unicode support");
    }
    jit_ =
        pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE) == 0;  // without it the interpreter gives the same matches
  }

  /// The first match at or after byte `from`: PCRE2's return code, and the match in `data`. The text must be UTF-8.
  int match(std::string_view text, std::size_t from, pcre2_match_data_8* data, pcre2_match_context_8* context) const {
    const auto subject = reinterpret_cast<PCRE2_SPTR8>(text.data());
    // Without the flag every call would check the whole text, and a long one would take quadratic time.
    return jit_ ? pcre2_jit_match_8(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context)
                : pcre2_match_8(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
  }

 private:
  std::shared_ptr<pcre2_code_8> code_;
  bool jit_ = false;
};

/// What matching writes to; one a thread.
struct MatchScratch {
  std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> data{pcre2_match_data_create_8(1, nullptr),
                                                                          pcre2_match_data_free_8};
  std::unique_ptr<pcre2_match_context_8, void (*)(pcre2_match_context_8*)> context{
      pcre2_match_context_create_8(nullptr), pcre2_match_context_free_8};
  MatchScratch() {
    expects<MemoryError>(data != nullptr && context != nullptr, "veneer::Splitter: PCRE2 has no memory");
    // The default of ten million stops at a run of as many spaces; the known patterns step back at most once a
    // character.
    pcre2_set_match_limit_8(context.get(), UINT32_MAX);
  }
};

}  // namespace detail

/// Whether `text` may hold a character that PCRE2's tables lack. Looks at leading bytes only, so it may say yes in
/// vain.
inline bool may_hold_newer_characters(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0xE0 || at + 1 >= text.size()) continue;
    const auto next = static_cast<unsigned char>(text[at + 1]);
    if (byte == 0xE0 && (next == 0xA2 || next == 0xB3 || next == 0xBB)) return true;  // marks: U+0897, U+0CF3, U+0ECE
    if (byte == 0xE1 && next == 0xB2) return true;                                    // U+1C80 to U+1CBF
    if (byte == 0xEA && next == 0x9F) return true;                                    // U+A7C0 to U+A7FF
    if (byte == 0xF0 && next != 0x9F) return true;  // past U+FFFF, but for U+1F000 to U+1FFFF, where the emoji are
  }
  return false;
}

/// One pattern, ready to cut.
class Splitter {
 public:
  /// `pattern` is one of `split_pattern`.
  explicit Splitter(std::string_view pattern)
      : usual_(detail::to_pcre2(pattern, false)), exact_(detail::to_pcre2(pattern, true)) {}

  /// Calls `emit(piece)` for the pieces of `text` in order; together they are `text`, and none is empty. `exact`: the
  /// text may hold newer characters. Throws `ArgumentError` with the offset where matching gives up.
  template <class Emit>
  void split(std::string_view text, bool exact, detail::MatchScratch& scratch, const Emit& emit) const {
    const detail::Expression& expression = exact ? exact_ : usual_;
    std::size_t at = 0;
    while (at < text.size()) {
      const int code = expression.match(text, at, scratch.data.get(), scratch.context.get());
      if (code == PCRE2_ERROR_NOMATCH) break;
      if (code < 0) {
        throw ArgumentError("veneer::Splitter: PCRE2 gives up (error " + std::to_string(code) + ") at byte " +
                            std::to_string(at) + " of a piece of " + std::to_string(text.size()) +
                            " bytes: cut the text");
      }
      const PCRE2_SIZE* const match = pcre2_get_ovector_pointer_8(scratch.data.get());
      const std::size_t begin = match[0];
      const std::size_t end = match[1];
      if (begin > at) emit(text.substr(at, begin - at));
      if (end > begin) emit(text.substr(begin, end - begin));
      at = end > at ? end : at + 1;
    }
    if (at < text.size()) emit(text.substr(at));
  }

 private:
  detail::Expression usual_;
  detail::Expression exact_;
};

/// Cuts by all of `splitters`, each one's pieces by the next.
template <class Emit>
void split_text(std::span<const Splitter> splitters, std::string_view text, bool exact, detail::MatchScratch& scratch,
                const Emit& emit) {
  if (splitters.empty()) {
    if (!text.empty()) emit(text);
    return;
  }
  if (splitters.size() == 1) return splitters.front().split(text, exact, scratch, emit);
  splitters.front().split(text, exact, scratch, [&](std::string_view piece) {
    split_text(splitters.subspan(1), piece, exact, scratch, emit);
  });
}

}  // namespace veneer
