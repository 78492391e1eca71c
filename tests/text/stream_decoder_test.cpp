// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/stream_decoder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace stream_decoder_test {

namespace {

using namespace veneer;
using namespace veneer::test;

}  // namespace

TEST_CASE("a stream of ids prints what decoding them at once gives", "[text]") {
  std::mt19937 random(1);
  for (const std::string& name : byte_level_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    std::uniform_int_distribution<std::int32_t> any(0, tokenizer.largest_id());
    std::uniform_int_distribution<std::int32_t> byte(0, 299);
    for (int round = 0; round < 200; ++round) {
      for (const bool skip : {false, true}) {
        std::vector<std::int32_t> ids;
        for (int i = 0; i < 40; ++i) ids.push_back(round % 2 == 0 ? any(random) : byte(random));
        StreamDecoder stream(tokenizer, skip);
        std::string text;
        for (const std::int32_t id : ids) text += stream.push(id);
        text += stream.flush();
        REQUIRE(text == tokenizer.decode(ids, skip));
      }
    }
  }
}

TEST_CASE("after each token all but an unfinished character is printed", "[text]") {
  std::vector<std::string> strings;
  for (const Json& row : read_rows(text_data() / "strings.jsonl")) strings.push_back(row.at("text").get<std::string>());
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const std::vector<Json> rows = read_rows(text_data() / "fixtures" / name / "stream.jsonl");
    CHECK(rows.size() >= 186);
    for (const Json& row : rows) {
      StreamDecoder stream(tokenizer);
      std::size_t printed = 0;
      std::vector<std::size_t> safe;
      const std::string& text = strings.at(row.at("i").get<std::size_t>());
      for (const std::int32_t id :
           tokenizer.encode(text, {.add_special_tokens = false, .parse_special_tokens = true})) {
        printed += stream.push(id).size();
        safe.push_back(printed);
      }
      CAPTURE(name, printable(text));
      CHECK(safe == row.at("safe").get<std::vector<std::size_t>>());
      CHECK(stream.flush().empty());
    }
  }
}

TEST_CASE("what goes on behind a prompt keeps its space", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    for (const std::string prompt : {"2+2=", "Hello", "caf\xC3\xA9", " a "}) {
      for (const std::string more : {" 4", "  x", "y", "\n", " \xE6\x97\xA5"}) {
        const std::vector<std::int32_t> before = tokenizer.encode(prompt), all = tokenizer.encode(prompt + more);
        if (all.size() < before.size() || !std::equal(before.begin(), before.end(), all.begin()))
          continue;  // a token reaches over the seam
        StreamDecoder stream(tokenizer, true, before);
        std::string text;
        for (std::size_t i = before.size(); i < all.size(); ++i) text += stream.push(all[i]);
        CAPTURE(name, prompt, more);
        CHECK(text + stream.flush() == more);
      }
    }
  }
}

TEST_CASE("a replacement character of the text is not held back", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("gpt2-tiny");
  StreamDecoder stream(tokenizer);
  std::string text;
  for (const std::int32_t id : tokenizer.encode("a\xEF\xBF\xBD")) text += stream.push(id);
  CHECK(text == "a\xEF\xBF\xBD");
}

TEST_CASE("a character that never ends becomes one replacement character", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("gpt2-tiny");
  const std::vector<std::int32_t> ids = tokenizer.encode("\xF0\x9F\x99\x82");
  REQUIRE(ids.size() > 1);
  StreamDecoder stream(tokenizer);
  CHECK(stream.push(ids.front()).empty());
  CHECK(stream.flush() == "\xEF\xBF\xBD");
  CHECK(stream.flush().empty());
}

}  // namespace stream_decoder_test
