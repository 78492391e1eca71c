// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/piece_cuts.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace piece_cuts_test {

namespace {

using namespace veneer;
using Words = std::vector<std::string>;

Words cut(const PieceCuts& cuts, std::string_view text) {
  Words words;
  cuts.cut(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

}  // namespace

TEST_CASE("text is cut before marks that no merge reaches", "[text]") {
  const PieceCuts usual({piece_space_character}, true);
  CHECK(cut(usual, "▁Hello▁world") == Words{"▁Hello", "▁world"});
  CHECK(cut(usual, "▁a▁▁b▁") == Words{"▁a", "▁▁b", "▁"});
  CHECK(cut(usual, "▁▁▁") == Words{"▁▁▁"});
  CHECK(cut(usual, "日本▁語") == Words{"日本", "▁語"});
  const PieceCuts with_letter({piece_space_character, U'a'}, true);
  CHECK(cut(with_letter, "▁a▁b▁c") == Words{"▁a▁b", "▁c"});
  const PieceCuts never({}, false);
  CHECK(cut(never, "▁a▁b") == Words{"▁a▁b"});
}

TEST_CASE("where characters are dropped, the one before them is the neighbour", "[text]") {
  const Vocabulary vocabulary({{"a", 0}, {piece_space, 1}});
  const PieceCuts drops({piece_space_character}, true, BpeSymbols::of_characters(vocabulary, {}));
  CHECK(cut(drops, "▁a▁a") == Words{"▁a", "▁a"});
  CHECK(cut(drops, "▁aX▁a") == Words{"▁aX▁a"});
}

}  // namespace piece_cuts_test
