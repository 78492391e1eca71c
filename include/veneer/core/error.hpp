// SPDX-License-Identifier: Apache-2.0
/// \file error.hpp
/// The exceptions of the library: one class a kind of mistake, so that a program can tell a bad file from a full disk.
///
/// Nothing in the library prints or exits. A message names the function, the file or the tensor; what was found; what
/// was
/// expected; and, where there is something to do, what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace veneer {

/// The root of everything the library throws on purpose.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Extents that do not fit together: the run-time twin of a `static_assert`.
struct ShapeError : Error {
  using Error::Error;
};

/// A value outside what a function accepts: a rank of 0, a rate of 2, a name that matches nothing.
struct ArgumentError : Error {
  using Error::Error;
};

/// A file whose bytes break the rules of its format, or that does not fit the model it is for.
struct FormatError : Error {
  using Error::Error;
};

/// A file that could not be opened, read, written, synced or renamed.
struct IoError : Error {
  using Error::Error;
};

/// A write that failed for want of space.
struct DiskError : IoError {
  using IoError::IoError;
};

/// Memory of the host or of a device is used up.
struct MemoryError : Error {
  using Error::Error;
};

/// A device library (CUDA, cuBLASLt) reported a failure.
struct BackendError : Error {
  using Error::Error;
};

/// A computation left the finite numbers.
struct DivergedError : Error {
  using Error::Error;
};

/// Throws `Failure(message)` unless `condition` holds. Never compiled out: an `assert` is not a check of input.
template <class Failure = ArgumentError>
void expects(bool condition, const std::string& message) {
  if (!condition) throw Failure(message);
}

/// The same without building a string when nothing is wrong.
template <class Failure = ArgumentError>
void expects(bool condition, const char* message) {
  if (!condition) throw Failure(message);
}

}  // namespace veneer
