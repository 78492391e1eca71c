// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_encode.hpp
/// The way from text to ids: added tokens are cut out, what is between is normalized, split into words and encoded.
///
///     text -> added tokens of the raw text -> NFC, or "▁" for spaces -> added tokens of that -> prefix -> words -> ids
///
/// Each stretch between two added tokens goes the rest of the way alone, so a prefix space comes again behind each.
/// Words are what patterns cut (byte level), or what lies between places that no merge reaches across (sentencepiece).
///
/// Offsets: a token covers all characters that any of its bytes belongs to, so that neighbours within a character
/// overlap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/presplit.hpp"
#include "veneer/text/tokenizer_json.hpp"

namespace veneer {

/// Ids, and the bytes of the text that each covers; added special tokens cover [0, 0).
struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<ByteRange> offsets;
};

namespace detail {

/// Memory of one encoding at a time.
struct EncodeScratch {
  MatchScratch match;
  BpeScratch bpe;
  std::string prefixed;
  Normalized section, marked;
  std::vector<std::uint32_t> lengths;
};

/// The parts of a tokenizer and what is made of them.
struct TokenizerState {
  TokenizerParts parts;
  AddedTokenSet raw_tokens;
  AddedTokenSet normalized_tokens;
  std::vector<std::string> added_texts;  // of `parts.added`: the content, or what the normalizer makes of it

  explicit TokenizerState(TokenizerParts from) : parts(std::move(from)) {
    Normalized scratch;
    for (const AddedToken& token : parts.added)
      added_texts.emplace_back(token.normalized ? normalize(token.content, false, scratch) : token.content);
    for (const bool special : {true, false}) {  // if two have the same normalized text, the special one wins
      for (std::size_t i = 0; i < parts.added.size(); ++i) {
        const AddedToken& token = parts.added[i];
        if (token.special == special) (token.normalized ? normalized_tokens : raw_tokens).add(token, added_texts[i]);
      }
    }
  }

  /// The normalized text: `text` itself, or what is then in `out`, with origins if asked for.
  std::string_view normalize(std::string_view text, bool origins, Normalized& out) const {
    if (parts.pipeline.marks_first) {
      mark_spaces(text, parts.pipeline.prefix == PiecePrefix::always, origins, out);
      return out.text;
    }
    std::optional<Normalized> normal = parts.pipeline.nfc ? nfc(text, origins) : std::nullopt;
    if (!normal) return text;
    out = std::move(*normal);
    return out.text;
  }
};

/// What is asked of one encoding.
struct EncodeRequest {
  bool special = true;                 // whether special tokens in the text are those tokens
  std::span<const ByteRange> plain{};  // but not in these bytes; in order, apart from each other
  bool offsets = false;
  const std::function<void(std::span<const std::int32_t>)>* sink = nullptr;  // takes ids before they are many
};

/// One text on its way; appends to `out`, offsets only if asked for.
class EncodeRun {
 public:
  EncodeRun(const TokenizerState& state, std::string_view text, const EncodeRequest& request, EncodeScratch& scratch,
            Encoding& out)
      : state_(state), pipeline_(state.parts.pipeline), text_(text), request_(request), scratch_(scratch), out_(out) {}

  void run() {
    cut(state_.raw_tokens, text_, Origin{text_, 0, nullptr}, [&](std::string_view piece) {
      if (piece.size() > piece_bytes && !request_.offsets && pipeline_.marks_first &&
          state_.normalized_tokens.empty()) {
        long_section(piece);
      } else {
        section(piece);
      }
    });
  }

  /// How many characters at either end of each token are spaces; filled with the offsets if the post-processor needs
  /// it.
  struct Spaces {
    std::size_t leading;
    std::size_t trailing;
  };
  const std::vector<Spaces>& spaces() const { return spaces_; }

 private:
  /// Where the bytes of a stretch of normalized text come from.
  struct Origin {
    std::string_view text;
    std::size_t base;              // of `text` in the original, if `normalized` is null
    const Normalized* normalized;  // else the text that holds `text`

    /// The whole characters of the original that bytes [begin, end) of `text` come from; `end` is above `begin`.
    ByteRange of(std::size_t begin, std::size_t end) const {
      if (normalized != nullptr) {
        const auto* const first =
            normalized->origin.data() + static_cast<std::size_t>(text.data() - normalized->text.data());
        return {base + first[begin].begin, base + first[end - 1].end};
      }
      while (begin > 0 && is_continuation(text, begin)) --begin;
      while (end < text.size() && is_continuation(text, end)) ++end;
      return {base + begin, base + end};
    }
  };

  std::size_t offset_of(std::string_view piece) const { return static_cast<std::size_t>(piece.data() - text_.data()); }

  /// Cuts `text` at the tokens of a set, and calls `rest(piece)` for what is between.
  template <class Rest>
  void cut(const AddedTokenSet& tokens, std::string_view text, const Origin& origin, const Rest& rest) {
    if (tokens.empty()) return rest(text);
    const auto takes = [&](std::size_t begin, std::size_t end) {
      return request_.special && (request_.plain.empty() || !is_plain(origin.of(begin, end)));
    };
    tokens.cut(text, takes, [&](std::string_view piece, const AddedToken* token) {
      if (token == nullptr) return rest(piece);
      out_.ids.push_back(token->id);
      if (!request_.offsets) return;
      const auto begin = static_cast<std::size_t>(piece.data() - text.data());
      out_.offsets.push_back(origin.of(begin, begin + piece.size()));
      if (!state_.parts.post.trims.empty()) spaces_.push_back(count_spaces(piece));
    });
  }

  bool is_plain(const ByteRange& bytes) const {
    auto range = std::partition_point(request_.plain.begin(), request_.plain.end(),
                                      [&](const ByteRange& some) { return some.end <= bytes.begin; });
    while (range != request_.plain.end() && range->begin == range->end) ++range;  // an empty one holds nothing
    return range != request_.plain.end() && range->begin < bytes.end;
  }

  /// Text between two tokens of the raw text.
  void section(std::string_view piece) {
    const bool origins = request_.offsets || (!request_.plain.empty() && !state_.normalized_tokens.empty());
    const std::string_view text = state_.normalize(piece, origins, scratch_.section);
    const bool changed = text.data() != piece.data();
    const Normalized* const normal = changed ? &scratch_.section : nullptr;
    const Origin whole{text, offset_of(piece), normal};
    cut(state_.normalized_tokens, text, whole, [&](std::string_view part) {
      const std::size_t at = changed ? 0 : static_cast<std::size_t>(part.data() - piece.data());
      words(part, Origin{part, whole.base + at, normal});
    });
  }

  /// A long one, "▁" put in for spaces a part at a time.
  void long_section(std::string_view piece) {
    bool prefix = pipeline_.prefix == PiecePrefix::always;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t end = state_.parts.cuts.next(piece, std::min(piece.size(), at + piece_bytes));
      mark_spaces(piece.substr(at, end - at), std::exchange(prefix, false), false, scratch_.section);
      const std::string_view text = scratch_.section.text;
      state_.parts.cuts.cut(text, [&](std::string_view word) { append(word); });
      at = end;
    }
  }

  /// Text between two tokens of either kind; not empty.
  void words(std::string_view text, const Origin& origin) {
    if (!pipeline_.pieces()) {
      const bool prefix = pipeline_.prefix_space && text.front() != ' ';
      if (prefix) {
        scratch_.prefixed.assign(1, ' ').append(text);
        text = scratch_.prefixed;
      }
      const std::size_t shift = prefix ? 1 : 0;  // what was put in front counts as the first character
      const auto place = [&](std::size_t begin, std::size_t end) {
        return origin.of(begin < shift ? 0 : begin - shift, end <= shift ? 1 : end - shift);
      };
      split_text(pipeline_.splitters, text, may_hold_newer_characters(text), scratch_.match,
                 [&](std::string_view word) { encode(text, word, place); });
    } else if (pipeline_.marks_first) {
      const auto place = [&](std::size_t begin, std::size_t end) { return origin.of(begin, end); };
      state_.parts.cuts.cut(text, [&](std::string_view word) { encode(text, word, place); });
    } else {
      metaspace_words(text, origin);
    }
  }

  void metaspace_words(std::string_view text, const Origin& origin) {
    const bool there = text.front() == ' ' || text.starts_with(piece_space);
    const bool first = pipeline_.prefix == PiecePrefix::first_unless_there;
    const bool prefix = pipeline_.prefix != PiecePrefix::never && !there && (!first || offset_of(text) == 0);
    Normalized& marked = scratch_.marked;
    mark_spaces(text, prefix, request_.offsets, marked);
    const auto place = [&](std::size_t begin, std::size_t end) {
      return origin.of(marked.origin[begin].begin, marked.origin[end - 1].end);
    };
    state_.parts.cuts.cut(marked.text, [&](std::string_view word) { encode(marked.text, word, place); });
  }

  /// One word, without offsets.
  void append(std::string_view word) {
    state_.parts.model.encode(word, scratch_.bpe, out_.ids);
    if (request_.sink == nullptr || out_.ids.size() < sink_ids) return;
    (*request_.sink)(out_.ids);
    out_.ids.clear();
  }

  /// One word of `text`; `place(begin, end)` tells where bytes of `text` come from.
  template <class Place>
  void encode(std::string_view text, std::string_view word, const Place& place) {
    if (!request_.offsets) return append(word);
    const BpeModel& model = state_.parts.model;
    const std::size_t first = out_.ids.size();
    scratch_.lengths.clear();
    model.encode(word, scratch_.bpe, out_.ids, scratch_.lengths);
    auto at = static_cast<std::size_t>(word.data() - text.data());
    for (std::size_t i = 0; i < scratch_.lengths.size(); ++i) {
      const std::size_t end = at + scratch_.lengths[i];
      out_.offsets.push_back(place(at, end));
      at = end;
      if (state_.parts.post.trims.empty()) continue;
      spaces_.push_back(count_spaces(model.vocabulary().text(out_.ids[first + i]).value_or("")));
    }
  }

  /// In a token's text a space is written U+0120.
  static Spaces count_spaces(std::string_view token) {
    const auto is_space = [](char32_t value) { return value == 0x120 || is_white_space(value); };
    Spaces spaces{0, 0};
    for (std::size_t at = 0; at < token.size(); ++spaces.leading) {
      const CodePoint point = decode_utf8(token, at);
      if (!is_space(point.value)) break;
      at += point.length;
    }
    for (std::size_t end = token.size(); end > 0; ++spaces.trailing) {
      const CodePoint point = code_point_before(token, end);
      if (!is_space(point.value)) break;
      end -= point.length;
    }
    return spaces;
  }

  static constexpr std::size_t piece_bytes = std::size_t{1} << 20;
  static constexpr std::size_t sink_ids = std::size_t{1} << 16;

  const TokenizerState& state_;
  const TextPipeline& pipeline_;
  std::string_view text_;
  const EncodeRequest& request_;
  EncodeScratch& scratch_;
  Encoding& out_;
  std::vector<Spaces> spaces_;
};

/// Takes the spaces at the ends of tokens out of their offsets.
inline void trim_offsets(std::string_view text, const PostProcessor& post, bool with_prefix,
                         const std::vector<EncodeRun::Spaces>& spaces, std::vector<ByteRange>& offsets) {
  for (const PostProcessor::Trim& trim : post.trims) {
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      ByteRange& range = offsets[i];
      const bool first = (i == 0 && (trim.tokens_before == 0 || !with_prefix)) || range.begin == 0;
      std::size_t leading = spaces[i].leading;
      if (first && trim.keeps_first_space && leading == 1) leading = 0;
      for (; leading > 0 && range.begin < range.end; --leading) range.begin += decode_utf8(text, range.begin).length;
      std::size_t end = range.end;
      std::size_t trailing = spaces[i].trailing;
      for (; trailing > 0 && end > 0; --trailing) end -= code_point_before(text, end).length;
      if (trailing == 0) range.end = std::max(end, range.begin);
    }
  }
}

}  // namespace detail
}  // namespace veneer
