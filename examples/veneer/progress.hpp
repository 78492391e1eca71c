// SPDX-License-Identifier: Apache-2.0
/// \file progress.hpp
/// Progress: a progress bar on a terminal, or occasional lines if stderr is a file or a pipe.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

#include "veneer/train/trainer.hpp"

#include "command.hpp"

namespace veneer::program {

class Progress {
 public:
  Progress(index_t first, index_t total, bool quiet)
      : first_(first), total_(total), quiet_(quiet), terminal_(::isatty(2) == 1) {}

  /// Shows the progress of a run after a step.
  void show(const StepReport& report, std::size_t memory) {
    tokens_ += static_cast<double>(report.tokens);
    smooth_ = shown_any_ ? 0.9 * smooth_ + 0.1 * report.loss : report.loss;
    shown_any_ = true;
    if (quiet_) return;
    const double seconds = elapsed(), done = static_cast<double>(report.step - first_);
    const double left = done > 0 ? seconds / done * static_cast<double>(total_ - report.step) : 0.0;
    char line[256];
    std::snprintf(line, sizeof line, "step %lld/%lld  loss %.4f  lr %.2e  %.0f tokens/s  %s  %.0f s left",
                  static_cast<long long>(report.step), static_cast<long long>(total_), smooth_, report.learning_rate,
                  tokens_per_second(), readable_bytes(static_cast<double>(memory)).c_str(), left);
    if (terminal_) {
      const int width = 24, filled = static_cast<int>(width * report.step / std::max<index_t>(1, total_));
      std::fprintf(stderr, "\r[%s%s] %s\033[K", std::string(static_cast<std::size_t>(filled), '=').c_str(),
                   std::string(static_cast<std::size_t>(width - filled), ' ').c_str(), line);
      if (report.step == total_) std::fputc('\n', stderr);
    } else if (report.step == total_ || report.step == first_ + 1 ||
               report.step % std::max<index_t>(1, total_ / 10) == 0) {
      std::fprintf(stderr, "%s\n", line);
    }
  }

  /// Ends the line of the bar before other output.
  void interrupt() const {
    if (terminal_ && !quiet_ && shown_any_) std::fputc('\n', stderr);
  }

  double elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  double tokens_per_second() const { return tokens_ / std::max(1e-9, elapsed()); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  index_t first_, total_;
  bool quiet_, terminal_, shown_any_ = false;
  double tokens_ = 0.0, smooth_ = 0.0;
};

}  // namespace veneer::program
