// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/token_decoder.hpp"

#include <cstddef>
#include <random>
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

TEST_CASE("a chain that is a type does what the list of its decoders does", "[text]") {
  const std::vector<std::string> tokens{"▁",      "▁▁a", "b▁c", "<0x41>", "<0xE6>", "<0x97>", "<0xA5>",
                                        "<0x20>", "é",   "Ġd",  "<0xFF>", "",       " ",      "\xE6\x97"};
  std::mt19937 random(2);
  const Steps gemma{decoders::Replace(std::string(piece_space), " "), decoders::ByteFallback{}, decoders::Fuse{}};
  for (const Steps& steps :
       {Steps{decoders::ByteLevel{}}, gemma, huggingface(2), sentencepiece(false), sentencepiece(true)}) {
    Steps list = steps;
    list.push_back(decoders::Fuse{});  // changes nothing at the end, but no such chain is known
    for (int i = 0; i < 2000; ++i) {
      std::vector<std::string> some;
      for (std::size_t n = random() % 9; n > 0; --n) some.push_back(tokens[random() % tokens.size()]);
      for (const bool eager : {false, true}) REQUIRE(decode(steps, some, eager) == decode(list, some, eager));
    }
  }
}

}  // namespace token_decoder_test
