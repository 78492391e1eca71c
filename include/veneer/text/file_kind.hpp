// SPDX-License-Identifier: Apache-2.0
/// \file file_kind.hpp
/// Detection of files that are not JSON lines: Parquet, CSV, compressed files, a JSON list.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace veneer {

/// Returns the kind of a file whose first non-blank line begins with `first`, with a remedy; nullopt if it may
/// be JSON lines.
inline std::optional<std::string> binary_kind(std::string_view first) {
  struct Kind {
    std::string_view magic;  // the first bytes of such a file
    std::string_view text;
  };
  using namespace std::literals;
  constexpr std::string_view convert =
      ": write its rows as JSON lines, for example with datasets.load_dataset(...) and to_json(\"data.jsonl\")";
  constexpr std::array<Kind, 12> kinds{
      {{"PAR1", "a Parquet file"},
       {"ARROW1", "an Arrow file"},
       {"\xFF\xFF\xFF\xFF", "an Arrow stream"},
       {"\x89HDF", "an HDF5 file"},
       {"SQLite format 3", "an SQLite database"},
       {"\x1F\x8B", "compressed with gzip: unpack it with gunzip"},
       {"\x28\xB5\x2F\xFD", "compressed with zstd: unpack it with zstd -d"},
       {"\xFD"
        "7zXZ\0"sv,
        "compressed with xz: unpack it with unxz"},
       {"BZh", "compressed with bzip2: unpack it with bunzip2"},
       {"PK\x03\x04", "a zip archive: unpack it with unzip"},
       {"version https://git-lfs", "a git-lfs pointer: fetch the file with git lfs pull"},
       {"<", "HTML or XML: a page instead of the file"}}};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (!first.starts_with(kinds[i].magic)) continue;
    return "this is " + std::string(kinds[i].text) + (i < 5 ? std::string(convert) : "");
  }
  return std::nullopt;
}

/// Returns the kind of a file whose first line is not JSON, with a remedy.
inline std::optional<std::string> text_kind(std::string_view first, const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  const std::size_t begin = first.find_first_not_of(" \t\r");
  const char head = begin == std::string_view::npos ? '\0' : first[begin];
  if (head == '[') {
    return "this is a JSON list over several lines: write one object per line, for example with jq -c '.[]'";
  }
  if (head == '{') {
    const bool opens = first.find_first_not_of(" \t\r", begin + 1) == std::string_view::npos;
    return opens ? std::optional<std::string>(
                       "this is JSON over several lines: write one object per line, for example with jq -c .")
                 : std::nullopt;
  }
  bool named = ending == ".csv" || ending == ".tsv";
  for (std::size_t at = 0; !named && first.find_first_of(",;\t") != std::string_view::npos && at < first.size();) {
    const std::size_t end = std::min(first.find_first_of(",;\t\r", at), first.size());
    for (const std::string_view key : {"text", "prompt", "completion", "instruction", "output", "messages"}) {
      const std::string_view name = first.substr(at, end - at);
      named = named || name == key || (name.size() == key.size() + 2 && name.substr(1, key.size()) == key);
    }
    at = end + 1;
  }
  if (!named) return std::nullopt;
  return "this is a table (CSV): write its rows as JSON lines, for example with pandas.read_csv(...) and "
         "to_json(\"data.jsonl\", orient=\"records\", lines=True)";
}

}  // namespace veneer
