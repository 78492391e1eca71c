// SPDX-License-Identifier: Apache-2.0
#include "common/chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace chart_test {

using namespace veneer;

namespace {

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// Returns the numbers after `attribute="`, in order.
std::vector<double> numbers(const std::string& svg, const std::string& element, const std::string& attribute) {
  std::vector<double> all;
  for (std::size_t at = svg.find("<" + element); at != std::string::npos; at = svg.find("<" + element, at + 1)) {
    const std::size_t value = svg.find(" " + attribute + "=\"", at) + attribute.size() + 3;
    all.push_back(std::stod(svg.substr(value)));
  }
  return all;
}

}  // namespace

TEST_CASE(
    "an axis takes its ends to the ends of the picture, and equal ratios to equal lengths where it is logarithmic") {
  const detail::ChartAxis plain{2.0, 6.0, 100.0, 300.0, 0};
  CHECK(plain.at(2.0) == 100.0);
  CHECK(plain.at(6.0) == 300.0);
  CHECK(plain.at(3.0) == 150.0);
  const detail::ChartAxis doubled{0.0, 6.0, 0.0, 60.0, 2};
  for (const double x : {1.0, 2.0, 8.0, 32.0}) CHECK(std::abs(doubled.at(2.0 * x) - doubled.at(x) - 10.0) < 1e-12);
}

TEST_CASE("ticks are round, inside the axis, and at most seven") {
  for (const double high : {0.3, 1.0, 7.0, 99.0, 104.0, 45'000'000.0}) {
    const std::vector<double> ticks = detail::ChartAxis{0.0, high, 0.0, 1.0, 0}.ticks();
    INFO(high);
    CHECK(ticks.size() >= 3);
    CHECK(ticks.size() <= 7);
    CHECK(ticks.front() == 0.0);
    CHECK(ticks.back() <= high * (1 + 1e-9));
    const double step = ticks[1], digit = step / std::pow(10.0, std::floor(std::log10(step) + 1e-9));
    CHECK((std::abs(digit - 1) < 1e-9 || std::abs(digit - 2) < 1e-9 || std::abs(digit - 5) < 1e-9));
  }
  CHECK(detail::ChartAxis{0.0, 3.0, 0.0, 1.0, 2}.ticks() == std::vector<double>{1, 2, 4, 8});
}

TEST_CASE("numbers of a picture are short") {
  CHECK(detail::chart_number(0.5) == "0.5");
  CHECK(detail::chart_number(100) == "100");
  CHECK(detail::chart_number(20) == "20");
  CHECK(detail::chart_number(-0.0) == "0");
  CHECK(detail::chart_tick(40'000'000) == "40 M");
  CHECK(detail::chart_tick(2'500'000'000.0) == "2.5 G");
  CHECK(detail::chart_tick(20'000) == "20 k");
}

TEST_CASE("a curve has a dot a point, in the order of its values") {
  Chart chart{"title", "rank", "%"};
  chart.series = {{"one", {{1, 10, 0}, {2, 30, 1}, {4, 20, 0}}}, {"two", {{1, 5, 0}, {4, 6, 0}}, ChartMark::line}};
  chart.log2_x = true;
  const std::string svg = chart_svg({chart});
  const std::vector<double> x = numbers(svg, "circle", "cx"), y = numbers(svg, "circle", "cy");
  REQUIRE(x.size() == 3);
  CHECK(std::abs((x[1] - x[0]) - (x[2] - x[1])) < 0.11);  // of the one decimal that is written
  CHECK(y[1] < y[2]);                                     // up is small in a picture
  CHECK(y[2] < y[0]);
  CHECK(count(svg, "class=\"error\"") == 1);
  CHECK(svg.find(">rank<") != std::string::npos);
  CHECK(svg.find(">two<") != std::string::npos);
  CHECK(svg.find("prefers-color-scheme: dark") != std::string::npos);
}

TEST_CASE("bars stand on the axis, side by side, as high as their values") {
  Chart chart{"title", "", "%"};
  chart.categories = {"a", "b\nand c"};
  chart.series = {{"one", {{0, 50, 2}, {1, 100, 0}}}, {"two", {{0, 25, 0}, {1, 0, 0}}}};
  chart.low = 0.0, chart.high = 100.0;
  const std::string svg = chart_svg({chart});
  const std::vector<double> x = numbers(svg, "rect", "x"), height = numbers(svg, "rect", "height");
  // the paper has no x of its own: the rectangles are paper, two of the legend, then the bars of one and of two
  REQUIRE(height.size() == 7);
  CHECK(std::abs(height[4] - 2 * height[3]) < 0.11);
  CHECK(std::abs(height[3] - 2 * height[5]) < 0.11);
  CHECK(height[6] == 0.0);
  CHECK(x[3] < x[5]);
  CHECK(x[5] < x[4]);
  CHECK(svg.find(">b</text>") != std::string::npos);
  CHECK(svg.find(">and c</text>") != std::string::npos);
}

TEST_CASE("panels stand in a row, words are escaped, and no value makes a picture that cannot be read") {
  Chart chart{"a < b & c", "x", "y"};
  chart.log10_y = true;
  chart.series = {{"", {{1, 0, 0}, {2, 1000, 5000}}}};
  const std::string svg = chart_svg({chart, chart}, {300, 200});
  CHECK(svg.find("viewBox=\"0 0 600 200\"") != std::string::npos);
  CHECK(count(svg, "a &lt; b &amp; c") == 2);
  Chart strange{"", "", ""};
  strange.categories = {"a", "b", "c"};
  strange.series = {
      {"", {{0, std::numeric_limits<double>::quiet_NaN()}, {1, std::numeric_limits<double>::infinity()}, {2, 3.0}}}};
  for (const std::string& text : {svg, chart_svg({strange}), chart_svg({Chart{}}), chart_svg({})}) {
    CHECK(text.find("nan") == std::string::npos);
    CHECK(text.find("inf") == std::string::npos);
    CHECK(text.ends_with("</svg>\n"));
  }
}

}  // namespace chart_test
