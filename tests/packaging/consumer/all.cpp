// SPDX-License-Identifier: Apache-2.0
/// \file
/// A program that includes all of the library, in each of its two files.
#if __has_include("veneer/veneer.hpp")
#include "veneer/veneer.hpp"
#endif
#include <iostream>

#include "veneer/version.hpp"

std::string_view version_seen_again();

int main() {
  std::cout << "veneer " << veneer::version_text << '\n';
  return version_seen_again() == veneer::version_text ? 0 : 1;
}
