// SPDX-License-Identifier: Apache-2.0
/// \file gradcheck.hpp
/// gradient_error(f, xs...): the difference between the gradients of f and central differences, in double.
///
///   (f(x + h e_i) - f(x - h e_i)) / 2h,   h = 1e-5
/// Truncation and rounding together are near 1e-9 of the gradient; with h of 1e-6 and below, rounding dominates. The
/// error is relative to the largest partial derivative of the operand.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "veneer/autograd/tape.hpp"

namespace veneer {

/// Returns the largest error over all operands, each relative to the largest partial derivative of the operand.
/// \param f  takes the tape and one variable per operand, returns a variable of one value; called twice per element
/// \param xs  tensors of double; each element is varied
template <class F, TensorLike... Xs>
double gradient_error(const F& f, const Xs&... xs) {
  Tape tape;
  auto variables = std::tuple{tape.variable(xs)...};
  backward(std::apply([&](const auto&... x) { return f(tape, x...); }, variables));

  const auto value_at = [&] {
    Tape other = Tape::forgetful({}, 0);
    return item(f(other, other.input(xs)...).value());
  };
  double worst = 0.0;
  const auto check = [&](auto x, const auto& variable) {  // x: a handle to the operand, varied in place
    constexpr double step = 1e-5;
    const auto gradient = variable.gradient();
    const std::vector<double> found =
        gradient ? to_host(gradient) : std::vector<double>(static_cast<std::size_t>(x.count()), 0.0);
    double error = 0.0, largest = 0.0;
    std::vector<double> values = to_host(x);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double kept = values[i];
      const auto at = [&](double value) {
        values[i] = value;
        x.device().copy_in(x.data(), values.data(), x.count());
        return value_at();
      };
      const double slope = (at(kept + step) - at(kept - step)) / (2.0 * step);
      values[i] = kept;
      largest = std::max(largest, std::abs(slope));
      error = std::max(error, std::abs(slope - found[i]));
      if (std::isnan(slope) || std::isnan(found[i])) error = INFINITY;
    }
    x.device().copy_in(x.data(), values.data(), x.count());
    worst = std::max(worst, error / std::max(largest, 1e-3));
  };
  std::apply([&](const auto&... variable) { (check(xs, variable), ...); }, variables);
  return worst;
}

}  // namespace veneer
