// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu/isa.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "support/catch.hpp"
#include "support/message_of.hpp"

namespace isa_test {

using namespace veneer;
using testing::message_of;

TEST_CASE("the table in use is the one that VENEER_ISA names, or else the best") {
  const char* forced = std::getenv("VENEER_ISA");
  const cpu::Kernels* best = nullptr;
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    if (set.usable && set.worthwhile) best = set.kernels;
  }
  REQUIRE(best != nullptr);
  const std::string expected = forced == nullptr || *forced == '\0' ? best->name : forced;
  CHECK(cpu::kernels().name == expected);
}

TEST_CASE("the generic kernels run on every processor, and every set has a name of its own") {
  std::set<std::string> names;
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    names.insert(set.kernels->name);
    if (!set.usable) WARN("not tested, because this processor lacks it: " << set.kernels->name);
  }
  CHECK(names.size() == cpu::instruction_sets().size());
  CHECK(cpu::instruction_sets()[0].kernels->name == std::string("generic"));
  CHECK(cpu::instruction_sets()[0].usable);
}

TEST_CASE("every table is complete") {
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    const cpu::Kernels& k = *set.kernels;
    CAPTURE(k.name);
    CHECK((k.float32.run != nullptr && k.float64.run != nullptr && k.dots != nullptr && k.dots64 != nullptr));
    CHECK((k.widen != nullptr && k.widen_half != nullptr && k.narrow != nullptr));
    CHECK((k.transpose != nullptr && k.interleave != nullptr));
    CHECK((k.look_up != nullptr && k.look_up_bfloat16 != nullptr));
    CHECK((k.narrow_past == nullptr) == (k.fence == nullptr));
    CHECK((k.bfloat16_pairs.enter == nullptr) == (k.bfloat16_pairs.leave == nullptr));
  }
}

TEST_CASE("kernels are found by name, and an error lists those that the processor has") {
  const std::string message = message_of([] { cpu::kernels_named("sse9"); });
  CHECK(message.find("VENEER_ISA=sse9") != std::string::npos);
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    const std::string name = set.kernels->name;
    CAPTURE(name);
    if (set.usable) {
      CHECK(&cpu::kernels_named(name) == set.kernels);
      CHECK(&cpu::choose_kernels(name.c_str()) == set.kernels);
      CHECK(message.find(name) != std::string::npos);
    } else {
      CHECK_THROWS_AS(cpu::kernels_named(name), ArgumentError);
    }
  }
  CHECK_THROWS_AS(cpu::kernels_named(""), ArgumentError);
  CHECK(&cpu::choose_kernels(nullptr) == &cpu::choose_kernels(""));
}

namespace {

struct Finished {
  int status;
  std::string output;
};

/// Runs the first case of this file in a separate process.
Finished run_with(const std::string& isa) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "VENEER_ISA=" + isa + " '" + program +
                              "' 'the table in use is the one that VENEER_ISA names\\, or else the best' 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  return {::pclose(pipe), output};
}

}  // namespace

TEST_CASE("VENEER_ISA chooses the kernels of a process") {
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    if (!set.usable) continue;
    const Finished finished = run_with(set.kernels->name);
    CAPTURE(set.kernels->name, finished.output);
    CHECK(finished.status == 0);
    CHECK(finished.output.find("1 test case") != std::string::npos);
  }
  const Finished finished = run_with("sse9");
  CHECK(finished.status != 0);
  CHECK(finished.output.find("VENEER_ISA=sse9: this processor has generic") != std::string::npos);
}

}  // namespace isa_test
