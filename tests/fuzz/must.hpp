// SPDX-License-Identifier: Apache-2.0
/// \file must.hpp
/// must: checks of results, whatever the input was.
#pragma once

#include <stdexcept>

namespace veneer::fuzz {

/// \throws std::logic_error, which is not a veneer::Error and thus fails the run
inline void must(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace veneer::fuzz
