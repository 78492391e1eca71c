// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/piece_text.hpp"

#include <string>

#include "support/catch.hpp"

namespace piece_text_test {

namespace {

using namespace veneer;

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
      // Every byte that is not a mark has its origin in the original; a mark replaces a space, or is the prefix.
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

}  // namespace piece_text_test
