// SPDX-License-Identifier: Apache-2.0
/// \file command.hpp
/// Common parts of the subcommands of `veneer`: registration, exit codes, adapter flags.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <CLI/CLI.hpp>

#include "veneer/peft/config.hpp"

namespace veneer::program {

/// Exit codes that other programs rely on.
enum ExitCode {
  done = 0,
  failed = 1,
  usage = 2,
  bad_input = 3,
  out_of_memory = 4,
  disk = 5,
  diverged = 6,
  interrupted = 130,
};

/// The action of a subcommand. Each subcommand adds itself to the application, and sets `run` if it was selected.
using Run = std::function<int()>;
void add_train(CLI::App& app, Run& run);
void add_recipes(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_evaluate(CLI::App& app, Run& run);
void add_logits(CLI::App& app, Run& run);
void add_plan(CLI::App& app, Run& run);
void add_merge(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_combine(CLI::App& app, Run& run);
void add_quantize(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_tokenize(CLI::App& app, Run& run);
void add_validate(CLI::App& app, Run& run);
void add_env(CLI::App& app, Run& run);

/// Checks that a flag has only digits and fits 64 bits. CLI11 alone converts -1 to the largest number.
std::string whole_number(const std::string& text);

/// The flags that describe an adapter, for `train` and `plan`.
struct AdapterFlags {
  std::string method = "lora";
  index_t rank = 16;
  double alpha = 32;
  double dropout = 0;
  bool rslora = false;
  std::string targets = "q_proj,v_proj";
  std::string exclude;
  std::vector<index_t> layers;
  std::vector<std::string> rank_pattern, alpha_pattern;  // NAME=NUMBER
  std::vector<std::string> modules_to_save;
  std::vector<std::string> train_tokens;  // ids; texts become ids before config()
  std::string bias = "none";
  std::string init = "default";
  index_t loftq_iter = 1;
  double eva_rho = 2.0;
  /// The settings of every method.
  AllMethodSettings own{};

  /// Calls f(flag, number or text, method's name, help) for every setting of a method that has a flag of its own.
  static void each_own(auto& flags, const auto& f) {
    std::apply([&](auto&... methods) { (each_own_of(flags, methods, f), ...); }, flags.own);
  }

  void add_to(CLI::App& command);

  /// Returns the flags for the settings of an adapter's file: the inverse of config(). Settings without a
  /// flag are omitted.
  static AdapterFlags of(const AdapterConfig& config);

  /// \param total_steps  of the run, which AdaLoRA's schedule must fit; 0: unknown, as in a plan
  /// \throws ArgumentError for an invalid value, with the flag's name
  AdapterConfig config(index_t total_steps = 0) const;

 private:
  /// Calls f with the flag that methods share under this name; returns whether there is one.
  static bool shared(auto& flags, std::string_view flag, const auto& f) {
    if (flag == "rank") return f(flags.rank), true;
    if (flag == "alpha") return f(flags.alpha), true;
    if (flag == "dropout") return f(flags.dropout), true;
    return false;
  }
  template <class Method>
  void take_method(AdapterConfig& config, Method settings, index_t total_steps) const;
  template <class Method>
  static void each_own_of(auto& flags, Method& method, const auto& f) {
    each_setting(method, [&](const char*, auto& value, const char* flag, const char* help) {
      if (flag == nullptr || shared(flags, flag, [](auto&) {})) return;
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, InitSetting>) {
        f(flag, value.name, Method::name, help);
      } else if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) {
        f(flag, value, Method::name, help);
      }
    });
  }
};

/// Returns the peak memory of this process, VmHWM of /proc/self/status; 0 if it cannot be read.
std::int64_t peak_memory_bytes();

/// Returns a number of bytes in readable form, for stderr and tables.
std::string readable_bytes(double bytes);

/// Returns the values with the separator between them.
std::string joined(const std::vector<std::string>& values, std::string_view separator);

}  // namespace veneer::program
