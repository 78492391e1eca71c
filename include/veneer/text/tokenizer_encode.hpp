// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_encode.hpp
/// The way from text to ids: added tokens are cut out, what is between is normalized, split into words and encoded.
///
///     text -> added tokens of the raw text -> NFC -> added tokens of the normal text -> prefix space -> words -> ids
///
/// Each stretch between two added tokens goes the rest of the way alone, so a prefix space comes again behind each.
///
/// Offsets: a token covers all characters that any of its bytes belongs to, so that neighbours within a character
/// overlap.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/normalize.hpp"
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
};

/// The parts of a tokenizer and what is made of them.
struct TokenizerState {
  TokenizerParts parts;
  AddedTokenSet raw_tokens;
  AddedTokenSet normalized_tokens;
  std::vector<std::string> added_texts;  // of `parts.added`: the content, or what the normalizer makes of it

  explicit TokenizerState(TokenizerParts from) : parts(std::move(from)) {
    for (const AddedToken& token : parts.added) {
      const std::optional<Normalized> normal = token.normalized && parts.nfc ? nfc(token.content) : std::nullopt;
      added_texts.push_back(normal ? normal->text : token.content);
    }
    for (const bool special : {true, false}) {  // if two have the same normalized text, the special one wins
      for (std::size_t i = 0; i < parts.added.size(); ++i) {
        const AddedToken& token = parts.added[i];
        if (token.special == special) (token.normalized ? normalized_tokens : raw_tokens).add(token, added_texts[i]);
      }
    }
  }
};

/// One text on its way; appends to `out`, offsets only if asked for.
class EncodeRun {
 public:
  EncodeRun(const TokenizerState& state, std::string_view text, bool special, bool offsets, EncodeScratch& scratch,
            Encoding& out)
      : state_(state), text_(text), special_(special), offsets_(offsets), scratch_(scratch), out_(out) {}

  void run() {
    if (state_.raw_tokens.empty()) return section(text_);
    state_.raw_tokens.cut(text_, special_, [&](std::string_view piece, const AddedToken* token) {
      if (token == nullptr) return section(piece);
      const Origin origin{piece, offset_of(piece), nullptr};
      added(*token, piece, origin);
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

    ByteRange of(std::size_t byte) const {
      if (normalized != nullptr) {
        const ByteRange range =
            normalized->origin[static_cast<std::size_t>(text.data() - normalized->text.data()) + byte];
        return {base + range.begin, base + range.end};
      }
      std::size_t begin = byte;
      while (begin > 0 && is_continuation(text, begin)) --begin;
      std::size_t end = byte + 1;
      while (end < text.size() && is_continuation(text, end)) ++end;
      return {base + begin, base + end};
    }
  };

  std::size_t offset_of(std::string_view piece) const { return static_cast<std::size_t>(piece.data() - text_.data()); }

  /// Text between two tokens of the raw text.
  void section(std::string_view piece) {
    const std::size_t base = offset_of(piece);
    const std::optional<Normalized> normal = state_.parts.nfc ? nfc(piece, offsets_) : std::nullopt;
    const std::string_view text = normal ? std::string_view(normal->text) : piece;
    const auto origin = [&](std::string_view part) {
      const std::size_t at = normal ? 0 : static_cast<std::size_t>(part.data() - piece.data());
      return Origin{part, base + at, normal ? &*normal : nullptr};
    };
    if (state_.normalized_tokens.empty()) return words(text, origin(text));
    state_.normalized_tokens.cut(text, special_, [&](std::string_view part, const AddedToken* token) {
      if (token == nullptr) return words(part, origin(part));
      added(*token, part, origin(part));
    });
  }

  void added(const AddedToken& token, std::string_view text, const Origin& origin) {
    out_.ids.push_back(token.id);
    if (!offsets_) return;
    out_.offsets.push_back({origin.of(0).begin, origin.of(text.size() - 1).end});
    if (!state_.parts.post.trims.empty()) spaces_.push_back(count_spaces(text));
  }

  /// Text between two tokens of either kind; not empty.
  void words(std::string_view text, const Origin& origin) {
    const bool prefix = state_.parts.prefix_space && text.front() != ' ';
    if (prefix) {
      scratch_.prefixed.assign(1, ' ').append(text);
      text = scratch_.prefixed;
    }
    const std::size_t first = out_.ids.size();
    split_text(state_.parts.splitters, text, may_hold_newer_characters(text), scratch_.match,
               [&](std::string_view word) { state_.parts.model.encode(word, scratch_.bpe, out_.ids); });
    if (offsets_) add_offsets(first, origin, prefix ? 1 : 0);
  }

  /// Offsets of the ids from `first` on. `shift`: bytes put before the text; they count as its first character.
  void add_offsets(std::size_t first, const Origin& origin, std::size_t shift) {
    const auto place = [&](std::size_t byte) { return byte < shift ? 0 : byte - shift; };
    std::size_t at = 0;
    for (std::size_t i = first; i < out_.ids.size(); ++i) {
      const std::string_view token = state_.parts.model.vocabulary().text(out_.ids[i]).value_or("");
      std::size_t length = 0;  // in bytes of text, which is the count of the token's characters
      for (std::size_t byte = 0; byte < token.size(); ++byte) length += is_continuation(token, byte) ? 0u : 1u;
      out_.offsets.push_back({origin.of(place(at)).begin, origin.of(place(at + length - 1)).end});
      if (!state_.parts.post.trims.empty()) spaces_.push_back(count_spaces(token));
      at += length;
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

  const TokenizerState& state_;
  std::string_view text_;
  bool special_;
  bool offsets_;
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
