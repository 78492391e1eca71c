// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/task_arithmetic.hpp"

#include "support/catch.hpp"

namespace task_arithmetic_test {

using namespace veneer;

namespace {
using Values = std::vector<double>;
const Values first{4, -3, 2, -1, 0.5, 0}, second{1, 3, 2, -4, -6, 0};
}  // namespace

TEST_CASE("the largest are kept, rounded down in number, of equal ones the first") {
  CHECK(keep_largest(first, 0.5) == Values{4, -3, 2, 0, 0, 0});
  CHECK(keep_largest(first, 0.4) == Values{4, -3, 0, 0, 0, 0});
  CHECK(keep_largest(first, 1.0) == first);
  CHECK(keep_largest(first, 0.0) == Values(6, 0.0));
  CHECK(keep_largest({1, -1, 1, 1}, 0.5) == Values{1, -1, 0, 0});
  CHECK_THROWS_WITH(keep_largest(first, 1.5), Catch::Contains("density"));
  CHECK_THROWS_AS(keep_largest(first, -0.1), ArgumentError);
}

TEST_CASE("what is dropped at random is made up for: the mean stays") {
  const Values ones(20000, 1.0);
  double sum = 0.0;
  for (const double value : drop_randomly(ones, 0.25, {7, 1})) {
    CHECK((value == 0.0 || value == 4.0));
    sum += value;
  }
  CHECK(sum / 20000.0 == Approx(1.0).epsilon(0.05));  // four deviations of the mean, sqrt(3 / 20000)
  CHECK(drop_randomly(ones, 0.25, {7, 1}) == drop_randomly(ones, 0.25, {7, 1}));
  CHECK(drop_randomly(ones, 0.25, {7, 1}) != drop_randomly(ones, 0.25, {7, 2}));
  CHECK(drop_randomly(first, 1.0, {}) == first);
  CHECK_THROWS_AS(drop_randomly(first, 0.0, {}), ArgumentError);
}

TEST_CASE("the rules, by hand") {
  const std::vector<Values> tasks{first, second};
  const Values weights{1.0, 0.5};
  CHECK(combine_tasks(TaskRule::linear, tasks, weights) == Values{4.5, -1.5, 3, -3, -2.5, 0});
  CHECK(combine_tasks(TaskRule::magnitude_prune, tasks, weights, 0.5) == Values{4, -1.5, 2, -2, -3, 0});
  // Signs of the sums: + + + - - +; a sum of 0 is +. Means over those that agree.
  CHECK(combine_tasks(TaskRule::ties, tasks, weights) == Values{2.25, 1.5, 1.5, -1.5, -3, 0});
  // Signs by count: + 0 + - 0 0, and 0 is +.
  CHECK(combine_tasks(TaskRule::ties, tasks, weights, 1.0, MajoritySign::frequency) ==
        Values{2.25, 1.5, 1.5, -1.5, 0.5, 0});
  CHECK(combine_tasks(TaskRule::ties, {first}, {2.0}, 0.5) == Values{8, -6, 4, 0, 0, 0});
  CHECK(combine_tasks(TaskRule::dare_linear, tasks, weights) == combine_tasks(TaskRule::linear, tasks, weights));
  CHECK(combine_tasks(TaskRule::dare_ties, tasks, weights) == combine_tasks(TaskRule::ties, tasks, weights));
  CHECK_THROWS_AS(combine_tasks(TaskRule::linear, tasks, {1.0}), ArgumentError);
  CHECK_THROWS_AS(combine_tasks(TaskRule::linear, {first, {1.0}}, weights), ShapeError);
}

TEST_CASE("tasks drop values apart from each other") {
  const Values ones(1000, 1.0);
  const Values sum = combine_tasks(TaskRule::dare_linear, {ones, ones}, {1.0, 1.0}, 0.5, MajoritySign::total, {3, 1});
  int once = 0;
  for (const double value : sum) once += value == 2.0 ? 1 : 0;
  CHECK(once > 400);  // 500 are expected to be kept by one of the two only, stddev 16
  CHECK(once < 600);
}

}  // namespace task_arithmetic_test
