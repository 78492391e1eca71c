// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/piece_text.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace veneer;

std::vector<std::string> cut(const PieceCuts& cuts, std::string_view text) {
  std::vector<std::string> words;
  cuts.cut(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("spaces become marks, and bytes know where they come from", "[text]") {
  for (const bool prefix : {false, true}) {
    for (const std::string text : {"Hello world", " a  b ", "\xC3\xA9 \xE6\x97\xA5", "x", "   "}) {
      Normalized plain, placed;
      mark_spaces(text, prefix, false, plain);
      mark_spaces(text, prefix, true, placed);
      CHECK(plain.text == placed.text);
      CHECK(plain.origin.empty());
      REQUIRE(placed.origin.size() == placed.text.size());
      // Every byte that is no mark stands at its place in the original; a mark stands for a space, or is the prefix.
      for (std::size_t i = 0; i < placed.text.size(); ++i) {
        const ByteRange from = placed.origin[i];
        const bool mark = placed.text[i] == '\xE2' || is_continuation(placed.text, i);
        if (!mark) CHECK(text[from.begin] == placed.text[i]);
        CHECK(from.begin < from.end);
      }
    }
  }
  Normalized out;
  mark_spaces("a b", true, true, out);
  CHECK(out.text == "▁a▁b");
  CHECK(out.origin.front() == ByteRange{0, 1});
  CHECK(out.origin[4] == ByteRange{1, 2});
}

TEST_CASE("text is cut before marks that no merge reaches", "[text]") {
  const PieceCuts usual({piece_space_character}, true, false);
  CHECK(cut(usual, "▁Hello▁world") == Words{"▁Hello", "▁world"});
  CHECK(cut(usual, "▁a▁▁b▁") == Words{"▁a", "▁▁b", "▁"});
  CHECK(cut(usual, "▁▁▁") == Words{"▁▁▁"});
  CHECK(cut(usual, "日本▁語") == Words{"日本", "▁語"});
  const PieceCuts with_letter({piece_space_character, U'a'}, true, false);
  CHECK(cut(with_letter, "▁a▁b▁c") == Words{"▁a▁b", "▁c"});
  const PieceCuts never({}, false, false);
  CHECK(cut(never, "▁a▁b") == Words{"▁a▁b"});
  const PieceCuts everywhere({piece_space_character}, true, true);
  CHECK(cut(everywhere, "▁a▁▁b") == Words{"▁a", "▁", "▁b"});
}
