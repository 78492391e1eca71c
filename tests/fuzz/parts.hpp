// SPDX-License-Identifier: Apache-2.0
/// \file parts.hpp
/// A folder of files as one input, so that a mutation may change any of them.
///
///     == config.json
///     {"a": 1}
///     == model.safetensors
///     {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
///     abcd
/// A safetensors file that begins with a brace is given without the length of its header, which is then prepended: so a
/// changed header is still read to its end. The line end after the header is not part of the file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "support/temporary_folder.hpp"

namespace veneer::fuzz {

/// Returns the bytes of a safetensors file given as header, line end, data; other bytes unchanged.
inline std::string safetensors_of(std::string_view text) {
  if (!text.starts_with("{")) return std::string(text);
  const std::string_view header = text.substr(0, text.find('\n'));
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += header;
  return bytes.append(text.substr(std::min(text.size(), header.size() + 1)));
}

/// Returns header, line end and data of a safetensors file.
inline std::string safetensors_text(const std::string& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return bytes.substr(8, length) + "\n" + bytes.substr(8 + length);
}

/// Returns the part of a file in an input.
inline std::string part_of(const std::filesystem::path& file) {
  const std::string bytes = testing::file_bytes(file), name = file.filename().string();
  return "== " + name + "\n" + (name.ends_with(".safetensors") ? safetensors_text(bytes) : bytes) + "\n";
}

/// Returns the parts of these files of a folder.
inline std::string parts_of(const std::filesystem::path& folder, std::initializer_list<const char*> names) {
  std::string text;
  for (const char* name : names) text += part_of(folder / name);
  return text;
}

/// A folder for the files of one input at a time.
class PartsFolder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }

  void write(std::string_view input) const {
    for (const auto& entry : std::filesystem::directory_iterator(path())) std::filesystem::remove_all(entry.path());
    if (input.ends_with('\n')) input.remove_suffix(1);
    std::size_t at = input.starts_with("== ") ? 0 : input.find("\n== ");
    while (at != input.npos) {
      if (input[at] == '\n') ++at;
      const std::size_t line = std::min(input.find('\n', at), input.size());
      const std::size_t end = input.find("\n== ", line);
      const std::string name(input.substr(at + 3, line - at - 3));
      const std::string_view bytes = input.substr(std::min(line + 1, input.size()), end - std::min(line + 1, end));
      if (is_plain(name))
        folder_.file(name, name.ends_with(".safetensors") ? safetensors_of(bytes) : std::string(bytes));
      at = end;
    }
  }

 private:
  /// Returns whether a file with this name is inside the folder.
  static bool is_plain(const std::string& name) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return !name.empty() && name.size() < 100 && name.find_first_not_of(allowed) == name.npos &&
           name.find_first_not_of('.') != name.npos;
  }

  testing::TemporaryFolder folder_;
};

}  // namespace veneer::fuzz
