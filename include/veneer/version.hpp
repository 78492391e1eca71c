// SPDX-License-Identifier: Apache-2.0
/// \file
/// The version of the library. This is the only place that states it: the build reads these three numbers.
#pragma once

#include <string_view>

namespace veneer {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

/// The version as text, as the program prints it.
inline constexpr std::string_view version_text = "0.1.0";

}  // namespace veneer
