// SPDX-License-Identifier: Apache-2.0
/// \file fuzz_readers.cpp
/// fuzz_readers READER COUNT [SEED[:FIRST]] [CORPUS...]: feeds a reader with almost valid input.
///
/// Each input must give a result or a veneer::Error. Another exception, an error of a sanitizer, a signal or ten
/// seconds of processor time fail the run: it prints the seed and the number of the input and writes the input to a
/// file in the current folder. `fuzz_readers READER 1 SEED:NUMBER` reproduces it.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

#include <sys/time.h>

#include "fuzz/mutator.hpp"
#include "reader_headers.inc"  // of the list in CMakeLists.txt

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using namespace veneer;
using namespace veneer::fuzz;

constexpr time_t seconds_an_input = 10;

/// Requests SIGPROF after this number of seconds of processor time; 0: never.
void limit_computing(time_t seconds) {
  itimerval limit{};
  limit.it_value.tv_sec = seconds;
  ::setitimer(ITIMER_PROF, &limit, nullptr);
}

/// The current input, for the report while the process ends.
struct Current {
  const char* reader = "";
  unsigned long long seed = 0, number = 0;
  const std::string* input = nullptr;
};
Current current;

/// Prints the number of the input and writes it to a file. Uses only functions that are allowed in a signal
/// handler, except snprintf.
void report(const char* what) {
  if (current.input == nullptr) return;
  char name[160], line[512];
  std::snprintf(name, sizeof name, "fuzz-%s-%llu-%llu.bin", current.reader, current.seed, current.number);
  const int file = ::open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const bool written = file >= 0 && ::write(file, current.input->data(), current.input->size()) ==
                                        static_cast<ssize_t>(current.input->size());
  if (file >= 0) ::close(file);
  const int size = std::snprintf(line, sizeof line, "%s: input %llu of seed %llu: %.200s; %s %s\n", current.reader,
                                 current.number, current.seed, what, written ? "written to" : "could not write", name);
  if (size > 0 && ::write(2, line, std::min(static_cast<std::size_t>(size), sizeof line - 1)) < 0) return;
}

void on_signal(int signal) {
  report(signal == SIGPROF ? "no end after 10 seconds" : "a signal");
  std::_Exit(1);
}

void catch_signals() {
  static std::vector<char> stack(1 << 16);  // a handler cannot run on an overflowed stack
  stack_t other{};
  other.ss_sp = stack.data();
  other.ss_size = stack.size();
  ::sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGPROF, SIGABRT}) ::sigaction(signal, &action, nullptr);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback([] { report("a finding of the sanitizer"); });
  } else {
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigaction(signal, &action, nullptr);
  }
}

struct Named {
  const char* name;
  Reader (*make)(const Sources&);
};
constexpr Named all_readers[] = {
#include "reader_list.inc"
};

const Named& reader_named(const std::string& name) {
  std::string known;
  for (const Named& each : all_readers) {
    if (each.name == name) return each;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  throw ArgumentError("found reader \"" + name + "\", expected one of " + known);
}

/// The number of inputs by result: "read", or the reason of the error.
using Counts = std::map<std::string, std::uint64_t>;

bool run(const char* name, const Reader& reader, std::uint64_t seed, std::uint64_t first, std::uint64_t count,
         Counts& counts) {
  const Mutator mutator(reader.corpus, reader.words);
  for (std::uint64_t number = first; number < first + count; ++number) {
    const std::string input = mutator.input(seed, number);
    current = {name, seed, number, &input};
    limit_computing(seconds_an_input);
    try {
      reader.read(input);
      ++counts["read"];
    } catch (const Error& error) {
      ++counts[reader.reason(error)];
    } catch (const std::exception& error) {
      report(error.what());
      return false;
    }
    limit_computing(0);
    current.input = nullptr;
  }
  return true;
}

int feed(const std::vector<std::string>& words) {
  const Named& named = reader_named(words.at(0));
  Reader reader = named.make({VENEER_TEST_DATA, VENEER_SOURCE_DIR});
  const std::uint64_t count = std::stoull(words.at(1));
  const std::string place = words.size() > 2 ? words[2] : "1";
  const std::size_t colon = place.find(':');
  const std::uint64_t seed = std::stoull(place),
                      first = colon == std::string::npos ? 0 : std::stoull(place.substr(colon + 1));
  if (words.size() > 3) reader.corpus.clear();
  for (std::size_t i = 3; i < words.size(); ++i)
    for (std::string& text : files_of(words[i], Mutator::longest)) reader.corpus.push_back(std::move(text));
  expects(!reader.corpus.empty(), "the corpus holds no file");
  Counts counts;
  const auto begin = std::chrono::steady_clock::now();
  if (!run(named.name, reader, seed, first, count, counts)) return 1;
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  std::printf("%s: %llu inputs from %zu files, seed %llu, %.1f s\n", named.name, static_cast<unsigned long long>(count),
              reader.corpus.size(), static_cast<unsigned long long>(seed), taken.count());
  for (const auto& [reason, times] : counts)
    std::printf("  %8llu %s\n", static_cast<unsigned long long>(times), reason.c_str());
  const bool deep = counts["read"] > 0 && counts.size() > 1;  // otherwise the inputs were too far from valid ones
  if (count >= 1000 && !deep) std::printf("%s: not both results and errors\n", named.name);
  return count >= 1000 && !deep ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.size() < 2) {
    std::fprintf(stderr, "fuzz_readers READER COUNT [SEED[:FIRST]] [CORPUS...]\n");
    return 2;
  }
  catch_signals();
  try {
    return feed(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz_readers: %s\n", error.what());
    return 2;
  }
}
