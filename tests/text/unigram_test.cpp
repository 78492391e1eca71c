// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/unigram.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace unigram_test {

namespace {

using namespace veneer;
using Pieces = std::vector<std::string>;

Pieces cut(const UnigramSegmenter& model, const std::string& text) {
  Pieces pieces;
  for (const auto& piece : model.cut(text)) pieces.push_back(text.substr(piece.begin, piece.end - piece.begin));
  return pieces;
}

}  // namespace

TEST_CASE("no other way to cut a text is more likely", "[text]") {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> texts{"a", "b", "c"};
    for (int i = 0; i < 12; ++i) {
      std::string text;
      for (std::size_t length = 2 + random() % 3; text.size() < length;) text += static_cast<char>('a' + random() % 3);
      if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
    }
    std::vector<UnigramSegmenter::Entry> entries;
    // Eighths: sums of them are exact, so that the definition below may add in any order.
    for (const std::string& text : texts)
      entries.push_back(
          {text, static_cast<std::int32_t>(entries.size()), -static_cast<float>(random() % 64) / 8, false});
    const UnigramSegmenter model(entries, 99);
    for (int i = 0; i < 40; ++i) {
      std::string text;
      for (std::size_t length = 1 + random() % 20; text.size() < length;) text += static_cast<char>('a' + random() % 3);
      std::vector<double> best(text.size() + 1, -1e9);
      best[0] = 0;
      for (std::size_t at = 0; at < text.size(); ++at) {
        for (const auto& entry : entries) {
          if (text.compare(at, entry.text.size(), entry.text) != 0) continue;
          double& end = best[at + entry.text.size()];
          end = std::max(end, best[at] + static_cast<double>(entry.score));
        }
      }
      double score = 0;
      std::size_t at = 0;
      for (const auto& piece : model.cut(text)) {
        REQUIRE(piece.begin == at);
        at = piece.end;
        score += static_cast<double>(entries[static_cast<std::size_t>(piece.id)].score);
      }
      REQUIRE(at == text.size());
      REQUIRE(score == best[text.size()]);
    }
  }
}

TEST_CASE("of equally likely ways the first found stays", "[text]") {
  const UnigramSegmenter model({{"x", 0, -2.0965254306793213f, false}, {"xxxxx", 1, -5.430843830108643f, false}}, 9);
  CHECK(cut(model, "xxxxxx") == Pieces{"x", "xxxxx"});
}

TEST_CASE("characters without a piece are unknown, user-defined pieces always taken", "[text]") {
  const UnigramSegmenter model({{"a", 0, -1, false},
                                {"ab", 1, -50, false},
                                {"bc", 2, 0, true},
                                {"\xC3\xA9"
                                 "a",
                                 3, -1, false}},
                               9);
  const auto pieces = model.cut(
      "a\xE6\x97\xA5"
      "a");
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[1] == UnigramSegmenter::Piece{1, 4, 9});
  CHECK(cut(model, "abc") == Pieces{"a", "bc"});
  CHECK(cut(model,
            "\xC3\xA9"
            "a") == Pieces{"\xC3\xA9"
                           "a"});
  CHECK(model.cut("").empty());
}

}  // namespace unigram_test
