// SPDX-License-Identifier: Apache-2.0
/// \file
/// `main` of every test executable, compiled once: with Catch2 version 2 this is also where the framework
/// itself is compiled.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

int main(int count, char** arguments) { return Catch::Session().run(count, arguments); }
