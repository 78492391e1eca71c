// SPDX-License-Identifier: Apache-2.0
/// \file byte_level.hpp
/// The byte alphabet of GPT-2: every byte is mapped to a printable character, so that a vocabulary of bytes is
/// one of text.
///
///     bytes 21..7E, A1..AC, AE..FF    the character with the same code point
///     the other 68, in order          U+0100, U+0101, ... U+0143      (a space is U+0120 "Ġ", a line end U+010A "Ċ")
///
/// Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/text/unicode.hpp"

namespace veneer {

namespace detail {

constexpr std::array<char32_t, 256> make_byte_alphabet() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    characters[byte] = itself ? static_cast<char32_t>(byte) : next++;
  }
  return characters;
}

inline constexpr std::array<char32_t, 256> byte_alphabet = make_byte_alphabet();

constexpr std::array<int, 0x144> invert_byte_alphabet() {
  std::array<int, 0x144> bytes{};
  for (int& byte : bytes) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[byte_alphabet[byte]] = static_cast<int>(byte);
  return bytes;
}

inline constexpr std::array<int, 0x144> byte_of_character = invert_byte_alphabet();

}  // namespace detail

/// Appends the characters of `bytes`.
inline void append_byte_level(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_utf8(out, detail::byte_alphabet[static_cast<unsigned char>(byte)]);
}

/// Appends the bytes of the characters of a token; if a character does not represent a byte, appends the token's UTF-8.
inline void append_token_bytes(std::string& out, std::string_view token) {
  const std::size_t before = out.size();
  out.resize(before + token.size());
  std::size_t end = before;
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint point = decode_utf8(token, at);
    const int byte = point.value < detail::byte_of_character.size() ? detail::byte_of_character[point.value] : -1;
    if (point.length == 0 || byte < 0) {
      out.resize(before);
      out.append(token);
      return;
    }
    out[end++] = static_cast<char>(byte);
    at += point.length;
  }
  out.resize(end);
}

}  // namespace veneer
