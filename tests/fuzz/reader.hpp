// SPDX-License-Identifier: Apache-2.0
/// \file reader.hpp
/// Reader: a reader under test, with its corpus, its function and the names of its errors. Each one is a header of
/// readers/ that defines `Reader NAME_reader(const Sources&)`, and a line of CMakeLists.txt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "veneer/core/error.hpp"

#include "support/temporary_folder.hpp"

namespace veneer::fuzz {

struct Reader {
  std::vector<std::string> corpus;
  std::vector<std::string> words;
  /// Returns if there is a result, throws a veneer::Error if the input is invalid. Anything else fails the run.
  std::function<void(const std::string&)> read;
  /// Returns the name of an error, for the counts of a run.
  std::function<std::string(const Error&)> reason;
};

/// The sources of the corpus.
struct Sources {
  std::filesystem::path data, root;  // tests/data, and the repository
};

inline std::string kind_of(const Error& error) {
  if (dynamic_cast<const FormatError*>(&error) != nullptr) return "another FormatError";
  if (dynamic_cast<const ArgumentError*>(&error) != nullptr) return "ArgumentError";
  return "another Error";
}

/// Returns the reason in errors of type E.
template <class E>
std::string reason_of(const Error& error) {
  const auto* own = dynamic_cast<const E*>(&error);
  return own != nullptr ? std::string(to_string(own->reason)) : kind_of(error);
}

/// Returns the files of a folder, or a file; none above `limit` bytes, so that an input takes little time.
inline std::vector<std::string> files_of(const std::filesystem::path& path, std::size_t limit = 8192) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(path);
  }
  std::vector<std::string> texts;
  for (const auto& file : paths) {
    if (std::filesystem::is_regular_file(file) && std::filesystem::file_size(file) <= limit)
      texts.push_back(testing::file_bytes(file));
  }
  return texts;
}

/// Adds valid inputs often enough that half of the inputs begin from one.
inline void favour(std::vector<std::string>& corpus, const std::vector<std::string>& good) {
  for (std::size_t i = 0, others = corpus.size(); i < others; ++i) corpus.push_back(good[i % good.size()]);
}

}  // namespace veneer::fuzz
