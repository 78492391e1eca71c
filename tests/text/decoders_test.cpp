// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/decoders.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/token_decoder.hpp"

#include "support/catch.hpp"

namespace decoders_test {

namespace {

using namespace veneer;
using Steps = std::vector<Decoder>;

/// Decodes the whole text and eagerly, which must not differ here.
std::string decode(const Steps& steps, const std::vector<std::string>& tokens) {
  std::vector<std::string> texts(2);
  for (const bool eager : {false, true}) {
    TokenDecoder decoder(steps, eager);
    for (int round = 0; round < 2; ++round) {  // a decoder starts again
      texts[eager].clear();
      for (const std::string& token : tokens) decoder.push(token, texts[eager]);
      decoder.finish(texts[eager]);
    }
  }
  CHECK(texts[0] == texts[1]);
  return texts[0];
}

}  // namespace

TEST_CASE("each decoder makes of tokens what the tokenizers library makes", "[text]") {
  CHECK(decode({}, {"a", "b"}) == "ab");
  CHECK(decode({decoders::JoinBySpaces{}}, {"a", "", "b"}) == "a  b");
  CHECK(decode({decoders::ByteLevel{}}, {"\xC3\x83", "\xC2\xA9x", "\xE6\x97\xA5"}) == "\xC3\xA9x\xE6\x97\xA5");
  CHECK(decode({decoders::Metaspace("▁", true)}, {"▁a▁b", "▁c"}) == "ab c");
  CHECK(decode({decoders::Metaspace("▁", false)}, {"▁a▁b", "▁c"}) == " a b c");
  CHECK(decode({decoders::WordSuffix("</w>")}, {"a", "b</w>", "c</w>"}) == "ab c");
  CHECK(decode({decoders::Strip("x", 1, 0)}, {"xxa", "xb"}) == "xab");
  CHECK(decode({decoders::Strip("x", 0, 2)}, {"axxx", "b"}) == "axb");
  CHECK(decode({decoders::Replace(std::string("ab"), "-")}, {"aab", "ab", "a", "b"}) == "a--ab");
  CHECK(decode({decoders::Replace(Regex("[0-9]+"), "#")}, {"a12", "3"}) == "a##");
}

TEST_CASE("after Fuse all tokens are one", "[text]") {
  CHECK(decode({decoders::Fuse{}, decoders::Replace(std::string("ab"), "-")}, {"aab", "ab", "a", "b"}) == "a---");
  CHECK(decode({decoders::Fuse{}, decoders::Strip("x", 2, 1)}, {"x", "xx", "a", "x", "x"}) == "xax");
  CHECK(decode({decoders::Fuse{}, decoders::JoinBySpaces{}}, {"a", "b"}) == "ab");
  CHECK(decode({decoders::ByteFallback{}, decoders::JoinBySpaces{}}, {"<0x41>", "<0x42>", "c"}) == "AB c");
}

}  // namespace decoders_test
