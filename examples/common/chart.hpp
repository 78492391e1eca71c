// SPDX-License-Identifier: Apache-2.0
/// \file chart.hpp
/// chart_svg: lines, dots and bars with axes, error bars and a legend, as one SVG for light and dark backgrounds.
///
///   across(x) = left + width (x - low) / (high - low)      of log2 x with log2_x
///   up(y)     = top + height (high - y) / (high - low)     of log10 y with log10_y
/// Panels are arranged in one row. The file has no external references and no scripts.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"

namespace veneer {

struct ChartPoint {
  double x = 0.0, y = 0.0;
  double error = 0.0;  // half the length of the error bar; 0: none
};

enum class ChartMark { line, line_with_dots, dots };

struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points;
  ChartMark mark = ChartMark::line_with_dots;
};

/// One panel. Without categories, x is a number; with categories, the series are bars, and x is the index of a
/// category, whose name may have two lines.
struct Chart {
  std::string title, x_label, y_label;
  std::vector<std::string> categories{};
  std::vector<ChartSeries> series{};
  bool log2_x = false, log10_y = false;
  std::optional<double> low{}, high{};  // of y; by default 0 (or the least power of ten) and the largest value
};

struct ChartSize {
  double width = 400, height = 320;  // of a panel
};

namespace detail {

/// Formats a number as short as possible, such as "0.5" or "12", without an exponent.
inline std::string chart_number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", std::abs(value) >= 100 ? 0 : 4, value);
  std::string short_text = text;
  if (short_text.find('.') != std::string::npos) {
    while (short_text.back() == '0') short_text.pop_back();
    if (short_text.back() == '.') short_text.pop_back();
  }
  return short_text == "-0" ? "0" : short_text;
}

/// Formats a number with a unit prefix: 2000 as "2 k", 4000000 as "4 M".
inline std::string chart_tick(double value) {
  if (std::abs(value) >= 1e9) return chart_number(value * 1e-9) + " G";
  if (std::abs(value) >= 1e6) return chart_number(value * 1e-6) + " M";
  if (std::abs(value) >= 1e4) return chart_number(value * 1e-3) + " k";
  return chart_number(value);
}

inline std::string chart_escape(std::string_view words) {
  std::string text;
  for (const char c : words) {
    if (c == '&') {
      text += "&amp;";
    } else if (c == '<') {
      text += "&lt;";
    } else if (c == '>') {
      text += "&gt;";
    } else {
      text += c;
    }
  }
  return text;
}

/// One axis: the map from numbers to points of the picture.
struct ChartAxis {
  double low = 0.0, high = 1.0;  // of the numbers, or of their logarithms
  double from = 0.0, to = 1.0;   // of the picture
  int logarithm = 0;             // 0, 2 or 10

  double scaled(double value) const {
    return logarithm == 0 ? value : logarithm == 2 ? std::log2(value) : std::log10(value);
  }
  double at(double value) const { return from + (to - from) * (scaled(value) - low) / (high - low); }

  /// Returns at most seven round numbers.
  std::vector<double> ticks() const {
    std::vector<double> all;
    if (logarithm != 0) {
      for (double power = std::ceil(low - 1e-9); power <= high + 1e-9; power += 1.0)
        all.push_back(std::pow(logarithm, power));
      return all;
    }
    const double rough = (high - low) / 6.0, power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10.0 * power;
    for (const double round : {5.0, 2.0, 1.0}) step = round * power >= rough ? round * power : step;
    for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1.0) all.push_back(i * step);
    return all;
  }
};

/// A renderer of one panel whose upper left corner is at (x0, 0).
class ChartPanel {
 public:
  ChartPanel(const Chart& chart, double x0, ChartSize size) : chart_(chart), x0_(x0), size_(size) {
    legend_rows();
    y_ = {0.0, 1.0, size.height - 52, top_, chart.log10_y ? 10 : 0};
    x_ = {0.0, 1.0, x0 + 62, x0 + size.width - 16, chart.log2_x ? 2 : 0};
    find_range_of_y();
    find_range_of_x();
  }

  std::string svg() {
    axes();
    legend();
    for (std::size_t i = 0; i < chart_.series.size(); ++i) chart_.categories.empty() ? curve(i) : bars(i);
    return out_;
  }

 private:
  static std::string colour(std::size_t i) {
    constexpr std::array<const char*, 7> colours{"#2f7fd6", "#d9622b", "#2f9e5f", "#8d66cc",
                                                 "#b58a00", "#c7417b", "#7a828c"};
    return colours[i % colours.size()];
  }

  template <class... Numbers>
  void add(const char* format, Numbers... numbers) {
    char text[512];
    std::snprintf(text, sizeof text, format, numbers...);
    out_ += text;
  }

  void words(double x, double y, const std::string& text, const char* more) {
    add(R"(<text x="%.1f" y="%.1f" %s>)", x, y, more);
    out_ += chart_escape(text) + "</text>\n";
  }

  /// Returns whether a point is drawn: a value that is not finite, or has no logarithm on a logarithmic
  /// axis, is omitted.
  bool drawable(const ChartPoint& point) const {
    if (chart_.log2_x && !(point.x > 0)) return false;
    if (chart_.log10_y && !(point.y > 0)) return false;
    return std::isfinite(point.x) && std::isfinite(point.y) && std::isfinite(point.error);
  }

  bool has_legend() const { return chart_.series.size() > 1 || (chart_.series.size() == 1 && !name(0).empty()); }
  const std::string& name(std::size_t i) const { return chart_.series[i].name; }

  /// Computes the positions of the legend's entries, and moves the top of the plot below them.
  void legend_rows() {
    double x = x0_ + 62, y = 46;
    for (std::size_t i = 0; i < chart_.series.size() && has_legend(); ++i) {
      const double width = 26 + 7.0 * static_cast<double>(name(i).size());
      if (i > 0 && x + width > x0_ + size_.width) x = x0_ + 62, y += 18;
      legend_.push_back({x, y, 0.0});
      x += width;
    }
    top_ = has_legend() ? y + 16 : 40;
  }

  void find_range_of_y() {
    double low = 1e300, high = -1e300;
    for (const ChartSeries& series : chart_.series) {
      for (const ChartPoint& point : series.points) {
        if (!drawable(point)) continue;
        const double up = point.y + point.error, down = point.y - point.error;
        high = std::max(high, up);
        low = std::min(low, chart_.log10_y && down <= 0 ? point.y : down);
      }
    }
    if (high < low) low = chart_.log10_y ? 1.0 : 0.0, high = chart_.log10_y ? 10.0 : 1.0;
    if (chart_.log10_y) {
      y_.low = std::floor(std::log10(chart_.low.value_or(low)) + 1e-9);
      y_.high = std::ceil(std::log10(chart_.high.value_or(high)) - 1e-9);
    } else {
      y_.low = chart_.low.value_or(std::min(0.0, low));
      y_.high = chart_.high.value_or(high + 0.04 * (high - y_.low));
    }
    if (!(y_.high > y_.low)) y_.high = y_.low + 1.0;
  }

  void find_range_of_x() {
    if (!chart_.categories.empty()) {
      x_.low = -0.5, x_.high = static_cast<double>(chart_.categories.size()) - 0.5;
      return;
    }
    double low = chart_.log2_x ? 1e300 : 0.0, high = -1e300;
    for (const ChartSeries& series : chart_.series) {
      for (const ChartPoint& point : series.points) {
        if (drawable(point)) low = std::min(low, x_.scaled(point.x)), high = std::max(high, x_.scaled(point.x));
      }
    }
    x_.low = high < low ? 0.0 : low;
    x_.high = high > x_.low ? high : x_.low + 1.0;
  }

  void axes() {
    words(x0_ + 62, 22, chart_.title, R"(class="ink" font-size="14" font-weight="600")");
    for (const double tick : y_.ticks()) {
      add(R"(<path d="M%.1f %.1fH%.1f" class="grid"/>)", x_.from, y_.at(tick), x_.to);
      words(x_.from - 7, y_.at(tick) + 4, chart_tick(tick), R"(class="faint" text-anchor="end")");
    }
    add("<path d=\"M%.1f %.1fH%.1f\" class=\"axis\"/>\n", x_.from, y_.from, x_.to);
    if (chart_.categories.empty()) {
      for (const double tick : x_.ticks())
        words(x_.at(tick), y_.from + 18, chart_tick(tick), R"(class="faint" text-anchor="middle")");
    }
    for (std::size_t i = 0; i < chart_.categories.size(); ++i) {
      double y = y_.from + 18;
      std::istringstream lines(chart_.categories[i]);
      for (std::string line; std::getline(lines, line); y += 15)
        words(x_.at(static_cast<double>(i)), y, line, R"(class="ink" text-anchor="middle")");
    }
    words((x_.from + x_.to) / 2, size_.height - 14, chart_.x_label, R"(class="ink" text-anchor="middle")");
    const double middle = (y_.from + y_.to) / 2;
    char turned[128];
    std::snprintf(turned, sizeof turned, R"~(class="ink" text-anchor="middle" transform="rotate(-90 %.1f %.1f)")~",
                  x0_ + 16, middle);
    words(x0_ + 16, middle, chart_.y_label, turned);
  }

  void legend() {
    for (std::size_t i = 0; i < legend_.size(); ++i) {
      add(R"(<rect x="%.1f" y="%.1f" width="11" height="11" rx="2" fill="%s"/>)", legend_[i].x, legend_[i].y - 10,
          colour(i).c_str());
      words(legend_[i].x + 16, legend_[i].y, name(i), R"(class="ink")");
    }
  }

  void error_bar(double x, const ChartPoint& point) {
    if (!(point.error > 0)) return;
    const double down =
        chart_.log10_y ? std::max(point.y - point.error, std::pow(10.0, y_.low)) : point.y - point.error;
    const double high = y_.at(point.y + point.error), low = y_.at(std::max(down, chart_.log10_y ? down : y_.low));
    add("<path d=\"M%.1f %.1fV%.1fM%.1f %.1fh6M%.1f %.1fh6\" class=\"error\"/>\n", x, low, high, x - 3, low, x - 3,
        high);
  }

  void curve(std::size_t i) {
    const ChartSeries& series = chart_.series[i];
    std::string path;
    char text[64];
    for (const ChartPoint& point : series.points) {
      if (!drawable(point)) continue;
      std::snprintf(text, sizeof text, "%s%.1f %.1f", path.empty() ? "M" : "L", x_.at(point.x), y_.at(point.y));
      path += text;
    }
    if (series.mark != ChartMark::dots && !path.empty())
      out_ += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + colour(i) + "\" stroke-width=\"2\"/>\n";
    for (const ChartPoint& point : series.points) {
      if (!drawable(point)) continue;
      error_bar(x_.at(point.x), point);
      if (series.mark == ChartMark::line) continue;
      add("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x_.at(point.x), y_.at(point.y),
          colour(i).c_str());
    }
  }

  /// Draws the bars of one series, next to those of the other series at every category.
  void bars(std::size_t i) {
    const double slot = (x_.to - x_.from) / static_cast<double>(chart_.categories.size());
    const double width = 0.78 * slot / static_cast<double>(chart_.series.size());
    const double floor = y_.from;
    for (const ChartPoint& point : chart_.series[i].points) {
      if (!drawable(point)) continue;
      const double left = x_.at(point.x) - 0.39 * slot + width * static_cast<double>(i);
      const double top = std::min(floor, y_.at(point.y));
      add("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, top, 0.92 * width,
          floor - top, colour(i).c_str());
      error_bar(left + 0.46 * width, point);
    }
  }

  const Chart& chart_;
  double x0_;
  ChartSize size_;
  double top_ = 40;
  ChartAxis x_{}, y_{};
  std::vector<ChartPoint> legend_;
  std::string out_;
};

}  // namespace detail

/// Returns the panels in one row as an SVG.
inline std::string chart_svg(const std::vector<Chart>& panels, ChartSize size = {}) {
  char head[256];
  const double width = size.width * static_cast<double>(std::max<std::size_t>(1, panels.size()));
  std::snprintf(head, sizeof head,
                R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" )"
                R"(font-family="system-ui, sans-serif" font-size="12">)",
                width, size.height, width, size.height);
  std::string svg = std::string(head) + R"(
<style>
.paper { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #59636e }
.grid { stroke: #dde2e8; fill: none } .axis { stroke: #59636e; fill: none } .error { stroke: #1f2328; fill: none }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9aa4af }
.grid { stroke: #2b323b } .axis { stroke: #9aa4af } .error { stroke: #e6edf3 }
}
</style>
<rect width="100%" height="100%" class="paper"/>
)";
  double x0 = 0.0;
  for (const Chart& chart : panels) {
    svg += detail::ChartPanel(chart, x0, size).svg();
    x0 += size.width;
  }
  return svg + "</svg>\n";
}

}  // namespace veneer
