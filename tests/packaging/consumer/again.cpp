// SPDX-License-Identifier: Apache-2.0
/// \file
/// The second file of the program that includes all of the library.
#if __has_include("veneer/veneer.hpp")
#include "veneer/veneer.hpp"
#endif
#include "veneer/version.hpp"

std::string_view version_seen_again();

std::string_view version_seen_again() { return veneer::version_text; }
