// SPDX-License-Identifier: Apache-2.0
/// \file model_lines.hpp
/// Conversion of a tokenizer.model to lines of text and back, so that a changed one remains a protocol buffer.
///
///     lines            marks that lines follow
///     1 -3.5 piece     a piece: its type, its score, its text
///     =1a0412...       another record, in hexadecimal
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "veneer/text/protobuf.hpp"

#include "fuzz/must.hpp"

namespace veneer::fuzz {

/// Returns a record of a protocol buffer: a number, a length and bytes.
inline std::string protobuf_record(int number, std::string_view bytes) {
  std::string record(1, static_cast<char>(number << 3 | 2));
  std::size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) record += static_cast<char>((size & 0x7F) | 0x80);
  record += static_cast<char>(size);
  return record.append(bytes);
}

/// Returns the lines of a model, with its first `tokens` pieces.
inline std::string model_lines(const std::string& bytes, std::size_t tokens) {
  constexpr const char* digits = "0123456789abcdef";
  std::string lines = "lines\n", others;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const auto field = veneer::detail::take_field(rest);
    must(field.has_value(), "a model of the corpus can't be read");
    if (field->number == 1 && tokens > 0) {
      --tokens;
      std::string piece, type = "1", score = "0";
      for (std::string_view inner = field->bytes; const auto part = veneer::detail::take_field(inner);) {
        if (part->number == 1) piece = part->bytes;
        if (part->number == 2) score = std::to_string(part->as_float());
        if (part->number == 3) type = std::to_string(part->value);
      }
      lines += type + " " + score + " " + piece + "\n";
    } else if (field->number != 1) {
      others += "=";
      for (const char byte : protobuf_record(static_cast<int>(field->number), field->bytes))
        others += {digits[static_cast<unsigned char>(byte) >> 4], digits[static_cast<unsigned char>(byte) & 15]};
      others += "\n";
    }
  }
  return lines + others;
}

/// Returns the model of such lines, without checks.
inline std::string model_of_lines(const std::string& text) {
  std::string model;
  std::size_t end = 0;
  for (std::size_t at = text.find('\n') + 1; at < text.size(); at = end + 1) {
    end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.starts_with("=")) {
      for (std::size_t i = 1; i + 1 < line.size(); i += 2)
        model += static_cast<char>(std::strtoul(line.substr(i, 2).c_str(), nullptr, 16));
      continue;
    }
    char* behind = nullptr;
    const auto type = static_cast<unsigned>(std::strtoul(line.c_str(), &behind, 10));
    const float score = std::strtof(behind, &behind);
    std::string piece = protobuf_record(1, *behind == '\0' ? behind : behind + 1);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &score, sizeof bits);
    piece += '\x15';
    for (unsigned shift = 0; shift < 32; shift += 8) piece += static_cast<char>((bits >> shift) & 0xFF);
    piece += {'\x18', static_cast<char>(type & 0x7F)};
    model += protobuf_record(1, piece);
  }
  return model;
}

}  // namespace veneer::fuzz
