// SPDX-License-Identifier: Apache-2.0
/// \file env.cpp
/// veneer env: prints processor, memory, versions, and the target of the compiler.
#include <fstream>
#include <memory>
#include <sched.h>
#include <thread>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/json.hpp"
#include "veneer/version.hpp"

#include "command.hpp"
#include "model_flags.hpp"

namespace veneer::program {

namespace {

/// Returns the text after the first "name : " in a file of such lines.
std::string line_value(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    if (line.find(':') != std::string::npos && begin != std::string::npos) return line.substr(begin);
  }
  return "unknown";
}

/// Converts a value such as "2097152 kB" to "2 GiB".
std::string memory_value(const std::string& name) {
  const std::string text = line_value("/proc/meminfo", name);
  try {
    return readable_bytes(std::stod(text) * 1024.0);
  } catch (const std::exception&) {
    return text;
  }
}

std::string compiled_instructions() {
  std::string names;
  const auto add = [&](bool there, const char* name) {
    names += there ? std::string(names.empty() ? "" : " ") + name : "";
  };
#if defined(__SSE4_2__)
  add(true, "sse4.2");
#endif
#if defined(__AVX__)
  add(true, "avx");
#endif
#if defined(__AVX2__)
  add(true, "avx2");
#endif
#if defined(__FMA__)
  add(true, "fma");
#endif
#if defined(__AVX512F__)
  add(true, "avx512f");
#endif
  add(names.empty(), "the baseline of this architecture");
  return names;
}

std::string present_instructions() {
  std::string names;
#if defined(__x86_64__)
  const auto add = [&](bool there, const char* name) {
    names += there ? std::string(names.empty() ? "" : " ") + name : "";
  };
  add(__builtin_cpu_supports("sse4.2") != 0, "sse4.2");
  add(__builtin_cpu_supports("avx") != 0, "avx");
  add(__builtin_cpu_supports("avx2") != 0, "avx2");
  add(__builtin_cpu_supports("fma") != 0, "fma");
  add(__builtin_cpu_supports("avx512f") != 0, "avx512f");
#endif
  return names.empty() ? "unknown" : names;
}

std::string cores() {
  cpu_set_t usable;
  const bool known = sched_getaffinity(0, sizeof usable, &usable) == 0;
  const std::string all = std::to_string(std::thread::hardware_concurrency());
  return known ? std::to_string(CPU_COUNT(&usable)) + " for this process" : all;
}

std::string pcre2_version() {
  char text[64] = "unknown";
  if (pcre2_config(PCRE2_CONFIG_VERSION, nullptr) <= 64) pcre2_config(PCRE2_CONFIG_VERSION, text);
  return text;
}

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#elif defined(__GNUC__)
  return std::string("gcc ") + __VERSION__;
#else
  return "unknown";
#endif
}

Json environment() {
  const std::string nlohmann = std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." +
                               std::to_string(NLOHMANN_JSON_VERSION_MINOR) + "." +
                               std::to_string(NLOHMANN_JSON_VERSION_PATCH);
  return {{"veneer", std::string(version_text)},
          {"compiler", compiler()},
          {"processor", line_value("/proc/cpuinfo", "model name")},
          {"instructions compiled in", compiled_instructions()},
          {"instructions present", present_instructions()},
          {"matmul kernels", cpu::kernels().name},
          {"cores", cores()},
          {"threads", std::to_string(Cpu::threads())},
          {"memory", memory_value("MemTotal")},
          {"memory available", memory_value("MemAvailable")},
          {"memory of the program", readable_bytes(static_cast<double>(peak_memory_bytes()))},
          {"CUDA", "not compiled in"},
          {"PCRE2", pcre2_version()},
          {"nlohmann-json", nlohmann},
          {"CLI11", CLI11_VERSION}};
}

int run_env(bool json) {
  Json found = environment();
  if (json) {
    found["peak_memory_bytes"] = peak_memory_bytes();
    print(dump_python(found, {.indent = -1, .sort_keys = false}) + "\n");
  } else {
    for (const auto& item : found.items())
      print(item.key() + std::string(26 - item.key().size(), ' ') + item.value().get<std::string>() + "\n");
  }
  flush();
  return done;
}

}  // namespace

void add_env(CLI::App& app, Run& run) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("env", "processor, memory, versions, features");
  command->add_flag("--json", *json, "print one JSON object");
  command->callback([json, &run] { run = [json] { return run_env(*json); }; });
}

}  // namespace veneer::program
