// SPDX-License-Identifier: Apache-2.0
/// \file text_fixtures.hpp
/// The golden files of tests/data/text: see its README.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer::test {

inline std::filesystem::path text_data() { return std::filesystem::path(VENEER_TEST_DATA) / "text"; }

/// The rows of a file of JSON lines.
inline std::vector<Json> read_rows(const std::filesystem::path& path) {
  constexpr JsonLimits limits{std::size_t{64} << 20, 64};
  const std::string text = read_text(path, limits.bytes);
  std::vector<Json> rows;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    rows.push_back(parse_json(std::string_view(text).substr(at, end - at), path.string(), limits));
    at = end + 1;
  }
  return rows;
}

inline std::vector<std::int32_t> to_ids(const Json& list) { return list.get<std::vector<std::int32_t>>(); }

/// FNV-1a, 64 bits, in hexadecimal: long results are kept as this.
inline std::string fnv1a64(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[(hash >> shift) & 15u];
  return text;
}

/// The same over ids as little-endian 32-bit numbers.
inline std::string fnv1a64(const std::vector<std::int32_t>& ids) {
  std::string bytes;
  for (const std::int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes += static_cast<char>((static_cast<std::uint32_t>(id) >> shift) & 255u);
  }
  return fnv1a64(bytes);
}

inline const std::vector<std::string>& byte_level_tokenizers() {
  static const std::vector<std::string> names{"llama3-tiny", "gpt2-tiny", "gpt2-prefix-tiny", "qwen2-tiny", "gpt2"};
  return names;
}

inline Tokenizer load_tokenizer(const std::string& name) {
  return Tokenizer::from_folder(text_data() / "tokenizers" / name);
}

}  // namespace veneer::test
