// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/presplit.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace {

using namespace veneer;
using namespace veneer::test;
using Pieces = std::vector<std::string>;

Pieces split(const std::vector<Splitter>& splitters, std::string_view text, bool exact) {
  detail::MatchScratch scratch;
  Pieces pieces;
  split_text(splitters, text, exact, scratch, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

Pieces split(std::string_view pattern, std::string_view text) { return split({Splitter(pattern)}, text, true); }

}  // namespace

TEST_CASE("pieces join to the text, and the exact tables change nothing for old characters", "[text]") {
  const std::vector<std::vector<Splitter>> all{{Splitter(split_pattern::gpt2)},
                                               {Splitter(split_pattern::llama3)},
                                               {Splitter(split_pattern::qwen2)},
                                               {Splitter(split_pattern::each_digit), Splitter(split_pattern::gpt2)}};
  for (const Json& row : read_rows(text_data() / "strings.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    if (text.size() > 2000) continue;
    for (const auto& splitters : all) {
      const Pieces pieces = split(splitters, text, false);
      std::string joined;
      for (const std::string& piece : pieces) {
        REQUIRE_FALSE(piece.empty());
        joined += piece;
      }
      REQUIRE(joined == text);
      REQUIRE(split(splitters, text, true) == pieces);
    }
  }
}

TEST_CASE("words are cut as the patterns say", "[text]") {
  CHECK(split(split_pattern::gpt2, "Hello  world's 123!") == Pieces{"Hello", " ", " world", "'s", " 123", "!"});
  CHECK(split(split_pattern::llama3, "I'LL 12345\n\n x") == Pieces{"I", "'LL", " ", "123", "45", "\n\n", " x"});
  CHECK(split(split_pattern::qwen2, "a 12.") == Pieces{"a", " ", "1", "2", "."});
  CHECK(split(split_pattern::each_digit, "a12b") == Pieces{"a", "1", "2", "b"});
  CHECK(split(split_pattern::digit_runs, "a12b") == Pieces{"a", "12", "b"});
  CHECK(split(split_pattern::llama3, "").empty());
  CHECK(split(std::vector<Splitter>{}, "as it is", false) == Pieces{"as it is"});
}

TEST_CASE("patterns that tell cases apart cut as the reference does", "[text]") {
  const Splitter tekken(split_pattern::tekken), o200k(split_pattern::o200k);
  detail::MatchScratch scratch;
  std::size_t rows = 0, wrong = 0;
  for (const Json& row : read_rows(text_data() / "splits.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    std::vector<std::size_t> lengths;
    (row.at("pattern") == "tekken" ? tekken : o200k)
        .split(text, may_hold_newer_characters(text), scratch,
               [&](std::string_view piece) { lengths.push_back(piece.size()); });
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

TEST_CASE("every newer character is seen by the test for them", "[text]") {
  for (const auto& range : detail::newer_letters) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      std::string text;
      append_utf8(text, value);
      REQUIRE(may_hold_newer_characters(text));
    }
  }
  for (const auto& range : detail::newer_all_marks) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      std::string text;
      append_utf8(text, value);
      REQUIRE(may_hold_newer_characters(text));
    }
  }
  for (const auto& range : detail::newer_numbers) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      std::string text;
      append_utf8(text, value);
      REQUIRE(may_hold_newer_characters(text));
    }
  }
}

TEST_CASE("a run of more spaces than PCRE2's default limit is one piece", "[text]") {
  const std::string spaces(11'000'000, ' ');
  const Pieces pieces = split({Splitter(split_pattern::llama3)}, spaces, false);
  REQUIRE(pieces.size() == 1);
  CHECK(pieces.front().size() == spaces.size());
}

TEST_CASE("where matching gives up is said", "[text]") {
  detail::MatchScratch scratch;
  pcre2_set_match_limit_8(scratch.context.get(), 5);
  const std::string text = "a b " + std::string(1000, ' ') + "x";
  CHECK_THROWS_WITH(Splitter(split_pattern::llama3).split(text, false, scratch, [](std::string_view) {}),
                    Catch::Contains("gives up") && Catch::Contains("at byte 3 of a piece of 1005 bytes"));
}
