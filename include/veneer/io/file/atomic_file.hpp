// SPDX-License-Identifier: Apache-2.0
/// \file atomic_file.hpp
/// Atomic file writes: a temporary file next to the target is written, synced, and renamed over the target, and the
/// folder is synced.
///
/// At every moment, also after a crash or a kill, the target has either the old or the new bytes. If writing fails
/// before the rename, the target is unchanged and the temporary file is removed (`IoError`, `DiskError`). If a sync
/// fails after the rename, the new file is in place but may not be on the disk (`DurabilityError`). A killed process
/// may leave a hidden temporary file.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "veneer/core/error.hpp"
#include "veneer/io/file/read.hpp"

namespace veneer {

/// The new file or folder is in place, but may not survive a power failure.
struct DurabilityError : IoError {
  using IoError::IoError;
};

namespace detail {

inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Returns a hidden name next to `target` that is unique within this process; another process may use it.
inline std::filesystem::path temporary_sibling(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
  const std::string name = target.filename().string().substr(0, 180);  // names end at 255 bytes
  return folder_of(target) / ("." + name + ".veneer-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
}

/// Returns the free space of the file system of `folder`, for this user, in bytes; 0 if it is unknown.
inline std::uint64_t free_bytes(const std::filesystem::path& folder) {
  struct statvfs status = {};
  if (::statvfs(folder.c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.f_bavail) * static_cast<std::uint64_t>(status.f_frsize);
}

/// Throws for a failed write to `path`; `needed` is the total number of bytes to write, 0 if unknown.
[[noreturn]] inline void throw_write(const std::filesystem::path& path, const char* what, int number,
                                     std::uint64_t needed) {
  if (number != ENOSPC && number != EDQUOT) throw_io(path, what, number);
  std::string message = path.string() + ": " + what + ": " + system_words(number) + "; ";
  if (needed > 0) message += "needed " + std::to_string(needed) + " bytes, ";
  message += std::to_string(free_bytes(folder_of(path))) + " bytes free";
  if (number == EDQUOT) message += " on the disk, but the quota is exhausted";
  throw DiskError(message + ". Nothing was changed: free some space and write again");
}

/// Syncs the directory entries of a folder. Throws `IoError`.
inline void sync_folder(const std::filesystem::path& folder) {
  const Descriptor opened(
      retry_interrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (opened.get() < 0) throw_io(folder, "can't be opened for syncing", errno);
  if (retry_interrupted([&] { return ::fsync(opened.get()); }) != 0 && errno != EINVAL && errno != ENOTSUP) {
    throw_io(folder, "can't be synced", errno);  // EINVAL, ENOTSUP: the file system cannot sync folders
  }
}

/// Syncs `folder` after a rename. If that fails, throws a `DurabilityError` that says that `path` is in place.
inline void sync_renamed(const std::filesystem::path& path) {
  try {
    sync_folder(folder_of(path));
  } catch (const IoError& error) {
    throw DurabilityError(path.string() + ": written and in place, but perhaps not yet on the disk: " + error.what());
  }
}

}  // namespace detail

/// A file being written. `commit` renames it to its target; without `commit`, the destructor removes it.
class AtomicFile {
 public:
  /// Creates a file that will replace `target` and keep its permissions. `expected_bytes`, if known, is used in the
  /// message about a full disk. A link is replaced, not followed. Throws `IoError`, `DiskError`.
  explicit AtomicFile(std::filesystem::path target, std::uint64_t expected_bytes = 0)
      : target_(std::move(target)), expected_(expected_bytes) {
    struct stat status = {};
    const bool exists = ::lstat(target_.c_str(), &status) == 0;
    if (exists && !S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) {
      throw IoError(target_.string() + ": is a folder or a device: only files are replaced");
    }
    if (!target_.has_filename()) throw IoError(target_.string() + ": expected a path that ends in the name of a file");
    do {
      temporary_ = detail::temporary_sibling(target_);
      file_ = detail::Descriptor(detail::retry_interrupted(
          [&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
    } while (file_.get() < 0 && errno == EEXIST);
    if (file_.get() < 0) {
      const int number = errno;
      temporary_.clear();
      detail::throw_write(target_, "can't be written", number, expected_);
    }
    if (exists && S_ISREG(status.st_mode)) (void)::fchmod(file_.get(), status.st_mode & 0777);  // best effort
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  /// Appends `size` bytes. Throws `IoError`, `DiskError`.
  void write(const void* data, std::size_t size) {
    const char* next = static_cast<const char*>(data);
    while (size > 0) {
      const std::size_t part = std::min(size, std::size_t{1} << 30);  // the system writes less than 2 GiB per call
      const ssize_t done = detail::retry_interrupted([&] { return ::write(file_.get(), next, part); });
      if (done < 0) detail::throw_write(target_, "can't be written", errno, std::max(expected_, written_ + size));
      next += done;
      size -= static_cast<std::size_t>(done);
      written_ += static_cast<std::uint64_t>(done);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Returns the number of bytes written so far.
  std::uint64_t size() const { return written_; }

  /// Renames the file to its target. After an `IoError` or `DiskError` the target is unchanged, after a
  /// `DurabilityError` it is replaced.
  void commit() {
    if (temporary_.empty()) throw IoError(target_.string() + ": was committed already");
    if (detail::retry_interrupted([&] { return ::fsync(file_.get()); }) != 0) {
      detail::throw_write(target_, "can't be synced", errno, std::max(expected_, written_));
    }
    if (!file_.close()) detail::throw_write(target_, "can't be closed", errno, std::max(expected_, written_));
    if (detail::retry_interrupted([&] { return ::rename(temporary_.c_str(), target_.c_str()); }) != 0) {
      detail::throw_write(target_, "can't be put in place", errno, written_);
    }
    temporary_.clear();
    detail::sync_renamed(target_);
  }

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty if there is nothing to remove
  detail::Descriptor file_;
  std::uint64_t expected_;
  std::uint64_t written_ = 0;
};

/// Writes `bytes` to `path` atomically. Throws as `AtomicFile` does.
inline void write_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path, bytes.size());
  file.write(bytes);
  file.commit();
}

/// Writes the output of `fill(AtomicFile&)` to `path` atomically; if it throws, `path` is unchanged.
template <class Fill>
  requires std::invocable<Fill&, AtomicFile&>
void write_atomically(const std::filesystem::path& path, Fill&& fill) {
  AtomicFile file(path);
  fill(file);
  file.commit();
}

}  // namespace veneer
