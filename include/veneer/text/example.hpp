// SPDX-License-Identifier: Apache-2.0
/// \file example.hpp
/// Example: one sequence of training data.
#pragma once

#include <cstdint>
#include <vector>

namespace veneer {

/// One sequence of training data.
struct Example {
  std::vector<std::int32_t> ids;     // (tokens)
  std::vector<std::int32_t> labels;  // (tokens), `ignored_label` for tokens that are not trained on
  friend bool operator==(const Example&, const Example&) = default;
};

/// Appends `eos`, which is trained on, to a document that does not end with it.
inline void end_with(Example& document, std::int32_t eos) {
  if (!document.ids.empty() && document.ids.back() == eos) return;
  document.ids.push_back(eos);
  document.labels.push_back(eos);
}

}  // namespace veneer
