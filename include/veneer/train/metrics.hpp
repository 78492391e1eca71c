// SPDX-License-Identifier: Apache-2.0
/// \file metrics.hpp
/// metrics.jsonl, a line an optimizer step, and loss.svg, the curve of it.
///
///
///   {"step":1,"loss":4.12345679,"grad_norm":0.5,"learning_rate":0.0002,
///    "tokens":512,"tokens_per_second":9000,"memory_bytes":123456}      in one line
///   {"step":50,"eval_loss":1.23456789}
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "veneer/train/trainer.hpp"

namespace veneer {

/// One line of metrics.jsonl, without its end. Losses have nine significant digits: a float survives them.
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

/// A picture of the training loss, smoothed, with evaluations as dots. Plain SVG, readable on light and dark paper.
inline std::string loss_svg(const std::vector<CurvePoint>& training, const std::vector<CurvePoint>& evaluation) {
  constexpr double width = 720, height = 360, left = 60, right = 20, top = 30, bottom = 40;
  double high = 0.0, low = 0.0;
  index_t last = 1;
  for (const auto* points : {&training, &evaluation}) {
    for (const CurvePoint& point : *points) {
      high = std::max(high, point.value);
      last = std::max(last, point.step);
    }
  }
  if (!(high > low)) high = low + 1.0;
  const auto x = [&](index_t step) {
    return left + (width - left - right) * static_cast<double>(step) / static_cast<double>(last);
  };
  const auto y = [&](double value) { return top + (height - top - bottom) * (high - value) / (high - low); };
  char text[256];
  std::string svg =
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360" font-family="sans-serif" font-size="12">)"
      "\n<rect width=\"720\" height=\"360\" fill=\"white\"/>\n<text x=\"60\" y=\"18\">loss per token against optimizer "
      "steps</text>\n";
  for (int i = 0; i <= 4; ++i) {
    const double value = low + (high - low) * i / 4.0;
    std::snprintf(
        text, sizeof text,
        "<path d=\"M60 %.1fH700\" stroke=\"#ddd\"/><text x=\"54\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
        y(value), y(value) + 4, value);
    svg += text;
    std::snprintf(text, sizeof text, "<text x=\"%.1f\" y=\"338\" text-anchor=\"middle\">%lld</text>\n", x(last * i / 4),
                  static_cast<long long>(last * i / 4));
    svg += text;
  }
  std::string path;
  double smooth = 0.0;
  for (std::size_t i = 0; i < training.size(); ++i) {
    smooth = i == 0 ? training[i].value : 0.9 * smooth + 0.1 * training[i].value;
    std::snprintf(text, sizeof text, "%s%.1f %.1f", i == 0 ? "M" : "L", x(training[i].step), y(smooth));
    path += text;
  }
  svg += "<path d=\"" + path + "\" fill=\"none\" stroke=\"#1764ab\" stroke-width=\"2\"/>\n";
  for (const CurvePoint& point : evaluation) {
    std::snprintf(text, sizeof text, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#d9480f\"/>\n", x(point.step),
                  y(point.value));
    svg += text;
  }
  return svg + "</svg>\n";
}

}  // namespace veneer
