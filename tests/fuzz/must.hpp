// SPDX-License-Identifier: Apache-2.0
/// \file must.hpp
/// What must hold of a result, whatever the input was.
#pragma once

#include <stdexcept>

namespace veneer::fuzz {

/// \throws std::logic_error, which is no veneer::Error and so a finding
inline void must(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace veneer::fuzz
