// SPDX-License-Identifier: Apache-2.0
#include "run_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "veneer/core/error.hpp"

namespace veneer::program {

namespace {

/// Returns " (process 123)" if the lock file has the number of the process.
std::string holder_of(int descriptor) {
  char digits[24];
  const ssize_t size = ::pread(descriptor, digits, sizeof digits, 0);
  std::string number(digits, size > 0 ? static_cast<std::size_t>(size) : 0);
  number.resize(std::min(number.size(), number.find_first_not_of("0123456789")));
  return number.empty() ? "" : " (process " + number + ")";
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& folder) : path_(std::filesystem::absolute(folder) / ".veneer.lock") {
  do {  // repeat if the other run has ended, and removed its file, between open and flock
    file_ = detail::Descriptor(detail::retry_interrupted(
        [&] { return ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644); }));
    if (file_.get() < 0) detail::throw_io(path_, "can't be opened", errno);
    if (detail::retry_interrupted([&] { return ::flock(file_.get(), LOCK_EX | LOCK_NB); }) == 0) continue;
    if (errno != EWOULDBLOCK) return;
    throw ArgumentError("--out " + folder.string() + ": another run" + holder_of(file_.get()) +
                        " is writing there; wait until it has ended, or name another folder");
  } while (!is_current());
  const std::string number = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file_.get(), 0) != 0 || ::pwrite(file_.get(), number.data(), number.size(), 0) < 0) return;
}

RunLock::~RunLock() {
  if (is_current()) ::unlink(path_.c_str());
}

/// Returns whether the name still refers to the open file.
bool RunLock::is_current() const {
  struct stat named = {}, opened = {};
  return ::stat(path_.c_str(), &named) == 0 && ::fstat(file_.get(), &opened) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

}  // namespace veneer::program
