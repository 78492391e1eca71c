// SPDX-License-Identifier: Apache-2.0
/// \file main.cpp
/// veneer: fine-tunes, runs and inspects Hugging Face models with adapters. One file per subcommand.
///
/// Results go to stdout, everything else to stderr. An error is one message and an exit code, never a stack trace.
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <new>
#include <unistd.h>

#include "veneer/core/error.hpp"
#include "veneer/peft/init/decompose.hpp"  // for attach and load_adapter in the whole program
#include "veneer/version.hpp"

#include "command.hpp"

namespace {

using namespace veneer;
using namespace veneer::program;

int report(const char* message, ExitCode code) {
  std::fprintf(stderr, "veneer: %s\n", message);
  return code;
}

int guarded(const Run& run) {
  try {
    return run();
  } catch (const CLI::Error& error) {
    return report(error.what(), usage);
  } catch (const ArgumentError& error) {
    return report(error.what(), usage);
  } catch (const FormatError& error) {
    return report(error.what(), bad_input);
  } catch (const DiskError& error) {
    return report(error.what(), disk);
  } catch (const IoError& error) {
    return report(error.what(), bad_input);
  } catch (const ShapeError& error) {
    return report(error.what(), bad_input);
  } catch (const MemoryError& error) {
    return report(error.what(), out_of_memory);
  } catch (const std::bad_alloc&) {
    return report("out of memory; a smaller batch, shorter sequences or --checkpointing need less", out_of_memory);
  } catch (const DivergedError& error) {
    return report(error.what(), diverged);
  } catch (const std::exception& error) {
    return report(error.what(), failed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  // If stdin, stdout or stderr is closed, the next opened file would get its number; a closed pipe on output is an
  // ordinary error, not a signal.
  for (int descriptor = ::open("/dev/null", O_RDWR); descriptor >= 0; descriptor = ::dup(descriptor)) {
    if (descriptor <= 2) continue;
    ::close(descriptor);
    break;
  }
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("veneer: a thin trainable layer on a frozen model", "veneer");
  app.set_version_flag("--version", std::string("veneer ") + std::string(version_text));
  app.require_subcommand(1);
  Run run;
  add_train(app, run);
  add_recipes(app, run);
  add_generate(app, run);
  add_evaluate(app, run);
  add_logits(app, run);
  add_plan(app, run);
  add_merge(app, run);
  add_export(app, run);
  add_combine(app, run);
  add_quantize(app, run);
  add_inspect(app, run);
  add_tokenize(app, run);
  add_validate(app, run);
  add_env(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? done : usage;
  }
  return guarded(run);
}
