// SPDX-License-Identifier: Apache-2.0
/// \file bpe_symbols.hpp
/// BpeSymbols: the initial symbols of a word, before any merge.
///
///     bytes            each as its character in the byte alphabet of GPT-2
///     characters       each that is a token, with a prefix or suffix if the model has them
///
/// A character that is not a token becomes its bytes, as <0x00> to <0xFF>, or the unknown token, or is dropped.
///
/// Kudo and Richardson, "SentencePiece", arXiv:1808.06226; byte fallback as in its trainer's `byte_fallback`.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/byte_level.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/unicode.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

/// Returns the token of a byte in a sentencepiece vocabulary, such as <0x0A>.
inline std::string byte_token(unsigned char byte) {
  constexpr const char* digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15u] + '>';
}

/// Returns the byte that a token represents, if any.
inline std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const std::optional<char32_t> value = hex_value(token, 3, 2);
  if (!value) return std::nullopt;
  return static_cast<unsigned char>(*value);
}

/// The mapping from a word to its initial symbols.
class BpeSymbols {
 public:
  static constexpr std::int32_t none = -1;

  struct Fallback {
    bool bytes = false;           // unknown characters become their bytes, if all of these are tokens
    std::int32_t unknown = none;  // otherwise this token; none: they are dropped
    bool fuse_unknown = false;    // adjacent ones become one token
  };

  /// The prefix of every character except the first of a word, and the suffix of the last, for the lookup.
  struct Affixes {
    std::string prefix, suffix;
    bool empty() const { return prefix.empty() && suffix.empty(); }
  };

  /// Returns the symbols for words of bytes, each a character of the byte alphabet in the vocabulary.
  static BpeSymbols of_bytes(const Vocabulary& vocabulary, Fallback fallback) {
    BpeSymbols symbols(vocabulary, fallback);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      symbols.byte_ids_[byte] = vocabulary.id(spelling_of(static_cast<unsigned char>(byte))).value_or(none);
      symbols.gaps_ = symbols.gaps_ || symbols.byte_ids_[byte] == none;
    }
    return symbols;
  }

  /// Returns the symbols for words of characters.
  static BpeSymbols of_characters(const Vocabulary& vocabulary, Fallback fallback, Affixes affixes = {}) {
    BpeSymbols symbols(vocabulary, fallback);
    symbols.characters_ = std::make_shared<Characters>();
    vocabulary.for_each([&](std::string_view text, std::int32_t id) {
      const CodePoint point = text.empty() ? CodePoint{} : decode_utf8(text, 0);
      if (point.length == text.size() && point.length > 0) symbols.characters_->set(point.value, id);
    });
    if (!affixes.empty()) symbols.spelled_ = std::make_shared<Spelled>(vocabulary, std::move(affixes));
    return symbols;
  }

  /// Returns whether the symbols are bytes.
  bool bytes() const { return characters_ == nullptr; }

  /// Returns whether any byte is not a token. Only for symbols that are bytes.
  bool has_gaps() const { return gaps_; }

  /// Returns whether the character is a token at any position. Only for symbols that are characters.
  bool knows(char32_t character) const { return spelled_ == nullptr && characters_->id(character) != none; }

  /// Returns whether every character becomes symbols: itself or its bytes.
  bool knows_all_bytes() const {
    return fallback_.bytes && std::find(byte_tokens_.begin(), byte_tokens_.end(), none) == byte_tokens_.end();
  }

  /// Calls `emit(id, bytes)` for the symbols of a word, which is UTF-8 unless they are bytes.
  template <class Emit>
  void cut(std::string_view word, const Emit& emit) const {
    if (bytes() && !gaps_) {
      for (std::size_t at = 0; at < word.size(); ++at)
        emit(byte_ids_[static_cast<unsigned char>(word[at])], ByteRange{at, at + 1});
      return;
    }
    Run<Emit> run{*this, emit, std::nullopt};
    if (bytes()) {
      for (std::size_t at = 0; at < word.size(); ++at) {
        const auto byte = static_cast<unsigned char>(word[at]);
        run.take(byte_ids_[byte], {at, at + 1}, [&] { return spelling_of(byte); });
      }
    } else {
      for (std::size_t at = 0; at < word.size();) {
        const CodePoint point = decode_utf8(word, at);
        const std::size_t end = at + point.length;
        const auto spelling = [&] { return spelled(word, at, end); };
        const std::int32_t id = spelled_ == nullptr ? characters_->id(point.value) : spelled_->id(spelling());
        run.take(id, {at, end}, spelling);
        at = end;
      }
    }
    run.end_unknown();
  }

 private:
  BpeSymbols(const Vocabulary& vocabulary, Fallback fallback) : fallback_(fallback) {
    for (std::size_t byte = 0; byte < 256 && fallback_.bytes; ++byte)
      byte_tokens_[byte] = vocabulary.id(byte_token(static_cast<unsigned char>(byte))).value_or(none);
  }

  static std::string spelling_of(unsigned char byte) {
    std::string text;
    append_utf8(text, detail::byte_alphabet[byte]);
    return text;
  }

  /// Returns the text by which the character at [at, end) of a word is looked up.
  std::string spelled(std::string_view word, std::size_t at, std::size_t end) const {
    const std::string character(word.substr(at, end - at));
    if (spelled_ == nullptr) return character;
    const Affixes& affixes = spelled_->affixes;
    return (at > 0 ? affixes.prefix : "") + character + (end == word.size() ? affixes.suffix : "");
  }

  /// The state while one word is converted.
  template <class Emit>
  struct Run {
    const BpeSymbols& symbols;
    const Emit& emit;
    std::optional<ByteRange> unknown;  // pending bytes without a token, possibly fused with the following ones

    void end_unknown() {
      if (unknown) emit(symbols.fallback_.unknown, *unknown);
      unknown.reset();
    }

    /// Adds a symbol; if `id` is none, `spelling()` is the text without a token.
    template <class Spelling>
    void take(std::int32_t id, ByteRange bytes, const Spelling& spelling) {
      if (id != none) {
        end_unknown();
        emit(id, bytes);
      } else if (!(symbols.fallback_.bytes && fall_back(spelling(), bytes)) && symbols.fallback_.unknown != none) {
        if (!symbols.fallback_.fuse_unknown) end_unknown();
        unknown = {unknown ? unknown->begin : bytes.begin, bytes.end};
      }
    }

    /// Emits the bytes of a character; as in tokenizers, a pending unknown token is emitted after these bytes.
    bool fall_back(const std::string& text, ByteRange bytes) const {
      const auto id = [&](char byte) { return symbols.byte_tokens_[static_cast<unsigned char>(byte)]; };
      if (std::any_of(text.begin(), text.end(), [&](char byte) { return id(byte) == none; })) return false;
      const bool each = text.size() == bytes.end - bytes.begin;
      for (std::size_t i = 0; i < text.size(); ++i)
        emit(id(text[i]), each ? ByteRange{bytes.begin + i, bytes.begin + i + 1} : bytes);
      return true;
    }
  };

  /// Every token by its text, for words with affixes.
  struct Spelled {
    Spelled(const Vocabulary& vocabulary, Affixes with) : affixes(std::move(with)) {
      vocabulary.for_each([&](std::string_view text, std::int32_t token) { ids.emplace(text, token); });
    }
    std::int32_t id(const std::string& text) const {
      const auto found = ids.find(text);
      return found == ids.end() ? none : found->second;
    }
    Affixes affixes;
    std::unordered_map<std::string, std::int32_t> ids;
  };

  /// Ids by code point, in pages of 256.
  class Characters {
   public:
    void set(char32_t character, std::int32_t id) {
      std::uint16_t& page = page_of_[character >> 8];
      if (page == 0) {
        pages_.emplace_back();
        pages_.back().fill(none);
        page = static_cast<std::uint16_t>(pages_.size() - 1);
      }
      pages_[page][character & 255u] = id;
    }
    std::int32_t id(char32_t character) const { return pages_[page_of_[character >> 8]][character & 255u]; }

   private:
    std::array<std::uint16_t, 0x1100> page_of_{};
    std::vector<std::array<std::int32_t, 256>> pages_ = empty_page();  // the first one is shared by all absent pages

    static std::vector<std::array<std::int32_t, 256>> empty_page() {
      std::vector<std::array<std::int32_t, 256>> pages(1);
      pages[0].fill(none);
      return pages;
    }
  };

  std::array<std::int32_t, 256> byte_ids_{};     // of the byte alphabet
  std::array<std::int32_t, 256> byte_tokens_{};  // <0x00> to <0xFF>
  Fallback fallback_;
  bool gaps_ = false;
  std::shared_ptr<Characters> characters_;
  std::shared_ptr<Spelled> spelled_;
};

}  // namespace veneer
