// SPDX-License-Identifier: Apache-2.0
/// \file
/// A program that needs nothing but the standard library and Eigen.
#include <iostream>

#include "veneer/core/error.hpp"
#include "veneer/version.hpp"

int main() {
  try {
    throw veneer::ShapeError("caught");
  } catch (const veneer::Error& error) {
    std::cout << "veneer " << veneer::version_text << ": " << error.what() << '\n';
  }
}
