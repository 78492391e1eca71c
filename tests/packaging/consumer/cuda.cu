// SPDX-License-Identifier: Apache-2.0
/// \file
/// A program that includes the CUDA backend; it runs where there is no device too.
#if __has_include("veneer/cuda.hpp")
#include "veneer/cuda.hpp"
#endif
#include <iostream>

#include "veneer/version.hpp"

int main() { std::cout << "veneer " << veneer::version_text << '\n'; }
