// SPDX-License-Identifier: Apache-2.0
/// \file clip.hpp
/// clip_gradients(optimizer, max_norm): scales the gradients of all parameters so that their joint norm is
/// at most max_norm.
///
///   g <- g * min(1, max_norm / (||g|| + 1e-6))      Pascanu et al., arXiv:1211.5063, algorithm 1; 1e-6 as in PyTorch
#pragma once

#include "veneer/core/error.hpp"

namespace veneer {

/// \param max_norm above 0; 0 turns clipping off
/// \returns the norm before clipping
template <class Optimizer>
double clip_gradients(Optimizer& optimizer, double max_norm) {
  expects(max_norm >= 0.0, "veneer::clip_gradients(optimizer, max_norm): max_norm must be at least 0");
  const double norm = optimizer.gradient_norm();
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm > 0.0 && factor < 1.0) optimizer.scale_gradients(factor);
  return norm;
}

}  // namespace veneer
