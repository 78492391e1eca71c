// SPDX-License-Identifier: Apache-2.0
/// \file metrics.hpp
/// Writers of metrics.jsonl, one line per optimizer step, and of loss.svg, the loss curve.
///
///   {"step":1,"loss":4.12345679,"grad_norm":0.5,"learning_rate":0.0002,
///    "tokens":512,"tokens_per_second":9000,"memory_bytes":123456}      in one line
///   {"step":50,"eval_loss":1.23456789}
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/train/trainer.hpp"

#include "common/chart.hpp"

namespace veneer {

/// Returns one line of metrics.jsonl, without its end. Losses have nine significant digits, so a float is exact.
inline std::string metrics_line(const StepReport& report, double tokens_per_second, std::size_t memory_bytes) {
  char line[256];
  std::snprintf(line, sizeof line,
                R"({"step":%lld,"loss":%.9g,"grad_norm":%.9g,"learning_rate":%.9g,)"
                R"("tokens":%lld,"tokens_per_second":%.1f,"memory_bytes":%zu})",
                static_cast<long long>(report.step), report.loss, report.gradient_norm, report.learning_rate,
                static_cast<long long>(report.tokens), tokens_per_second, memory_bytes);
  return line;
}

inline std::string metrics_line(index_t step, double eval_loss) {
  char line[96];
  std::snprintf(line, sizeof line, R"({"step":%lld,"eval_loss":%.9g})", static_cast<long long>(step), eval_loss);
  return line;
}

/// One point of a curve.
struct CurvePoint {
  index_t step = 0;
  double value = 0.0;
};

/// Returns a picture of the training loss, smoothed, with evaluations as dots.
inline std::string loss_svg(const std::vector<CurvePoint>& training, const std::vector<CurvePoint>& evaluation) {
  ChartSeries curve{"training, smoothed", {}, ChartMark::line}, dots{"held out", {}, ChartMark::dots};
  double smooth = 0.0;
  for (std::size_t i = 0; i < training.size(); ++i) {
    smooth = i == 0 ? training[i].value : 0.9 * smooth + 0.1 * training[i].value;
    curve.points.push_back({static_cast<double>(training[i].step), smooth});
  }
  for (const CurvePoint& point : evaluation) dots.points.push_back({static_cast<double>(point.step), point.value});
  Chart chart{"Loss per token", "optimizer steps", "nats per token"};
  chart.series.push_back(curve);
  if (!evaluation.empty()) chart.series.push_back(dots);
  return chart_svg({chart}, {720, 360});
}

/// The file metrics.jsonl of a training run, and the curves of its losses.
class MetricsLog {
 public:
  /// Opens the file in a folder. Lines after step `last` are removed: a resumed run repeats their steps.
  MetricsLog(const std::filesystem::path& folder, index_t last) : path_(folder / "metrics.jsonl") {
    std::string kept;
    std::ifstream old(path_);
    for (std::string line; last > 0 && std::getline(old, line);) {
      const Json json = Json::parse(line, nullptr, false);
      if (!json.is_object() || !json.contains("step") || json["step"].get<index_t>() > last) continue;
      kept += line + "\n";
      if (json.contains("loss")) losses_.push_back({json["step"].get<index_t>(), json["loss"].get<double>()});
      if (json.contains("eval_loss"))
        evaluations_.push_back({json["step"].get<index_t>(), json["eval_loss"].get<double>()});
    }
    write_atomically(path_, kept);
    file_.open(path_, std::ios::app);
  }

  void add(const StepReport& report, double tokens_per_second, std::size_t memory) {
    losses_.push_back({report.step, report.loss});
    write(metrics_line(report, tokens_per_second, memory));
  }

  void add(index_t step, double eval_loss) {
    evaluations_.push_back({step, eval_loss});
    write(metrics_line(step, eval_loss));
  }

  const std::vector<CurvePoint>& losses() const { return losses_; }
  const std::vector<CurvePoint>& evaluations() const { return evaluations_; }

 private:
  void write(const std::string& line) {
    file_ << line << std::endl;
    if (!file_)
      throw DiskError(path_.string() +
                      ": can't be written. Earlier checkpoints are complete: --resume continues from the newest");
  }

  std::filesystem::path path_;
  std::ofstream file_;
  std::vector<CurvePoint> losses_, evaluations_;
};

}  // namespace veneer
