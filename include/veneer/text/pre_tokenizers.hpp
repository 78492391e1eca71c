// SPDX-License-Identifier: Apache-2.0
/// \file pre_tokenizers.hpp
/// The pre-tokenizers of a tokenizer.json, which split normalized text into the words that a model encodes; the pieces
/// of each are the input of the next.
///
///     Split             by a string or an expression, with a behavior      Whitespace         \w+|[^\w\s]+
///     ByteLevel         GPT-2's expression; bytes as characters            WhitespaceSplit    at white space
///     Digits            numbers separately, optionally each digit          Metaspace          "▁" for spaces, words
///     Punctuation       punctuation separately                                                begin with it
///
/// A pre-tokenizer that changes the text writes it to its own buffer. The origin of each byte is kept if
/// offsets are requested.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "veneer/text/byte_level.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/text_pattern.hpp"
#include "veneer/text/unicode.hpp"
#include "veneer/text/unicode_older.hpp"

namespace veneer {

/// A part of a text, and the origins of its bytes in the original text; null if `text` is a part of the original, or if
/// origins are not kept.
struct TextPiece {
  std::string_view text;
  const ByteRange* origin = nullptr;

  TextPiece part(ByteRange bytes) const {
    return {text.substr(bytes.begin, bytes.end - bytes.begin), origin == nullptr ? nullptr : origin + bytes.begin};
  }
};

/// The state of pre-tokenizing one text.
struct PieceContext {
  std::string_view original;
  bool origins = false;  // whether origins are kept
  detail::MatchScratch& match;
  std::vector<std::unique_ptr<Normalized>>& buffers;  // one per step

  /// Returns the whole characters of the original from which bytes [begin, end) of a piece come; `end`
  /// is above `begin`.
  ByteRange place(const TextPiece& piece, std::size_t begin, std::size_t end) const {
    if (piece.origin != nullptr) return {piece.origin[begin].begin, piece.origin[end - 1].end};
    while (begin > 0 && is_continuation(piece.text, begin)) --begin;
    while (end < piece.text.size() && is_continuation(piece.text, end)) ++end;
    const auto at = static_cast<std::size_t>(piece.text.data() - original.data());
    return {at + begin, at + end};
  }

  /// Returns the empty buffer of a step.
  Normalized& buffer(std::size_t step) const {
    while (buffers.size() <= step) buffers.push_back(std::make_unique<Normalized>());
    buffers[step]->text.clear();
    buffers[step]->origin.clear();
    return *buffers[step];
  }

  TextPiece written(const Normalized& text) const { return {text.text, origins ? text.origin.data() : nullptr}; }
};

namespace pre_tokenizers {

struct Split {
  TextPattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // the parts between matches are the matches

  template <class Emit>
  void apply(const TextPiece& piece, const PieceContext& context, std::size_t, const Emit& emit) const {
    const auto put = [&](ByteRange bytes) { emit(piece.part(bytes)); };
    if (behavior == SplitBehavior::isolated) {
      return each_part(pattern, piece.text, context.match, [&](ByteRange part, bool) {
        if (part.end > part.begin) put(part);
      });
    }
    PieceMerger merger(behavior, put);
    each_part(pattern, piece.text, context.match, [&](ByteRange part, bool is) { merger.add(part, is != invert); });
    merger.finish();
  }
};

/// Digits, Punctuation and WhitespaceSplit: `Is` selects the characters.
template <bool (*Is)(char32_t)>
struct CharacterSplit {
  SplitBehavior behavior = SplitBehavior::isolated;

  template <class Emit>
  void apply(const TextPiece& piece, const PieceContext&, std::size_t, const Emit& emit) const {
    const auto put = [&](ByteRange bytes) { emit(piece.part(bytes)); };
    PieceMerger merger(behavior, put);
    each_character_part(piece.text, Is, [&](ByteRange part, bool is) { merger.add(part, is); });
    merger.finish();
  }
};

using Digits = CharacterSplit<is_numeric>;
using Punctuation = CharacterSplit<is_punctuation>;
using WhitespaceSplit = CharacterSplit<is_white_space>;

/// The pre-tokenizer Whitespace: runs of word characters, and runs of characters that are neither these
/// nor white space.
struct Whitespace {
  template <class Emit>
  void apply(const TextPiece& piece, const PieceContext&, std::size_t, const Emit& emit) const {
    const auto kind = [](char32_t value) { return is_white_space(value) ? 0 : is_word_character(value) ? 1 : 2; };
    std::size_t begin = 0;
    int last = 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      const CodePoint point = decode_utf8(piece.text, at);
      const int now = kind(point.value);
      if (now != last && last != 0) emit(piece.part({begin, at}));
      if (now != last) begin = at;
      last = now;
      at += point.length;
    }
    if (last != 0) emit(piece.part({begin, piece.text.size()}));
  }
};

struct ByteLevel {
  bool prefix_space = false;        // prepend a space to a piece that does not begin with one
  std::optional<Regex> expression;  // GPT-2's, if words are split by it
  bool writes_characters = true;    // false: raw bytes, for a model over bytes

  template <class Emit>
  void apply(const TextPiece& piece, const PieceContext& context, std::size_t step, const Emit& emit) const {
    TextPiece text = piece;
    if (prefix_space && piece.text.front() != ' ') text = with_space(piece, context, context.buffer(2 * step));
    const auto word = [&](const TextPiece& some) {
      emit(writes_characters ? as_characters(some, context, context.buffer(2 * step + 1)) : some);
    };
    if (!expression) return word(text);
    expression->each_part(text.text, context.match, [&](ByteRange part, bool) {
      if (part.end > part.begin) word(text.part(part));
    });
  }

 private:
  static TextPiece with_space(const TextPiece& piece, const PieceContext& context, Normalized& out) {
    out.text.assign(1, ' ').append(piece.text);
    if (!context.origins) return context.written(out);
    out.origin.push_back(context.place(piece, 0, 1));  // the origin of a prepended space is the first character
    for (std::size_t i = 0; i < piece.text.size(); ++i) out.origin.push_back(context.place(piece, i, i + 1));
    return context.written(out);
  }

  static TextPiece as_characters(const TextPiece& piece, const PieceContext& context, Normalized& out) {
    for (std::size_t i = 0; i < piece.text.size(); ++i) {
      append_byte_level(out.text, piece.text.substr(i, 1));
      if (context.origins) out.origin.resize(out.text.size(), context.place(piece, i, i + 1));
    }
    return context.written(out);
  }
};

struct Metaspace {
  std::string mark{piece_space};  // one character
  PiecePrefix prefix = PiecePrefix::unless_there;
  bool split = true;

  template <class Emit>
  void apply(const TextPiece& piece, const PieceContext& context, std::size_t step, const Emit& emit) const {
    const bool there = piece.text.front() == ' ' || piece.text.starts_with(mark);
    const bool first = prefix != PiecePrefix::first_unless_there || context.place(piece, 0, 1).begin == 0;
    Normalized& out = context.buffer(2 * step);
    mark_spaces(piece.text, prefix != PiecePrefix::never && !there && first, context.origins, out, mark);
    for (ByteRange& range : out.origin) range = context.place(piece, range.begin, range.end);
    const TextPiece marked = context.written(out);
    if (!split) return emit(marked);
    std::size_t done = 0;
    for (std::size_t at = marked.text.find(mark, 1); at < marked.text.size(); at = marked.text.find(mark, done + 1)) {
      emit(marked.part({done, at}));
      done = at;
    }
    emit(marked.part({done, marked.text.size()}));
  }
};

}  // namespace pre_tokenizers

using PreTokenizer =
    std::variant<pre_tokenizers::Split, pre_tokenizers::ByteLevel, pre_tokenizers::Digits, pre_tokenizers::Punctuation,
                 pre_tokenizers::Whitespace, pre_tokenizers::WhitespaceSplit, pre_tokenizers::Metaspace>;

/// Splits `piece`, which is not empty, by all of `steps`; calls `emit(piece)` for the words in order.
template <class Emit>
void pre_tokenize(const std::vector<PreTokenizer>& steps, const TextPiece& piece, const PieceContext& context,
                  const Emit& emit, std::size_t step = 0) {
  if (step == steps.size()) return emit(piece);
  const bool last = step + 1 == steps.size();
  std::visit(
      [&](const auto& one) {
        if (last) return one.apply(piece, context, step, emit);
        one.apply(piece, context, step,
                  [&](const TextPiece& part) { pre_tokenize(steps, part, context, emit, step + 1); });
      },
      steps[step]);
}

}  // namespace veneer
