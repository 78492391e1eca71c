// SPDX-License-Identifier: Apache-2.0
/// \file run_lock.hpp
/// A lock on the folder that a training run writes, so that no second run writes there at the same time.
///
/// The lock is flock(2) on the file `.veneer.lock` in the folder. The system releases it when the process ends, however
/// it ends, so a file that a crash leaves is not locked. The file holds the number of the process.
#pragma once

#include <filesystem>

#include "veneer/io/file/read.hpp"

namespace veneer::program {

class RunLock {
 public:
  /// Locks a folder that exists. Where the file system has no locks, does nothing.
  /// \throws ArgumentError that names `--out` and the other process when the folder is locked; IoError
  explicit RunLock(const std::filesystem::path& folder);
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

 private:
  bool is_current() const;

  std::filesystem::path path_;
  detail::Descriptor file_{-1};
};

}  // namespace veneer::program
