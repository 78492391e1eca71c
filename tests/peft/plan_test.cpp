// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/plan.hpp"

#include <sstream>
#include <string>

#include "support/catch.hpp"

namespace plan_test {

using namespace veneer;

namespace {

std::string text(const AdapterPlan& plan) {
  std::ostringstream out;
  out << plan;
  return out.str();
}

}  // namespace

TEST_CASE("numbers are cut into groups of three") {
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(1000) == "1,000");
  CHECK(with_commas(123456) == "123,456");
  CHECK(with_commas(6738415616) == "6,738,415,616");
}

TEST_CASE("the line of parameters is PEFT's") {
  CHECK(parameter_line(4194304, 6742609920) ==
        "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622");
  CHECK(parameter_line(8720, 142160) == "trainable params: 8,720 || all params: 142,160 || trainable%: 6.1339");
  CHECK(parameter_line(0, 0) == "trainable params: 0 || all params: 0 || trainable%: 0.0000");
}

TEST_CASE("all counts the base once, adapters, and copies that train beside the original") {
  AdapterPlan plan;
  plan.base_parameters = 1000;
  CHECK(plan.trainable() == 0);
  CHECK(plan.all() == 1000);
  plan.modules = {{"a", 4, 6, 2, 4.0, 2.0, 20}, {"b", 4, 6, 1, 4.0, 4.0, 10}};
  CHECK(plan.trainable() == 30);
  CHECK(plan.all() == 1030);
  plan.trained = {{"a.bias", 4, false}, {"head.weight", 200, true}};
  CHECK(plan.trainable() == 234);
  CHECK(plan.all() == 1230);
}

TEST_CASE("a plan is a table, what trains in full, warnings, and the line") {
  AdapterPlan plan;
  plan.base_parameters = 1000;
  plan.modules = {{"layers.0.q", 4096, 11008, 16, 32.0, 2.0, 241664}, {"b", 4, 6, 1, 4.0, 4.0, 10}};
  plan.trained = {{"head.weight", 2000, true}};
  plan.warnings = {"rank_pattern: \"x\" matches no module"};
  CHECK(text(plan) ==
        "module           out       in  rank    alpha  scaling  parameters\n"
        "layers.0.q      4096    11008    16       32        2     241,664\n"
        "b                  4        6     1        4        4          10\n"
        "head.weight  trained in full, 2,000 parameters\n"
        "warning: rank_pattern: \"x\" matches no module\n" +
            parameter_line(plan.trainable(), plan.all()) + "\n");
  CHECK(text(AdapterPlan{}) == parameter_line(0, 0) + "\n");
}

}  // namespace plan_test
