// SPDX-License-Identifier: Apache-2.0
/// \file schedule.hpp
/// Schedule: the fraction of the learning rate at each step, as in the schedules of transformers.
///
///   warm-up    t / warmup                                                for t < warmup
///   constant   1
///   linear     (total - t) / (total - warmup)
///   cosine     (1 + cos(pi (t - warmup) / (total - warmup))) / 2
/// t counts optimizer steps from 0, so with a warm-up the first step has rate 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"
#include "veneer/core/shape.hpp"

namespace veneer {

struct Schedule {
  enum class Kind { constant, linear, cosine };

  Kind kind = Kind::constant;
  index_t warmup = 0;
  index_t total = 0;   // optimizer steps of the whole run; not used by constant
  double floor = 0.0;  // the smallest fraction

  /// Returns the fraction of the learning rate at a step, counted from 0.
  double factor(index_t step) const {
    if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
    if (kind == Kind::constant) return 1.0;
    const double span = static_cast<double>(std::max<index_t>(1, total - warmup));
    const double progress = std::min(1.0, static_cast<double>(step - warmup) / span);
    const double share = kind == Kind::linear ? 1.0 - progress : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
    return floor + (1.0 - floor) * share;
  }

  /// Returns the schedule with the name "constant", "linear" or "cosine".
  /// \throws ArgumentError for another name
  static Kind kind_of(std::string_view name) {
    if (name == "constant") return Kind::constant;
    if (name == "linear") return Kind::linear;
    if (name == "cosine") return Kind::cosine;
    throw ArgumentError("schedule \"" + std::string(name) + "\" is not known; constant, linear and cosine are");
  }
};

}  // namespace veneer
