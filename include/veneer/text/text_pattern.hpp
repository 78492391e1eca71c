// SPDX-License-Identifier: Apache-2.0
/// \file text_pattern.hpp
/// TextPattern: the string or regular expression that a tokenizer component searches, and the behaviors of splitting.
///
///     "a-b--c", "-"     removed                a b c
///                       isolated               a - b - - c
///                       merged_with_previous   a- b- - c
///                       merged_with_next       a -b - -c
///                       contiguous             a - b -- c
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "veneer/text/normalize.hpp"
#include "veneer/text/regex.hpp"

namespace veneer {

/// A string, which is not empty, or an expression.
using TextPattern = std::variant<std::string, Regex>;

/// Calls `emit(range, is_match)` for the matches and the parts between them, in order. Matches of an expression may be
/// empty. Throws `ArgumentError`.
template <class Emit>
void each_part(const TextPattern& pattern, std::string_view text, detail::MatchScratch& scratch, const Emit& emit) {
  if (const Regex* const regex = std::get_if<Regex>(&pattern)) return regex->each_part(text, scratch, emit);
  const std::string& needle = *std::get_if<std::string>(&pattern);
  std::size_t done = 0;
  for (std::size_t at = text.find(needle); at != std::string_view::npos; at = text.find(needle, done)) {
    if (at > done) emit(ByteRange{done, at}, false);
    done = at + needle.size();
    emit(ByteRange{at, done}, true);
  }
  if (done < text.size()) emit(ByteRange{done, text.size()}, false);
}

/// Calls `emit` for characters: each one for which `is` holds is a separate match.
template <class Is, class Emit>
void each_character_part(std::string_view text, const Is& is, const Emit& emit) {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const std::size_t end = at + point.length;
    if (is(point.value)) {
      if (at > done) emit(ByteRange{done, at}, false);
      emit(ByteRange{at, end}, true);
      done = end;
    }
    at = end;
  }
  if (done < text.size()) emit(ByteRange{done, text.size()}, false);
}

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// A splitter that receives the parts of a text in order and emits the pieces of a behavior; no piece is empty.
template <class Emit>
class PieceMerger {
 public:
  PieceMerger(SplitBehavior behavior, const Emit& emit) : behavior_(behavior), emit_(emit) {}

  void add(ByteRange part, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) put(part);
        return;
      case SplitBehavior::isolated: return put(part);
      case SplitBehavior::contiguous: return join(part, is_match == last_is_match_ && waiting_, is_match);
      case SplitBehavior::merged_with_previous: return join(part, is_match && !last_is_match_ && waiting_, is_match);
      case SplitBehavior::merged_with_next: return join(part, !is_match && last_is_match_ && waiting_, is_match);
    }
  }

  void finish() {
    if (waiting_) put(*waiting_);
    waiting_.reset();
  }

 private:
  void put(ByteRange part) const {
    if (part.end > part.begin) emit_(part);
  }

  void join(ByteRange part, bool together, bool is_match) {
    last_is_match_ = is_match;
    if (together) {
      waiting_->end = part.end;
      return;
    }
    finish();
    waiting_ = part;
  }

  SplitBehavior behavior_;
  const Emit& emit_;
  std::optional<ByteRange> waiting_;
  bool last_is_match_ = false;
};

}  // namespace veneer
