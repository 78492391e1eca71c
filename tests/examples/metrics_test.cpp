// SPDX-License-Identifier: Apache-2.0
#include "common/metrics.hpp"

#include <string>
#include <vector>

#include "veneer/io/json.hpp"

#include "support/catch.hpp"

namespace metrics_test {

using namespace veneer;

TEST_CASE("a line of metrics is JSON, and a float in it survives") {
  StepReport report;
  report.step = 12, report.tokens = 512;
  report.loss = static_cast<double>(4.1234565f), report.gradient_norm = 0.5, report.learning_rate = 2e-4;
  const Json line = Json::parse(metrics_line(report, 9000.04, 123456));
  CHECK(line["step"] == 12);
  CHECK(line["tokens"] == 512);
  CHECK(line["memory_bytes"] == 123456);
  CHECK(static_cast<float>(line["loss"].get<double>()) == 4.1234565f);
  CHECK(line["learning_rate"].get<double>() == 2e-4);
  CHECK(line["tokens_per_second"].get<double>() == 9000.0);
  const Json evaluation = Json::parse(metrics_line(50, 1.25));
  CHECK(evaluation == Json({{"step", 50}, {"eval_loss", 1.25}}));
}

TEST_CASE("lines of metrics keep nine digits of a loss") {
  const StepReport report{3, 1.23456789012, 0.5, 2e-4, 512, 100};
  CHECK(metrics_line(report, 9000.04, 123456) ==
        R"({"step":3,"loss":1.23456789,"grad_norm":0.5,"learning_rate":0.0002,)"
        R"("tokens":512,"tokens_per_second":9000.0,"memory_bytes":123456})");
  CHECK(metrics_line(50, 0.25) == R"({"step":50,"eval_loss":0.25})");
}

TEST_CASE("a curve has a point per step and a dot per evaluation, whatever the values are") {
  const auto count = [](const std::string& text, const std::string& what) {
    int found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  };
  const std::string svg = loss_svg({{1, 4.0}, {2, 3.0}, {3, 2.5}}, {{3, 2.75}});
  CHECK(svg.starts_with("<svg"));
  CHECK(count(svg, "<circle") == 1);
  const std::string curve = svg.substr(0, svg.find("\" fill=\"none\""));
  CHECK(count(curve.substr(curve.rfind("<path")), "L") == 2);
  CHECK(svg.find("nan") == std::string::npos);
  for (const double flat : {0.0, 5.0}) CHECK(loss_svg({{1, flat}}, {}).find("nan") == std::string::npos);
  CHECK(loss_svg({}, {}).ends_with("</svg>\n"));
}

}  // namespace metrics_test
