// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/regex.hpp"

#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace regex_test {

namespace {

using namespace veneer;
using namespace veneer::test;
using Pieces = std::vector<std::string>;

Pieces split(const Regex& regex, std::string_view text, std::optional<bool> exact = std::nullopt) {
  detail::MatchScratch scratch;
  Pieces pieces;
  const auto add = [&](ByteRange part, bool) {
    if (part.end > part.begin) pieces.emplace_back(text.substr(part.begin, part.end - part.begin));
  };
  regex.each_part(text, scratch, add, exact);
  return pieces;
}

Pieces split(std::string_view pattern, std::string_view text) { return split(Regex(pattern), text, true); }

}  // namespace

TEST_CASE("pieces join to the text, and the exact tables change nothing for old characters", "[text]") {
  const std::vector<Regex> all{Regex(split_pattern::gpt2), Regex(split_pattern::llama3), Regex(split_pattern::qwen2),
                               Regex(R"([^\W_]+|\p{Han}{2}|[[:punct:]\s]*)")};
  for (const Json& row : read_rows(text_data() / "strings.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    if (text.size() > 2000) continue;
    for (const Regex& regex : all) {
      const Pieces pieces = split(regex, text, false);
      std::string joined;
      for (const std::string& piece : pieces) joined += piece;
      REQUIRE(joined == text);
      REQUIRE(split(regex, text, true) == pieces);
    }
  }
}

TEST_CASE("words are cut as the patterns say", "[text]") {
  CHECK(split(split_pattern::gpt2, "Hello  world's 123!") == Pieces{"Hello", " ", " world", "'s", " 123", "!"});
  CHECK(split(split_pattern::llama3, "I'LL 12345\n\n x") == Pieces{"I", "'LL", " ", "123", "45", "\n\n", " x"});
  CHECK(split(split_pattern::qwen2, "a 12.") == Pieces{"a", " ", "1", "2", "."});
  CHECK(split(split_pattern::llama3, "").empty());
}

TEST_CASE("patterns that tell cases apart cut as the reference does", "[text]") {
  const Regex tekken(split_pattern::tekken), o200k(split_pattern::o200k);
  std::size_t rows = 0, wrong = 0;
  for (const Json& row : read_rows(text_data() / "splits.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    std::vector<std::size_t> lengths;
    const Regex& regex = row.at("pattern") == "tekken" ? tekken : o200k;
    for (const std::string& piece : split(regex, text)) lengths.push_back(piece.size());
    ++rows;
    if (lengths == row.at("bytes").get<std::vector<std::size_t>>()) continue;
    if (++wrong <= 5) UNSCOPED_INFO(row.dump());
  }
  CHECK(wrong == 0);
  CHECK(rows == 240);
}

TEST_CASE("U+180E is no white space, though PCRE2 takes it for some", "[text]") {
  CHECK(split(split_pattern::gpt2, "a \xE1\xA0\x8E") == Pieces{"a", " \xE1\xA0\x8E"});
}

TEST_CASE("a letter newer than PCRE2's tables is a letter", "[text]") {
  const std::string letter = "\xF0\x96\x84\x80";  // U+16100, of Unicode 16
  CHECK(may_hold_newer_characters("a" + letter));
  CHECK(split(split_pattern::gpt2, "a" + letter + "b") == Pieces{"a" + letter + "b"});
  CHECK_FALSE(may_hold_newer_characters("plain, \xC3\xA9, \xE6\x97\xA5, \xF0\x9F\x99\x82"));
}

TEST_CASE("a text that is matched exactly only where it must be is cut as if it were throughout", "[text]") {
  std::vector<std::string> lines{"",   "",  " ",  "\t", "  x", "a",        "Bc'll",
                                 "'S", "/", "12", "!?", "\r",  "\xC2\xA0", "\xCC\x81"};
  for (const char* const name : {"strings.jsonl", "strings_newer.jsonl"}) {
    for (const Json& row : read_rows(text_data() / name)) lines.push_back(row.at("text").get<std::string>());
  }
  std::mt19937 random(5);
  for (const std::string_view pattern : {split_pattern::gpt2, split_pattern::llama3, split_pattern::qwen2,
                                         split_pattern::tekken, split_pattern::o200k}) {
    const Regex regex(pattern);
    for (int i = 0; i < 100; ++i) {
      std::string text;
      while (text.size() < 2000) {
        const std::size_t at = random() % (random() % 2 == 0 ? 14 : lines.size());
        if (lines[at].size() < 400) text += lines[at];
        if (random() % 4 != 0) text += '\n';
      }
      REQUIRE(split(regex, text) == split(regex, text, true));
    }
  }
}

TEST_CASE("every newer character is seen by the test for them", "[text]") {
  for (const auto& range : detail::newer_characters) {
    const bool symbol = range.category > UTF8PROC_CATEGORY_NO;
    for (char32_t value = range.first; value <= range.last; ++value) {
      std::string text;
      append_utf8(text, value);
      REQUIRE(may_hold_newer_characters(text, true));
      REQUIRE((symbol || may_hold_newer_characters(text)));
    }
  }
}

TEST_CASE("a run of more spaces than PCRE2's default limit is one piece", "[text]") {
  const std::string spaces(11'000'000, ' ');
  const Pieces pieces = split(Regex(split_pattern::llama3), spaces, false);
  REQUIRE(pieces.size() == 1);
  CHECK(pieces.front().size() == spaces.size());
}

TEST_CASE("a pattern that takes exponential time is an error with the offset", "[text]") {
  const std::string text = "b " + std::string(60, 'a') + "!";
  CHECK_THROWS_WITH(split("b |(a+)+$", text),
                    Catch::Contains("gives up") && Catch::Contains("at byte 2 of a piece of 63"));
}

TEST_CASE("empty matches are counted once per place", "[text]") {
  detail::MatchScratch scratch;
  std::vector<std::pair<std::size_t, bool>> parts;
  Regex("x*").each_part("axxb", scratch, [&](ByteRange part, bool is) { parts.emplace_back(part.end, is); });
  // before a, a, xx, b, after b
  CHECK(parts == std::vector<std::pair<std::size_t, bool>>{{0, true}, {1, false}, {3, true}, {4, false}, {4, true}});
}

}  // namespace regex_test
