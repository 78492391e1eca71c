// SPDX-License-Identifier: Apache-2.0
/// \file read.hpp
/// Reading of regular files: into memory, up to a limit, or by mapping. Folders, devices and pipes are refused before
/// anything is read, so a pipe never blocks.
///
/// A file that another process shortens while it is mapped ends this process with SIGBUS: replace files by renaming
/// (veneer/io/file/atomic_file.hpp), never in place.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>

#include "veneer/core/error.hpp"
#include "veneer/core/shape.hpp"
#include "veneer/io/file/substitute.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

namespace detail {

/// Returns the system's message for an error number ("No such file or directory").
inline std::string system_words(int number) { return std::generic_category().message(number); }

[[noreturn]] inline void throw_io(const std::filesystem::path& path, const char* what, int number) {
  throw IoError(path.string() + ": " + what + ": " + system_words(number));
}

/// Repeats a system call as long as it is interrupted by a signal.
template <class Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// The owner of an open file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

  /// Closes the file. Returns false and sets `errno` if the system reports a late failure; on Linux the descriptor is
  /// closed even then, also after EINTR, so there is no retry.
  bool close() { return ::close(std::exchange(number_, -1)) == 0 || errno == EINTR; }

 private:
  int number_;
};

struct OpenedFile {
  Descriptor descriptor;
  std::uint64_t bytes = 0;
};

/// Opens a regular file for reading. Throws `IoError`.
inline OpenedFile open_regular(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe returns at once, so that it is refused two lines below. It has no effect on files.
  Descriptor file(retry_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (file.get() < 0) throw_io(path, "can't be opened for reading", errno);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw_io(path, "can't be examined", errno);
  if (S_ISDIR(status.st_mode)) throw IoError(path.string() + ": is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) throw IoError(path.string() + ": is not a regular file (a device, pipe or socket)");
  return {std::move(file), static_cast<std::uint64_t>(status.st_size)};
}

}  // namespace detail

/// Returns the contents of a file of at most `limit` bytes. Throws `IoError` if it cannot be read, `FormatError` if it
/// is larger, or contains a git-lfs pointer or a web page.
inline std::string read_text(const std::filesystem::path& path, std::size_t limit) {
  const detail::OpenedFile file = detail::open_regular(path);
  const auto refuse_size = [&](std::uint64_t bytes) {
    throw FormatError(path.string() + ": " + std::to_string(bytes) + " bytes, at most " + std::to_string(limit) +
                      " are read");
  };
  if (file.bytes > limit) refuse_size(file.bytes);
  std::string text(static_cast<std::size_t>(file.bytes), '\0');
  std::size_t filled = 0;
  for (;;) {  // files in /proc report 0 bytes but have more, so the size is only a first estimate
    if (filled == text.size()) text.resize(filled + 4096);
    const ssize_t got = detail::retry_interrupted(
        [&] { return ::read(file.descriptor.get(), text.data() + filled, text.size() - filled); });
    if (got < 0) detail::throw_io(path, "can't be read", errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (filled > limit) refuse_size(filled);
  }
  text.resize(filled);
  refuse_substitute(text, path.string());
  return text;
}

namespace detail {

/// Maps a file, read-only, at a multiple of 2 MiB: if the system caches files in huge pages, reading weights then needs
/// few address translations. Returns MAP_FAILED as mmap does.
inline void* map_on_huge_pages(int descriptor, std::size_t bytes) {
  constexpr std::size_t huge = std::size_t{1} << 21;
  const std::size_t room = bytes + huge;
  void* const reserved = ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  const auto begin = reinterpret_cast<std::uintptr_t>(reserved), at = round_up(begin, huge);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), end = round_up(at + bytes, page);
  void* const mapped = ::mmap(reinterpret_cast<void*>(at), bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, descriptor, 0);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    ::munmap(reserved, room);
    errno = error;
    return MAP_FAILED;
  }
  if (at > begin) ::munmap(reserved, at - begin);
  if (begin + room > end) ::munmap(reinterpret_cast<void*>(end), begin + room - end);
  ::madvise(mapped, bytes, MADV_HUGEPAGE);
  return mapped;
}

}  // namespace detail

/// A read-only mapping of a file.
class MappedFile {
 public:
  /// Maps a regular file. Throws `IoError`, or `MemoryError` if the address space is exhausted.
  explicit MappedFile(const std::filesystem::path& path) : path_(path) {
    const detail::OpenedFile file = detail::open_regular(path);
    if (file.bytes > SIZE_MAX) throw MemoryError(path.string() + ": larger than the address space");
    size_ = static_cast<std::size_t>(file.bytes);
    if (size_ == 0) return;  // the system refuses to map an empty file
    void* const mapped = detail::map_on_huge_pages(file.descriptor.get(), size_);
    if (mapped == MAP_FAILED && errno == ENOMEM) {
      throw MemoryError(path.string() + ": not enough memory to map " + std::to_string(size_) + " bytes");
    }
    if (mapped == MAP_FAILED) detail::throw_io(path, "can't be mapped", errno);
    data_ = static_cast<const std::byte*>(mapped);
  }
  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  const std::filesystem::path& path() const { return path_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  /// Returns the memory of the pages within a range of the file to the system; they are read again on access. This
  /// allows copying a large file in parts, with one part in memory at a time.
  void forget(const std::byte* begin, std::size_t bytes) const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto at = reinterpret_cast<std::uintptr_t>(begin), start = reinterpret_cast<std::uintptr_t>(data_);
    if (data_ == nullptr || at < start || at - start > size_ || bytes > size_ - (at - start)) return;
    const std::size_t offset = at - start;
    const std::size_t first = round_up(offset, page), end = (offset + bytes) / page * page;
    if (first < end) ::madvise(const_cast<std::byte*>(data_) + first, end - first, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Checks a file name found in another file, such as a shard in an index: it must be a single plain name, so that it
/// cannot leave its folder. `where` is the file that contains the name. Throws `FormatError`.
inline void check_file_name(std::string_view name, const std::string& where) {
  const char* problem = nullptr;
  if (name.empty()) {
    problem = "is empty";
  } else if (name.size() > 255) {
    problem = "is longer than 255 bytes";
  } else if (name == "." || name == "..") {
    problem = "names a folder";
  } else if (name.find_first_of("/\\") != std::string_view::npos) {
    problem = "has a path separator";
  } else if (name.find('\0') != std::string_view::npos) {
    problem = "holds a NUL byte";
  } else if (name.size() > 1 && name[1] == ':') {
    problem = "begins like a drive";
  }
  if (problem == nullptr) return;
  throw FormatError(where + ": the file name \"" + printable(name) + "\" " + problem +
                    ": expected a plain name of a file in the same folder");
}

/// Returns the path of the file `name` in `folder`; the name is given in the file `where`. The name must be plain, but
/// the file may be a link to anywhere, as in the Hugging Face cache or on another disk. Throws `FormatError` for a name
/// that is not plain, `IoError` if there is no such file.
inline std::filesystem::path file_inside(const std::filesystem::path& folder, std::string_view name,
                                         const std::string& where) {
  namespace fs = std::filesystem;
  check_file_name(name, where);
  const fs::path path = folder / fs::path(name);
  std::error_code error, unread;
  if (fs::exists(path, error)) return path;
  const fs::path target = fs::read_symlink(path, unread);
  if (!unread) throw IoError(path.string() + ": is a link to " + target.string() + ", which is not there");
  throw IoError(path.string() + ": " + (error ? error.message() : detail::system_words(ENOENT)) + " (named in " +
                where + ")");
}

}  // namespace veneer
