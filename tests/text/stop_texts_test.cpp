// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/stop_texts.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace stop_texts_test {

using namespace veneer;

namespace {

/// Returns the shown part of a text, searched as a whole.
std::string expected(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

}  // namespace

TEST_CASE("what is shown does not depend on how a reply was cut, and is never part of a stop") {
  std::mt19937 random(1);
  const auto draw = [&](std::size_t longest) {
    std::string text;
    for (std::size_t i = 0, length = 1 + random() % longest; i < length; ++i) text += "ab\n"[random() % 3];
    return text;
  };
  std::size_t stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t i = 0, count = random() % 4; i < count; ++i) stops.push_back(draw(5));
    StopTexts filter(stops);
    for (int reply = 0; reply < 2; ++reply) {  // flush begins another
      const std::string text = draw(30);
      std::string shown;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = 1 + random() % 6;
        shown += filter.push(text.substr(at, length));
        at += length;
        REQUIRE(expected(text, stops).starts_with(shown));  // at every moment
      }
      REQUIRE(filter.found() == (expected(text, stops).size() < text.size()));
      if (filter.found()) ++stopped;
      shown += filter.flush();
      REQUIRE(shown == expected(text, stops));
    }
  }
  CHECK(stopped > 500);
}

TEST_CASE("no more is held back than may begin a stop") {
  StopTexts filter({"User:", "\n\n"});
  CHECK(filter.push("fine. Us") == "fine. ");
  CHECK(filter.push("ually\n") == "Usually");
  CHECK(filter.push("so\n\nUser") == "\nso");
  CHECK(filter.found());
  CHECK(filter.push("more").empty());
  CHECK(filter.flush().empty());
  CHECK(StopTexts().push("all of it") == "all of it");
  CHECK_THROWS_AS(StopTexts({"a", ""}), ArgumentError);
}

}  // namespace stop_texts_test
