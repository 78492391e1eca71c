// SPDX-License-Identifier: Apache-2.0
/// \file chosen.hpp
/// The settings of the reports: the best ones on validation lines of the task shell, in the grids of tune.cpp.
#pragma once

#include "setting.hpp"

namespace veneer::compare {

/// Returns the setting of a method at rank 8, chosen by `compare tune methods --seeds 1`.
inline Setting chosen(Method method) {
  Setting setting;
  setting.method = method;
  setting.rate = 1e-2;
  if (method == Method::adalora) setting.rate = 2e-2, setting.alpha = 24, setting.orthogonality = 0.5;
  if (method == Method::full) setting.rate = 2e-3;
  return setting;
}

/// Returns the setting of LoRA of a rank, with alpha = 2 rank, chosen by `compare tune ranks --seeds 1`.
inline Setting chosen(index_t rank) {
  Setting setting = chosen(Method::lora);
  setting.rank = rank;
  setting.alpha = 2.0 * static_cast<double>(rank);
  if (rank < 8) setting.rate = 2e-2;
  if (rank > 8) setting.rate = 5e-3;
  return setting;
}

}  // namespace veneer::compare
