// SPDX-License-Identifier: Apache-2.0
/// \file error.hpp
/// The exceptions of the library: one class per kind of error, so that a program can distinguish an invalid file from
/// a full disk.
///
/// NoGradient in the library prints or exits. A message names the function, the file or the tensor, the value found, the
/// value expected and, if there is one, a remedy.
#pragma once

#include <stdexcept>
#include <string>

namespace veneer {

/// The base class of all exceptions that the library throws on purpose.
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

/// A file that violates the rules of its format, or that does not fit its model.
struct FormatError : Error {
  using Error::Error;
};

/// A file that could not be opened, read, written, synced or renamed.
struct IoError : Error {
  using Error::Error;
};

/// A write that failed because the disk is full.
struct DiskError : IoError {
  using IoError::IoError;
};

/// Memory of the host or of a device is exhausted.
struct MemoryError : Error {
  using Error::Error;
};

/// A device library (CUDA, cuBLASLt) reported a failure.
struct BackendError : Error {
  using Error::Error;
};

/// A computation gave a value that is not finite.
struct DivergedError : Error {
  using Error::Error;
};

/// Throws `Failure(message)` unless `condition` holds. Unlike an `assert`, it is never compiled out.
template <class Failure = ArgumentError>
void expects(bool condition, const std::string& message) {
  if (!condition) throw Failure(message);
}

/// Throws like `require`, but builds the message only on failure.
template <class Failure = ArgumentError>
void expects(bool condition, const char* message) {
  if (!condition) throw Failure(message);
}

}  // namespace veneer
