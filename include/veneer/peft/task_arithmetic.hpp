// SPDX-License-Identifier: Apache-2.0
/// \file task_arithmetic.hpp
/// combine_tasks: elementwise combination of lists t_1, t_2, ... of one length with weights c_1, c_2, ...
///
///   linear            sum_i c_i t_i
///   magnitude_prune   sum_i c_i top(t_i)
///   ties              sum_i c_i top(t_i) [sign top(t_i) = e] / max(1, number of these i)
///   dare_linear       sum_i c_i drop(t_i)
///   dare_ties         as ties, with drop instead of top
/// top keeps the floor(density n) values of largest magnitude, and the first among equal ones; drop keeps each with
/// probability `density` and divides it by that. The elected sign e of an element is that of the sum of the t_i,
/// pruned and without their weights ("total"), or of their signs ("frequency"); a sum of 0 is treated as positive. As
/// in PEFT's merge_utils.py. Ilharco et al., arXiv:2212.04089 (linear); Yadav et al., arXiv:2306.01708 (TIES); Yu et
/// al., arXiv:2311.03099 (DARE).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/random.hpp"
#include "veneer/core/shape.hpp"

namespace veneer {

enum class TaskRule { linear, magnitude_prune, ties, dare_linear, dare_ties };

/// The election of the sign in TIES.
enum class MajoritySign { total, frequency };

/// Returns the `floor(density n)` values of largest magnitude; the others become 0.
inline std::vector<double> keep_largest(std::vector<double> values, double density) {
  expects(density >= 0.0 && density <= 1.0, "density: expected a share from 0 to 1, found " + std::to_string(density));
  const auto kept = static_cast<std::size_t>(density * static_cast<double>(values.size()));
  if (kept == values.size()) return values;
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                   [&](std::size_t a, std::size_t b) {
                     const double x = std::abs(values[a]), y = std::abs(values[b]);
                     return x != y ? x > y : a < b;
                   });
  for (std::size_t i = kept; i < order.size(); ++i) values[order[i]] = 0.0;
  return values;
}

/// Returns each value with probability `density`, divided by it; the others become 0. Element i depends on the source
/// and on i.
inline std::vector<double> drop_randomly(std::vector<double> values, double density, RandomStream source) {
  expects(density > 0.0 && density <= 1.0,
          "density: expected a share above 0 and up to 1, found " + std::to_string(density));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<double>(uniform_at(source, i)) < density ? values[i] / density : 0.0;
  return values;
}

namespace detail {

inline double sign_of(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

/// Returns the weighted mean, without the division by the weights, of the values with the elected sign.
inline double agreeing_mean(const std::vector<std::vector<double>>& tasks, const std::vector<double>& weights,
                            std::size_t i, MajoritySign method) {
  double votes = 0.0, sum = 0.0, count = 0.0;
  for (const std::vector<double>& task : tasks) votes += method == MajoritySign::total ? task[i] : sign_of(task[i]);
  const double elected = votes >= 0.0 ? 1.0 : -1.0;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (sign_of(tasks[t][i]) != elected) continue;
    sum += weights[t] * tasks[t][i];
    count += 1.0;
  }
  return sum / std::max(count, 1.0);
}

}  // namespace detail

/// \param tasks    lists of one length, at least one
/// \param weights  one each
/// \param source   random numbers of `dare`: task t draws from stream source.stream + t
inline std::vector<double> combine_tasks(TaskRule rule, std::vector<std::vector<double>> tasks,
                                         const std::vector<double>& weights, double density = 1.0,
                                         MajoritySign method = MajoritySign::total, RandomStream source = {}) {
  expects(!tasks.empty() && tasks.size() == weights.size(),
          "veneer::combine_tasks: expected at least one list, and a weight for each");
  for (const std::vector<double>& task : tasks)
    expects<ShapeError>(task.size() == tasks[0].size(), "veneer::combine_tasks: the lists must have one length");
  const bool random = rule == TaskRule::dare_linear || rule == TaskRule::dare_ties;
  for (std::size_t t = 0; t < tasks.size() && rule != TaskRule::linear; ++t) {
    tasks[t] = random ? drop_randomly(std::move(tasks[t]), density, {source.seed, source.stream + t})
                      : keep_largest(std::move(tasks[t]), density);
  }
  const bool elects = rule == TaskRule::ties || rule == TaskRule::dare_ties;
  std::vector<double> result(tasks[0].size(), 0.0);
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (elects) result[i] = detail::agreeing_mean(tasks, weights, i, method);
    for (std::size_t t = 0; t < tasks.size() && !elects; ++t) result[i] += weights[t] * tasks[t][i];
  }
  return result;
}

}  // namespace veneer
