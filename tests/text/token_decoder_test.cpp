// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/token_decoder.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

namespace token_decoder_test {

namespace {

using namespace veneer;

using Steps = std::vector<Decoder>;

Steps huggingface(std::size_t spaces = 1) {
  return {decoders::Replace(std::string(piece_space), " "), decoders::ByteFallback{}, decoders::Fuse{},
          decoders::Strip(" ", spaces, 0)};
}

Steps sentencepiece(bool each = false) {
  decoders::ByteFallback bytes;
  bytes.whole_runs = false;
  return {decoders::LeadingMark(each), decoders::Replace(std::string(piece_space), " "), bytes};
}

std::string decode(const Steps& rules, const std::vector<std::string>& tokens, bool eager = false) {
  TokenDecoder decoder(rules, eager);
  std::string text;
  for (const std::string& token : tokens) decoder.push(token, text);
  decoder.finish(text);
  return text;
}

}  // namespace

TEST_CASE("marks are spaces, and one at the start is taken away", "[text]") {
  for (const bool eager : {false, true}) {
    CHECK(decode(huggingface(), {"▁Hello", "▁world"}, eager) == "Hello world");
    CHECK(decode(huggingface(), {"▁▁a▁", "▁"}, eager) == " a  ");
    CHECK(decode(huggingface(), {"", "▁a"}, eager) == "a");
    CHECK(decode(huggingface(), {"<0x20>", "▁a"}, eager) == " a");
    CHECK(decode(huggingface(3), {"▁▁", "▁▁a"}, eager) == " a");
    CHECK(decode(huggingface(0), {"▁a"}, eager) == " a");
  }
}

TEST_CASE("sentencepiece takes marks of tokens away, not spaces of text", "[text]") {
  const Steps each = sentencepiece(true);
  for (const bool eager : {false, true}) {
    CHECK(decode(sentencepiece(), {"▁", "▁a"}, eager) == " a");
    CHECK(decode(sentencepiece(), {"", "▁▁a"}, eager) == " a");
    CHECK(decode(sentencepiece(), {" ? ", "▁a"}, eager) == " ?  a");
    CHECK(decode(each, {"▁", "▁", "▁a", "▁b"}, eager) == "a b");
    CHECK(decode(each, {"▁▁a"}, eager) == " a");
  }
}

TEST_CASE("byte tokens join to characters", "[text]") {
  const std::vector<std::string> e{"<0xC3>", "<0xA9>"};
  for (const bool eager : {false, true}) CHECK(decode(huggingface(), e, eager) == "\xC3\xA9");
  const std::string bad = "\xEF\xBF\xBD";
  // 日 and then a byte that is none: all four are lost, or that one alone
  const std::vector<std::string> run{"<0xE6>", "<0x97>", "<0xA5>", "<0xFF>", "x"};
  CHECK(decode(huggingface(), run) == bad + bad + bad + bad + "x");
  CHECK(decode(sentencepiece(), run) == "\xE6\x97\xA5" + bad + "x");
  CHECK(decode(huggingface(), run, true) == "\xE6\x97\xA5" + bad + "x");
}

TEST_CASE("eagerly, a character is printed with its last byte", "[text]") {
  TokenDecoder decoder(huggingface(), true);
  std::string text;
  decoder.push("<0xE6>", text), decoder.push("<0x97>", text);
  CHECK(text.empty());
  decoder.push("<0xA5>", text);
  CHECK(text == "\xE6\x97\xA5");
  decoder.push("<0xE6>", text);
  decoder.finish(text);
  CHECK(text == "\xE6\x97\xA5\xEF\xBF\xBD");
  text.clear();
  decoder.push("▁a", text);  // a new text begins
  CHECK(text == "a");
}

}  // namespace token_decoder_test
