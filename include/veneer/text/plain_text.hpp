// SPDX-License-Identifier: Apache-2.0
/// \file plain_text.hpp
/// PlainText: a .txt file as one document, mapped and not copied, without a byte order mark at its start.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include "veneer/io/file.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/file_kind.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// Returns whether a file is one document instead of one record per line, by its name.
inline bool is_plain_text(const std::filesystem::path& path) { return path.extension() == ".txt"; }

class PlainText {
 public:
  /// Maps a file. Throws `DatasetError` for a file that is empty, not UTF-8 or a git-lfs pointer, `IoError`.
  explicit PlainText(const std::filesystem::path& path) : file_(path) {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    const std::string_view all = file_.text();
    if (all.starts_with(mark)) begin_ = mark.size();
    if (const auto bad = find_invalid_utf8(text())) {
      const auto line = 1 + std::count(text().begin(), text().begin() + static_cast<std::ptrdiff_t>(*bad), '\n');
      throw DatasetError(DatasetReason::utf8, {static_cast<std::size_t>(line), "", begin_ + *bad}, path.string(),
                         "the bytes are not UTF-8: save the file as UTF-8");
    }
    if (text().starts_with("version https://git-lfs"))
      throw DatasetError(DatasetReason::other_file, {}, path.string(), *binary_kind(text()));
    if (text().empty()) throw DatasetError(DatasetReason::empty_file, {}, path.string(), "holds no text");
  }

  /// Returns the text, which is valid as long as this object.
  std::string_view text() const { return file_.text().substr(begin_); }

 private:
  MappedFile file_;
  std::size_t begin_ = 0;
};

}  // namespace veneer
