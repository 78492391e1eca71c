// SPDX-License-Identifier: Apache-2.0
/// \file example_store.hpp
/// ExampleStore: any number of examples in an unnamed file, so that data may be larger than memory.
///
///     example i of n(i) tokens:  ids (n), labels (n), 32 bits each, after example i - 1
///
/// The position of each example and a buffer are in memory; data that fits in the buffer is never written to the disk.
/// The file disappears with the store, however the process ends. It is written with write and read with pread, not
/// mapped: a full disk is a `DiskError`, while a mapping would raise a signal, and the data read is in the system's
/// cache, not in the memory of the process. Any number of threads may read concurrently.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/text/example.hpp"

namespace veneer {

/// Returns the folder of temporary files: $TMPDIR, or else /tmp.
inline std::filesystem::path scratch_folder() {
  const char* folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

class ExampleStore {
 public:
  /// Creates a store with its unnamed file in `folder` and a buffer of `buffer` values in memory.
  explicit ExampleStore(std::filesystem::path folder = scratch_folder(), std::size_t buffer = std::size_t{1} << 20)
      : folder_(std::move(folder)), limit_(buffer) {}

  /// Adds an example. Throws `DiskError` if the disk is full, `IoError`.
  void add(std::span<const std::int32_t> ids, std::span<const std::int32_t> labels) {
    expects(ids.size() == labels.size(), "veneer::ExampleStore::add(ids, labels): expected a label for each id");
    buffer_.insert(buffer_.end(), ids.begin(), ids.end());
    buffer_.insert(buffer_.end(), labels.begin(), labels.end());
    ends_.push_back(tokens() + ids.size());
    if (buffer_.size() >= limit_) write_buffer();
  }
  void add(const Example& example) { add(example.ids, example.labels); }

  std::size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  /// Returns the number of tokens of all examples.
  std::uint64_t tokens() const { return ends_.empty() ? 0 : ends_.back(); }
  std::size_t length(std::size_t example) const { return static_cast<std::size_t>(ends_[example] - begin_of(example)); }
  /// Returns the number of bytes on the disk.
  std::uint64_t bytes_written() const { return written_ * sizeof(std::int32_t); }

  /// Reads an example. Throws `IoError`.
  Example operator[](std::size_t example) const {
    expects(example < size(), "veneer::ExampleStore[example]: there is no such example");
    return part(example, 0, length(example));
  }

  /// Reads `count` tokens of an example, from token `begin` on.
  Example part(std::size_t example, std::size_t begin, std::size_t count) const {
    expects(example < size() && begin <= length(example) && count <= length(example) - begin,
            "veneer::ExampleStore::part(example, begin, count): there is no such part");
    const std::uint64_t ids = 2 * begin_of(example), labels = ids + length(example);
    return {read(ids + begin, count), read(labels + begin, count)};
  }

 private:
  std::uint64_t begin_of(std::size_t example) const { return example == 0 ? 0 : ends_[example - 1]; }

  /// Opens an unnamed file; if the system does not support these, a named file that is unlinked at once.
  void open_file() {
    const auto flags = O_RDWR | O_CLOEXEC;
    file_ = detail::Descriptor(
        detail::retry_interrupted([&] { return ::open(folder_.c_str(), O_TMPFILE | flags, S_IRUSR | S_IWUSR); }));
    if (file_.get() >= 0) return;
    std::string name = (folder_ / "veneer-examples-XXXXXX").string();
    file_ = detail::Descriptor(::mkostemp(name.data(), O_CLOEXEC));
    if (file_.get() < 0) fail("no temporary file can be made here", errno);
    ::unlink(name.c_str());
  }

  void write_buffer() {
    if (file_.get() < 0) open_file();
    const auto bytes = std::as_bytes(std::span(buffer_));
    for (std::size_t done = 0; done < bytes.size();) {
      const auto got =
          detail::retry_interrupted([&] { return ::write(file_.get(), bytes.data() + done, bytes.size() - done); });
      if (got < 0) fail("a temporary file can't be written", errno);
      done += static_cast<std::size_t>(got);
    }
    written_ += buffer_.size();
    buffer_.clear();
  }

  [[noreturn]] void fail(const char* what, int number) const {
    if (number != ENOSPC && number != EDQUOT && number != EFBIG) detail::throw_io(folder_, what, number);
    throw DiskError(folder_.string() + ": " + what + ": " + detail::system_words(number) + "; " +
                    std::to_string(bytes_written()) + " bytes of it are written, " +
                    std::to_string(detail::free_bytes(folder_)) +
                    " bytes are free. Set TMPDIR to a folder with more space");
  }

  /// Reads `count` values from position `at` on, from the file or from the buffer: an example is in one of the two.
  std::vector<std::int32_t> read(std::uint64_t at, std::size_t count) const {
    if (at >= written_) {
      const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(at - written_);
      return {begin, begin + static_cast<std::ptrdiff_t>(count)};
    }
    std::vector<std::int32_t> values(count);
    const auto bytes = std::as_writable_bytes(std::span(values));
    for (std::size_t done = 0; done < bytes.size();) {
      const auto got = detail::retry_interrupted([&] {
        return ::pread(file_.get(), bytes.data() + done, bytes.size() - done,
                       static_cast<off_t>(at * sizeof(std::int32_t) + done));
      });
      if (got < 0) detail::throw_io(folder_, "a temporary file can't be read", errno);
      if (got == 0) throw IoError(folder_.string() + ": a temporary file ends too early");
      done += static_cast<std::size_t>(got);
    }
    return values;
  }

  std::filesystem::path folder_;
  std::size_t limit_;
  detail::Descriptor file_;
  std::vector<std::int32_t> buffer_;  // values not yet written
  std::uint64_t written_ = 0;         // values in the file
  std::vector<std::uint64_t> ends_;   // tokens up to the end of each example
};

}  // namespace veneer
