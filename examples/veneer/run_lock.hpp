// SPDX-License-Identifier: Apache-2.0
/// \file run_lock.hpp
/// RunLock: a lock on the output folder of a training run, so that no second run writes to it at the same time.
///
/// The lock is flock(2) on the file `.veneer.lock` in the folder. The system releases it when the process ends, also
/// after a crash, so a leftover file is not locked. The file contains the number of the process.
#pragma once

#include <filesystem>

#include "veneer/io/file/read.hpp"

namespace veneer::program {

class RunLock {
 public:
  /// Locks an existing folder. Has no effect if the file system has no locks.
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
