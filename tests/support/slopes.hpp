// SPDX-License-Identifier: Apache-2.0
/// \file slopes.hpp
/// Comparison of gradients accumulated in a Parameter with differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "veneer/autograd/tape.hpp"

namespace veneer::testing {

/// Returns the largest distance of a parameter's gradient from central differences of `loss()`, relative to
/// the largest one.
template <ParameterLike P, class F>
double slope_error(P& parameter, const F& loss) {
  std::vector<double> values = to_host(parameter.value());
  std::vector<double> found(values.size(), 0.0);
  if (parameter.gradient()) found = to_host(parameter.gradient());
  double error = 0.0, widest = 1e-3;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double kept = values[i];
    const auto at = [&](double value) {
      values[i] = value;
      parameter.device().copy_in(parameter.value().data(), values.data(), parameter.count());
      return loss();
    };
    const double slope = (at(kept + 1e-5) - at(kept - 1e-5)) / 2e-5;
    at(kept);
    values[i] = kept;
    widest = std::max(widest, std::abs(slope));
    error = std::max(error, std::abs(slope - found[i]));
  }
  return error / widest;
}

/// Runs backward on `loss(tape)` and returns the largest slope_error of the parameters.
template <class F, ParameterLike... P>
double largest_slope_error(const F& loss, P&... parameters) {
  Tape tape;
  backward(loss(tape));
  const auto value = [&] {
    Tape other = Tape::forgetful({}, 0);
    return item(loss(other).value());
  };
  return std::max({slope_error(parameters, value)...});
}

}  // namespace veneer::testing
