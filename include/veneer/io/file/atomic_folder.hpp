// SPDX-License-Identifier: Apache-2.0
/// \file atomic_folder.hpp
/// Atomic folder writes: a folder is built under a hidden name next to its target, synced, and swapped in.
///
/// If the file system can exchange two names in one step (Linux: ext4, xfs, btrfs, tmpfs), the target exists at every
/// moment. Otherwise the old folder is renamed first, then the new one, and the old one is renamed back if that fails:
/// a kill between two renames leaves the old folder under its hidden name `.<name>.veneer-<process>-<count>`.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>
#include <sys/syscall.h>

#include "veneer/core/error.hpp"
#include "veneer/io/file/atomic_file.hpp"
#include "veneer/io/file/read.hpp"

namespace veneer {

/// The treatment of the files of the replaced folder.
enum class OtherFiles {
  keep,    // move files with names that the new folder lacks (as hard links, so that a crash loses none)
  remove,  // the new folder contains only the written files
};

namespace detail {

/// Swaps two names in one step; returns false if the file system does not support it. Throws `IoError`, `DiskError`.
inline bool exchange_names(const std::filesystem::path& a, const std::filesystem::path& b) {
#if defined(SYS_renameat2)
  constexpr unsigned rename_exchange = 2;  // RENAME_EXCHANGE of linux/fs.h
  const long done = retry_interrupted(
      [&] { return ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), rename_exchange); });
  if (done == 0) return true;
  if (errno != ENOSYS && errno != EINVAL && errno != ENOTSUP) throw_write(b, "can't be put in place", errno, 0);
#else
  (void)a, (void)b;
#endif
  return false;
}

inline void rename_or_throw(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (retry_interrupted([&] { return ::rename(from.c_str(), to.c_str()); }) != 0) {
    throw_write(to, "can't be put in place", errno, 0);
  }
}

/// Renames a folder; returns false if another program has created a folder with the new name in the meantime.
inline bool renamed_to_free_name(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (retry_interrupted([&] { return ::rename(from.c_str(), to.c_str()); }) == 0) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) throw_write(to, "can't be put in place", errno, 0);
  return false;
}

/// Renames `fresh` to `target` in two steps, and returns the new path of the old `target`. On an `IoError` the old
/// one is restored.
inline std::filesystem::path replace_by_renames(const std::filesystem::path& fresh,
                                                const std::filesystem::path& target) {
  const std::filesystem::path old = temporary_sibling(target);
  rename_or_throw(target, old);
  if (retry_interrupted([&] { return ::rename(fresh.c_str(), target.c_str()); }) != 0) {
    const int number = errno;
    rename_or_throw(old, target);
    throw_write(target, "can't be put in place", number, 0);
  }
  return old;
}

/// Syncs every file and folder in `folder`, and the folder. Throws `IoError`, `DiskError`.
inline void sync_tree(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_directory()) {
      sync_tree(entry.path());
    } else if (entry.is_regular_file()) {
      const OpenedFile file = open_regular(entry.path());
      if (retry_interrupted([&] { return ::fsync(file.descriptor.get()); }) != 0) {
        throw_write(entry.path(), "can't be synced", errno, file.bytes);
      }
    }
  }
  sync_folder(folder);
}

/// Adds to `fresh` a hard link for every file of `old` whose name it lacks, also in sub-folders.
inline void link_others(const std::filesystem::path& old, const std::filesystem::path& fresh) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::directory_iterator(old)) {
    const fs::path target = fresh / entry.path().filename();
    const fs::file_status status = entry.symlink_status();
    if (fs::is_directory(status)) {
      if (!fs::exists(fs::symlink_status(target))) fs::create_directory(target, entry.path());
      if (fs::is_directory(fs::symlink_status(target))) link_others(entry.path(), target);
    } else if (!fs::exists(fs::symlink_status(target))) {
      if (::linkat(AT_FDCWD, entry.path().c_str(), AT_FDCWD, target.c_str(), 0) == 0) continue;
      fs::copy(entry.path(), target, fs::copy_options::copy_symlinks);  // a file system without hard links
    }
  }
}

}  // namespace detail

/// A folder being built. Write files to `path()`; `commit` replaces `target` by it. Without `commit`, the
/// destructor removes it.
class AtomicFolder {
 public:
  /// Creates a folder that will replace `target`, and missing parents. A link to a folder is followed. Throws
  /// `IoError`, `DiskError`; also if `target` is a file or the current folder, which cannot be swapped.
  explicit AtomicFolder(const std::filesystem::path& target, OtherFiles others = OtherFiles::keep) : others_(others) {
    namespace fs = std::filesystem;
    guarded(target, [&] {
      target_ = fs::weakly_canonical(fs::absolute(target));
      if (!target_.has_filename()) target_ = target_.parent_path();
      const bool current = fs::exists(target_) && fs::equivalent(target_, fs::current_path());
      if (!target_.has_filename() || current) {
        throw IoError(target.string() + ": this folder can't be replaced in one step: name a folder inside it");
      }
      if (fs::exists(target_) && !fs::is_directory(target_))
        throw IoError(target.string() + ": is a file, expected a folder");
      fs::create_directories(target_.parent_path());
      do path_ = detail::temporary_sibling(target_);
      while (!fs::create_directory(path_));
    });
  }
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  /// Returns the path to which files are written.
  const std::filesystem::path& path() const { return path_; }

  /// Replaces the target. After an `IoError` or `DiskError` the target is unchanged, after a `DurabilityError`
  /// it is replaced.
  void commit() {
    namespace fs = std::filesystem;
    if (path_.empty()) throw IoError(target_.string() + ": was committed already");
    std::filesystem::path old;
    guarded(target_, [&] {
      for (bool placed = false; !placed;) {
        const bool exists = fs::exists(fs::symlink_status(target_));
        if (exists && others_ == OtherFiles::keep) detail::link_others(target_, path_);
        if (exists) fs::permissions(path_, fs::status(target_).permissions());
        detail::sync_tree(path_);
        if (exists) old = detail::exchange_names(path_, target_) ? path_ : detail::replace_by_renames(path_, target_);
        placed = exists || detail::renamed_to_free_name(path_, target_);
      }
      path_.clear();
    });
    detail::sync_renamed(target_);  // remove the old files only after this: a crash before it may keep only them
    std::error_code ignored;        // a failed removal leaves a hidden folder, which is not an error
    if (!old.empty()) std::filesystem::remove_all(old, ignored);
  }

 private:
  /// Runs `body`, and converts the errors of std::filesystem to errors of this library.
  template <class Body>
  static void guarded(const std::filesystem::path& path, Body body) {
    try {
      body();
    } catch (const std::filesystem::filesystem_error& error) {
      const std::filesystem::path& at = error.path1().empty() ? path : error.path1();
      detail::throw_write(at, "can't be written", error.code().value(), 0);
    }
  }

  std::filesystem::path target_;
  std::filesystem::path path_;  // empty once there is nothing to remove
  OtherFiles others_;
};

}  // namespace veneer
