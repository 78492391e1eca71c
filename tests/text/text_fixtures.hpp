// SPDX-License-Identifier: Apache-2.0
/// \file text_fixtures.hpp
/// The golden files of tests/data/text: see its README.md.
#pragma once

#include <algorithm>
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

/// Whether ids are those of a row of ids.jsonl.
inline bool same_ids(const Json& row, const std::vector<std::int32_t>& ids) {
  if (row.contains("ids")) return to_ids(row.at("ids")) == ids;
  const auto head = to_ids(row.at("head"));
  const auto tail = to_ids(row.at("tail"));
  return row.at("n").get<std::size_t>() == ids.size() && ids.size() >= 16 &&
         std::equal(head.begin(), head.end(), ids.begin()) && std::equal(tail.rbegin(), tail.rend(), ids.rbegin()) &&
         row.at("hash").get<std::string>() == fnv1a64(ids);
}

/// Whether a decoded text is that of a row of ids.jsonl, whose text was `text`.
inline bool same_text(const Json& row, const std::string& text, const std::string& decoded) {
  if (row.contains("decoded_hash")) return row.at("decoded_hash").get<std::string>() == fnv1a64(decoded);
  return row.value("decoded", text) == decoded;
}

inline const std::vector<std::string>& byte_level_tokenizers() {
  static const std::vector<std::string> names{"llama3-tiny", "gpt2-tiny", "gpt2-prefix-tiny", "qwen2-tiny", "gpt2"};
  return names;
}

/// Those that are a tokenizer.json.
inline const std::vector<std::string>& json_tokenizers() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = byte_level_tokenizers();
    all.insert(all.end(), {"spm-legacy-tiny", "spm-metaspace-tiny"});
    return all;
  }();
  return names;
}

inline Tokenizer load_tokenizer(const std::string& name) {
  return Tokenizer::from_folder(text_data() / "tokenizers" / name);
}

}  // namespace veneer::test
