// SPDX-License-Identifier: Apache-2.0
/// \file example.hpp
/// Example: one sequence to learn from, and what ends it.
#pragma once

#include <cstdint>
#include <vector>

namespace veneer {

/// One sequence to learn from.
struct Example {
  std::vector<std::int32_t> ids;     // (tokens)
  std::vector<std::int32_t> labels;  // (tokens), `ignored_label` where nothing is learned
  friend bool operator==(const Example&, const Example&) = default;
};

/// Puts `eos`, which is learned, behind a document that does not end with it.
inline void end_with(Example& document, std::int32_t eos) {
  if (!document.ids.empty() && document.ids.back() == eos) return;
  document.ids.push_back(eos);
  document.labels.push_back(eos);
}

}  // namespace veneer
