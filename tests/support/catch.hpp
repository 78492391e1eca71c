// SPDX-License-Identifier: Apache-2.0
/// \file
/// Includes the installed version of Catch2: version 2 is one header, version 3 a folder of them.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>

using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
