// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_encode.hpp
/// Encoding of text to ids: added tokens are extracted, the text between them is normalized, split into
/// words and encoded.
///
///     text -> added tokens of the raw text -> normalizers -> added tokens of that -> pre-tokenizers -> words -> ids
///
/// Each section between two added tokens is processed separately, so a prefix space is added again after each. Words
/// over characters are split further at positions that no merge crosses.
///
/// Offsets: a token covers all characters of its bytes, so adjacent tokens within a character overlap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/normalizers.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/pre_tokenizers.hpp"
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
  WordScratch words;
  Normalized section, spare;
  std::vector<std::unique_ptr<Normalized>> buffers;  // of pre-tokenizers
  std::vector<ByteRange> places;
};

/// The parts of a tokenizer and derived data.
struct TokenizerState {
  TokenizerParts parts;
  AddedTokenSet raw_tokens;
  AddedTokenSet normalized_tokens;
  std::vector<std::string> added_texts;  // of `parts.added`: the content, or its normalized form

  explicit TokenizerState(TokenizerParts from) : parts(std::move(from)) {
    EncodeScratch scratch;
    for (const AddedToken& token : parts.added)
      added_texts.emplace_back(token.normalized ? normalize(token.content, false, scratch) : token.content);
    for (const bool special : {true, false}) {  // of two with the same normalized text, the special one is used
      for (std::size_t i = 0; i < parts.added.size(); ++i) {
        const AddedToken& token = parts.added[i];
        if (token.special == special) (token.normalized ? normalized_tokens : raw_tokens).add(token, added_texts[i]);
      }
    }
  }

  /// Returns the normalized text: `text` itself, or a view of `scratch.section`, with origins in `text` if requested.
  std::string_view normalize(std::string_view text, bool origins, EncodeScratch& scratch) const {
    const bool changed =
        veneer::normalize(parts.pipeline.normalizers, text, origins, scratch.match, scratch.section, scratch.spare);
    return changed ? std::string_view(scratch.section.text) : text;
  }
};

/// The options of one encoding.
struct EncodeRequest {
  bool special = true;                 // whether special tokens in the text are those tokens
  std::span<const ByteRange> plain{};  // except in these bytes; in order, disjoint
  bool offsets = false;
  const std::function<void(std::span<const std::int32_t>)>* sink = nullptr;  // receives chunks of ids
};

/// The encoding of one text; appends to `out`, offsets only if requested.
class EncodeRun {
 public:
  EncodeRun(const TokenizerState& state, std::string_view text, const EncodeRequest& request, EncodeScratch& scratch,
            Encoding& out)
      : state_(state),
        pipeline_(state.parts.pipeline),
        request_(request),
        scratch_(scratch),
        out_(out),
        context_{text, needs_origins(state, request), scratch.match, scratch.buffers} {}

  void run() {
    cut(state_.raw_tokens, TextPiece{context_.original}, [&](const TextPiece& piece) {
      if (piece.text.size() > piece_bytes && !request_.offsets && pipeline_.marks_only() &&
          state_.normalized_tokens.empty() && !state_.parts.model.is_unigram()) {
        long_section(piece.text);
      } else {
        section(piece);
      }
    });
  }

  /// The number of spaces at both ends of each token; computed with the offsets if the post-processor needs it.
  struct Spaces {
    std::size_t leading;
    std::size_t trailing;
  };
  const std::vector<Spaces>& spaces() const { return spaces_; }

 private:
  static bool needs_origins(const TokenizerState& state, const EncodeRequest& request) {
    const bool plain_is_asked = !request.plain.empty() && !state.normalized_tokens.empty();
    return request.offsets || plain_is_asked || state.parts.pipeline.needs_places();
  }

  /// Splits `piece` at the tokens of a set, and calls `rest(part)` for the parts between them.
  template <class Rest>
  void cut(const AddedTokenSet& tokens, const TextPiece& piece, const Rest& rest) {
    if (tokens.empty()) return rest(piece);
    const auto takes = [&](std::size_t begin, std::size_t end) {
      return request_.special && (request_.plain.empty() || !is_plain(context_.place(piece, begin, end)));
    };
    tokens.cut(piece.text, takes, [&](std::string_view text, const AddedToken* token) {
      const auto begin = static_cast<std::size_t>(text.data() - piece.text.data());
      const ByteRange bytes{begin, begin + text.size()};
      if (token == nullptr) return rest(piece.part(bytes));
      out_.ids.push_back(token->id);
      if (!request_.offsets) return;
      out_.offsets.push_back(context_.place(piece, bytes.begin, bytes.end));
      if (!state_.parts.post.trims.empty()) spaces_.push_back(count_spaces(text));
    });
  }

  bool is_plain(const ByteRange& bytes) const {
    auto range = std::partition_point(request_.plain.begin(), request_.plain.end(),
                                      [&](const ByteRange& some) { return some.end <= bytes.begin; });
    while (range != request_.plain.end() && range->begin == range->end) ++range;  // skip an empty range
    return range != request_.plain.end() && range->begin < bytes.end;
  }

  /// Encodes the text between two tokens of the raw text.
  void section(const TextPiece& piece) {
    const std::string_view text = state_.normalize(piece.text, context_.origins, scratch_);
    TextPiece normal = piece;
    if (text.data() != piece.text.data()) {
      const auto base = static_cast<std::size_t>(piece.text.data() - context_.original.data());
      for (ByteRange& range : scratch_.section.origin) range = {base + range.begin, base + range.end};
      normal = context_.written(scratch_.section);
    }
    if (normal.text.empty()) return;
    cut(state_.normalized_tokens, normal, [&](const TextPiece& part) {
      pre_tokenize(pipeline_.pre_tokenizers, part, context_, [&](const TextPiece& word) { encode(word); });
    });
  }

  /// Encodes a long section in parts, replacing spaces by "▁" in each.
  void long_section(std::string_view text) {
    bool prefix = std::get<normalizers::MarkSpaces>(pipeline_.normalizers.front()).prefix;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = state_.parts.model.cuts().next(text, std::min(text.size(), at + piece_bytes));
      scratch_.section.text.clear();
      mark_spaces(text.substr(at, end - at), std::exchange(prefix, false), false, scratch_.section);
      encode(TextPiece{scratch_.section.text});
      at = end;
    }
  }

  /// Encodes one word, which for models over characters may be a whole text.
  void encode(const TextPiece& word) {
    if (pipeline_.bytes || word.text.size() <= WordCache::longest_word) return encode_part(word);
    state_.parts.model.cuts().cut(word.text, [&](std::string_view text) {
      const auto begin = static_cast<std::size_t>(text.data() - word.text.data());
      encode_part(word.part({begin, begin + text.size()}));
    });
  }

  void encode_part(const TextPiece& word) {
    const TextModel& model = state_.parts.model;
    if (!request_.offsets) {
      model.encode(word.text, scratch_.words, out_.ids);
      if (request_.sink == nullptr || out_.ids.size() < sink_ids) return;
      (*request_.sink)(out_.ids);
      out_.ids.clear();
      return;
    }
    const std::size_t first = out_.ids.size();
    scratch_.places.clear();
    model.encode(word.text, scratch_.words, out_.ids, scratch_.places);
    for (std::size_t i = 0; i < scratch_.places.size(); ++i) {
      out_.offsets.push_back(context_.place(word, scratch_.places[i].begin, scratch_.places[i].end));
      if (state_.parts.post.trims.empty()) continue;
      spaces_.push_back(count_spaces(model.vocabulary().text(out_.ids[first + i]).value_or("")));
    }
  }

  /// Counts the spaces in a token's text, where a space is U+0120.
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
  const EncodeRequest& request_;
  EncodeScratch& scratch_;
  Encoding& out_;
  PieceContext context_;
  std::vector<Spaces> spaces_;
};

/// Removes the spaces at the ends of tokens from their offsets.
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
