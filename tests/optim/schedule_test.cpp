// SPDX-License-Identifier: Apache-2.0
#include "veneer/optim/schedule.hpp"

#include "support/catch.hpp"

namespace schedule_test {

using namespace veneer;

TEST_CASE("Schedules start at 0 with a warm-up, reach 1 at its end, and end at their floor") {
  for (const auto kind : {Schedule::Kind::constant, Schedule::Kind::linear, Schedule::Kind::cosine}) {
    const Schedule schedule{kind, 4, 24, 0.0};
    CHECK(schedule.factor(0) == 0.0);
    CHECK(schedule.factor(2) == 0.5);
    CHECK(schedule.factor(4) == 1.0);
    const bool falls = kind != Schedule::Kind::constant;
    CHECK(schedule.factor(24) == Approx(falls ? 0.0 : 1.0).margin(1e-15));
    CHECK(schedule.factor(1000) == Approx(falls ? 0.0 : 1.0).margin(1e-15));
    for (index_t step = 4; step < 24; ++step) CHECK(schedule.factor(step + 1) <= schedule.factor(step));
  }
}

TEST_CASE("The cosine gives the rates that transformers records") {
  const Schedule schedule{Schedule::Kind::cosine, 4, 24, 0.0};
  CHECK(0.01 * schedule.factor(5) == Approx(0.009938441702975689).epsilon(1e-14));
  CHECK(0.01 * schedule.factor(14) == Approx(0.005).epsilon(1e-14));
  CHECK(0.01 * schedule.factor(23) == Approx(6.15582970243117e-05).epsilon(1e-12));
}

TEST_CASE("A floor stays") {
  const Schedule schedule{Schedule::Kind::linear, 0, 10, 0.02};
  CHECK(schedule.factor(0) == 1.0);
  CHECK(schedule.factor(10) == Approx(0.02));
  CHECK(schedule.factor(5) == Approx(0.51));
}

TEST_CASE("Names of schedules") {
  CHECK(Schedule::kind_of("cosine") == Schedule::Kind::cosine);
  CHECK_THROWS_AS(Schedule::kind_of("step"), ArgumentError);
}

}  // namespace schedule_test
