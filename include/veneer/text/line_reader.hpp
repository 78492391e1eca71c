// SPDX-License-Identifier: Apache-2.0
/// \file line_reader.hpp
/// LineReader: reads the lines of a file of any size, one at a time, with their numbers and offsets.
///
/// Lines end with LF; a CR before it is part of the line. A UTF-8 byte order mark at the start of the file is skipped.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>

#include "veneer/core/error.hpp"
#include "veneer/io/file/read.hpp"
#include "veneer/text/dataset_error.hpp"

namespace veneer {

/// A line without its LF. The text is valid until the next line is read.
struct Line {
  std::string_view text;
  std::size_t number;    // from 1
  std::uint64_t offset;  // of the first byte, in the file
  bool ended;            // by LF; else by the end of the file
};

class LineReader {
 public:
  /// Opens a file. `limit` is the largest length of a line, in bytes. Throws `IoError`.
  explicit LineReader(const std::filesystem::path& path, std::size_t limit = std::size_t{64} << 20)
      : name_(path.string()),
        limit_(limit),
        file_(detail::retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); })) {
    if (file_.get() < 0) throw IoError(name_ + ": cannot be opened: " + detail::system_words(errno));
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0 || S_ISDIR(status.st_mode))
      throw IoError(name_ + ": is a folder; expected a file");
  }

  /// Returns the next line, or nullopt at the end. Throws `DatasetError` (line_too_long) and `IoError`.
  std::optional<Line> next() {
    if (number_ == 0) skip_mark();
    std::size_t seen = 0;
    for (;;) {
      const std::string_view rest = std::string_view(buffer_).substr(begin_);
      const std::size_t end = rest.find('\n', seen);
      const std::size_t length = std::min(end, rest.size());
      if (length > limit_) {
        throw DatasetError(DatasetReason::line_too_long, {number_ + 1, "", {}}, name_,
                           "longer than " + std::to_string(limit_) + " bytes: write one record per line");
      }
      if (end != std::string_view::npos) return take(length, true);
      seen = rest.size();
      if (fill()) continue;
      if (rest.empty()) return std::nullopt;
      return take(length, false);
    }
  }

 private:
  Line take(std::size_t length, bool ended) {
    const Line line{std::string_view(buffer_).substr(begin_, length), ++number_, offset_, ended};
    const std::size_t taken = length + (ended ? 1 : 0);
    begin_ += taken;
    offset_ += taken;
    return line;
  }

  void skip_mark() {
    while (buffer_.size() < 3 && fill()) {
    }
    if (!buffer_.starts_with("\xEF\xBB\xBF")) return;
    begin_ += 3;
    offset_ += 3;
  }

  /// Reads more bytes into the buffer; returns false at the end of the file.
  bool fill() {
    constexpr std::size_t step = std::size_t{1} << 18;
    buffer_.erase(0, std::exchange(begin_, 0));
    const std::size_t size = buffer_.size();
    buffer_.resize(size + std::max(step, size / 2));
    const ssize_t got =
        detail::retry_interrupted([&] { return ::read(file_.get(), buffer_.data() + size, buffer_.size() - size); });
    const int error = errno;
    buffer_.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) throw IoError(name_ + ": cannot be read: " + detail::system_words(error));
    return got > 0;
  }

  std::string name_;
  std::size_t limit_;
  detail::Descriptor file_;
  std::string buffer_;
  std::size_t begin_ = 0;  // of the next line, in the buffer
  std::size_t number_ = 0;
  std::uint64_t offset_ = 0;  // of the next line, in the file
};

}  // namespace veneer
