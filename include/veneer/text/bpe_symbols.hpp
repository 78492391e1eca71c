// SPDX-License-Identifier: Apache-2.0
/// \file bpe_symbols.hpp
/// What a word is made of before anything is merged.
///
///     byte level       every byte is a token
///     sentencepiece    every character that is a token; of others the bytes, as <0x00> to <0xFF>, or the unknown token
///
/// Kudo and Richardson, "SentencePiece", arXiv:1808.06226; byte fallback as in its trainer's `byte_fallback`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/text/unicode.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

/// The token of a byte in a sentencepiece vocabulary: <0x0A>.
inline std::string byte_token(unsigned char byte) {
  constexpr const char* digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15u] + '>';
}

/// The byte that a token stands for, if it does.
inline std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char digit : token.substr(3, 2)) {
    const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
    if (!((lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'f'))) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(lower <= '9' ? lower - '0' : lower - 'a' + 10);
  }
  return static_cast<unsigned char>(value);
}

/// The first symbols of a word.
class BpeSymbols {
 public:
  static constexpr std::int32_t none = -1;

  /// Bytes: the id of each.
  explicit BpeSymbols(const std::array<std::int32_t, 256>& byte_ids) : byte_ids_(byte_ids) {}

  struct Fallback {
    bool bytes = false;           // a character that is no token becomes its bytes, which are tokens
    std::int32_t unknown = none;  // else this, or nothing at all
    bool fuse_unknown = false;    // neighbours become one
  };

  /// Characters: those of the vocabulary.
  BpeSymbols(const Vocabulary& vocabulary, Fallback fallback)
      : fallback_(fallback), characters_(std::make_shared<Characters>()) {
    vocabulary.for_each([&](std::string_view text, std::int32_t id) {
      const CodePoint point = text.empty() ? CodePoint{} : decode_utf8(text, 0);
      if (point.length == text.size() && point.length > 0) characters_->set(point.value, id);
    });
    for (std::size_t byte = 0; byte < 256 && fallback_.bytes; ++byte) {
      const auto id = vocabulary.id(byte_token(static_cast<unsigned char>(byte)));
      expects(id.has_value(), "veneer::BpeSymbols(vocabulary, fallback): bytes need the tokens <0x00> to <0xFF>");
      byte_ids_[byte] = *id;
    }
  }

  /// Whether words are made of bytes.
  bool bytes() const { return characters_ == nullptr; }

  /// Whether the character is a token. Only for symbols that are characters.
  bool knows(char32_t character) const { return characters_->id(character) != none; }

  /// Calls `emit(id, begin)` for the symbols of a word, which is UTF-8 unless they are bytes; `begin` is a byte of it.
  template <class Emit>
  void cut(std::string_view word, const Emit& emit) const {
    if (bytes()) {
      for (std::size_t at = 0; at < word.size(); ++at) emit(byte_ids_[static_cast<unsigned char>(word[at])], at);
      return;
    }
    constexpr std::size_t nowhere = std::string_view::npos;
    std::size_t unknown = nowhere;  // where a character without a token waits for its neighbours
    const auto end_unknown = [&] {
      if (unknown != nowhere) emit(fallback_.unknown, unknown);
      unknown = nowhere;
    };
    for (std::size_t at = 0; at < word.size();) {
      const CodePoint point = decode_utf8(word, at);
      const std::string_view character = word.substr(at, point.length);
      if (const std::int32_t id = characters_->id(point.value); id != none) {
        end_unknown();
        emit(id, at);
      } else if (fallback_.bytes) {
        for (std::size_t i = 0; i < character.size(); ++i)
          emit(byte_ids_[static_cast<unsigned char>(character[i])], at + i);
      } else if (fallback_.unknown != none) {
        if (!fallback_.fuse_unknown) end_unknown();
        if (unknown == nowhere) unknown = at;
      }
      at += point.length;
    }
    end_unknown();
  }

 private:
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
    std::vector<std::array<std::int32_t, 256>> pages_ = empty_page();  // the first for all that is not there

    static std::vector<std::array<std::int32_t, 256>> empty_page() {
      std::vector<std::array<std::int32_t, 256>> pages(1);
      pages[0].fill(none);
      return pages;
    }
  };

  std::array<std::int32_t, 256> byte_ids_{};
  Fallback fallback_;
  std::shared_ptr<Characters> characters_;
};

}  // namespace veneer
