// SPDX-License-Identifier: Apache-2.0
/// \file error_list.hpp
/// ErrorList: all errors of a file or a folder in one exception; the first twenty are listed.
///
///     model: 2 problems
///       a.safetensors: the tensor "x" of the index is missing
///       the tensor "y" is in two files
#pragma once

#include <cstddef>
#include <string>

#include "veneer/core/error.hpp"

namespace veneer::detail {

class ErrorList {
 public:
  /// \param one, several  what the errors are, after their number
  explicit ErrorList(const char* one = "problem", const char* several = "problems") : one_(one), several_(several) {}

  void add(const std::string& error) {
    if (++count_ <= listed) text_ += "\n  " + error;
  }

  /// \param advice  what to do about the errors
  /// \throws FormatError when there are errors
  void throw_if_any(const std::string& where, const std::string& advice = {}) const {
    if (count_ == 0) return;
    throw FormatError(where + ": " + std::to_string(count_) + " " + (count_ == 1 ? one_ : several_) + text_ +
                      (count_ > listed ? "\n  ... and " + std::to_string(count_ - listed) + " more" : "") +
                      (advice.empty() ? "" : "\n" + advice));
  }

 private:
  static constexpr std::size_t listed = 20;
  const char *one_, *several_;
  std::string text_;
  std::size_t count_ = 0;
};

}  // namespace veneer::detail
