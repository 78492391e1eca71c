// SPDX-License-Identifier: Apache-2.0
/// \file message_of.hpp
/// The message of the error that a call throws.
#pragma once

#include <functional>
#include <string>

#include "veneer/core/error.hpp"

namespace veneer::testing {

/// Returns the message of the Error that f throws, or an empty text.
inline std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace veneer::testing
