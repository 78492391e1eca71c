// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/normalize.hpp"

#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace normalize_test {

namespace {

using namespace veneer;
using namespace veneer::test;

std::string normal(const std::string& text) {
  const auto changed = nfc(text);
  return changed ? changed->text : text;
}

std::string utf8proc_nfc(const std::string& text) {
  utf8proc_uint8_t* result = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                               static_cast<utf8proc_ssize_t>(text.size()), &result, options);
  REQUIRE(length >= 0);
  const std::string out(reinterpret_cast<const char*>(result), static_cast<std::size_t>(length));
  std::free(result);
  return out;
}

std::string utf8(const std::u32string& points) {
  std::string text;
  for (const char32_t point : points) append_utf8(text, point);
  return text;
}

}  // namespace

TEST_CASE("text of old characters has utf8proc's normal form, and normal text is left alone", "[text]") {
  std::size_t compared = 0;
  for (const Json& row : read_rows(text_data() / "strings.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    const std::string once = normal(text);
    REQUIRE(normal(once) == once);
    REQUIRE_FALSE(nfc(once));
    if (text.find(utf8(U"\u11A7")) != std::string::npos) continue;
    REQUIRE(once == utf8proc_nfc(text));
    ++compared;
  }
  CHECK(compared > 3600);
}

TEST_CASE("characters that newer tables change keep their form", "[text]") {
  const std::vector<std::u32string> same{
      U"\uAC00\u11A7",          // a trailing jamo that is none: utf8proc 2.8 drops it
      U"a\u08D3\u0301",         // a mark of Unicode 11: a starter before
      U"a\u1AC0\u0323",         // of Unicode 13
      U"\U00011935\U00011930",  // composes since Unicode 13
      U"\U00011938",            // and decomposes
  };
  for (const std::u32string& points : same) CHECK(normal(utf8(points)) == utf8(points));
}

TEST_CASE("every byte has the place it comes from", "[text]") {
  struct Case {
    std::u32string text;
    std::u32string expected;
    std::vector<ByteRange> origins;  // of each character of `expected`
  };
  const std::vector<Case> cases{
      {U"e\u0301x", U"\u00E9x", {{0, 1}, {3, 4}}},
      {U"\u0958y", U"\u0915\u093Cy", {{0, 3}, {0, 3}, {3, 4}}},
      {U"a\u0307\u0323z", U"\u1EA1\u0307z", {{0, 1}, {3, 5}, {5, 6}}},
      {U"q\u0307\u0323z", U"q\u0323\u0307z", {{0, 1}, {1, 3}, {3, 5}, {5, 6}}},
      {U"\u1100\u1161\u11A8x", U"\uAC01x", {{0, 3}, {9, 10}}},
      {U"\u0344x", U"\u0308\u0301x", {{0, 2}, {0, 2}, {2, 3}}},
      {U"\u212Bx", U"\u00C5x", {{0, 3}, {3, 4}}},
  };
  for (const Case& one : cases) {
    const auto found = nfc(utf8(one.text), true);
    REQUIRE(found);
    CHECK(found->text == utf8(one.expected));
    REQUIRE(found->origin.size() == found->text.size());
    std::vector<ByteRange> origins;
    for (std::size_t at = 0; at < found->text.size(); ++at) {
      if (!is_continuation(found->text, at)) origins.push_back(found->origin[at]);
      CHECK(found->origin[at] == origins.back());
    }
    CHECK(origins == one.origins);
  }
}

TEST_CASE("text that is not UTF-8 is refused", "[text]") { CHECK_THROWS_AS(nfc("\xCC"), ArgumentError); }

}  // namespace normalize_test
