// SPDX-License-Identifier: Apache-2.0
/// \file broken.hpp
/// A reader that fails on purpose.
#pragma once

#include <string>

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

/// Returns a reader that fails like a broken one, to test that failures are detected.
inline Reader broken_reader(const Sources&) {
  return {{"12345678"},
          {"word"},
          [](const std::string& bytes) {
            expects<FormatError>(bytes.size() >= 8, "too short");
            must(bytes.find("word") == std::string::npos, "the reader is broken");
          },
          kind_of};
}

}  // namespace veneer::fuzz
