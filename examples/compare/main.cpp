// SPDX-License-Identifier: Apache-2.0
/// \file main.cpp
/// compare: comparisons of methods, ranks and adapters on the shipped tasks. One file per comparison; each prints a
/// table and writes a picture. Progress goes to stderr.
#include <cstdio>
#include <exception>
#include <functional>

#include <CLI/CLI.hpp>

#include "veneer/backend/cpu.hpp"
#include "veneer/core/error.hpp"

#include "command.hpp"

int main(int argc, char** argv) {
  using namespace veneer::compare;
  CLI::App app("compare: comparisons of methods, ranks and adapters on the shipped tasks", "compare");
  app.require_subcommand(1);
  Flags flags;
  int threads = 0;
  std::function<void(const Flags&)> run;
  const auto add = [&](const char* name, const char* what, void (*report)(const Flags&)) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("--steps", flags.steps, "optimizer steps of each run")->check(CLI::PositiveNumber);
    command->add_option("--batch", flags.batch, "lines per step")->check(CLI::PositiveNumber);
    command->add_option("--seeds", flags.seeds, "runs of each setting")->check(CLI::PositiveNumber);
    command->add_option("--lines", flags.lines, "held-out lines of each file; 0: all");
    command->add_option("--data", flags.data, "the folder examples/data");
    command->add_option("--out", flags.out, "folder of the picture");
    command->add_option("--threads", threads, "threads; the scores do not depend on it")->check(CLI::PositiveNumber);
    command->callback([&run, report] { run = report; });
    return command;
  };
  add("parameters", "trainable parameters of LoRA on published models; reads no weights", report_parameters);
  add("full", "LoRA compared with full fine-tuning, with and without replay", report_full);
  add("ranks", "LoRA of rank 1 to 64", report_ranks);
  add("methods", "LoRA, QLoRA, DoRA, AdaLoRA and full", report_methods);
  add("swap", "two adapters exchanged on one base", report_swap);
  add("tune", "the grids from which the settings were chosen, on validation lines", tune)
      ->add_option("what", flags.what, "methods, ranks or all")
      ->check(CLI::IsMember({"methods", "ranks", "all"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (threads > 0) veneer::Cpu::set_threads(threads);
    run(flags);
    return 0;
  } catch (const veneer::ArgumentError& error) {
    std::fprintf(stderr, "compare: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "compare: %s\n", error.what());
    return 1;
  }
}
