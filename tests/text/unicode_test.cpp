// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/unicode.hpp"

#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/byte_level.hpp"

#include "support/catch.hpp"

namespace unicode_test {

namespace {

using namespace veneer;

std::string lossy(const std::string& bytes) {
  std::string text;
  append_lossy(text, bytes);
  return text;
}

/// "?" for each replacement character, so that expectations can be read.
std::string marked(const std::string& bytes) {
  std::string text = lossy(bytes);
  for (std::size_t at = 0; (at = text.find("\xEF\xBF\xBD", at)) != std::string::npos;) text.replace(at, 3, "?");
  return text;
}

std::string random_bytes(std::mt19937& random, std::size_t length) {
  // Bytes that matter: borders of the ranges of table 3-7.
  static const std::string pool =
      "a\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xFF";
  std::string bytes;
  for (std::size_t i = 0; i < length; ++i) bytes += pool[random() % pool.size()];
  return bytes;
}

}  // namespace

TEST_CASE("every code point survives encoding and decoding", "[text]") {
  std::size_t wrong = 0;
  for (char32_t value = 0; value < 0x110000; ++value) {
    if (value >= 0xD800 && value <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, value);
    const CodePoint first = decode_utf8(text, 0);
    const CodePoint last = code_point_before(text, text.size());
    if (first.value != value || first.length != text.size() || last.value != value || last.length != text.size())
      ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("lossy text is well-formed, and well-formed text is unchanged", "[text]") {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    const std::string bytes = random_bytes(random, 1 + random() % 8);
    const std::string text = lossy(bytes);
    REQUIRE_FALSE(find_invalid_utf8(text));
    REQUIRE(lossy(text) == text);
    if (!find_invalid_utf8(bytes)) REQUIRE(text == bytes);
  }
}

TEST_CASE("text that comes in parts is the text of the whole", "[text]") {
  std::mt19937 random(2);
  for (int round = 0; round < 20000; ++round) {
    const std::string bytes = random_bytes(random, 1 + random() % 12);
    std::string text;
    std::string pending;
    for (const char byte : bytes) {
      pending += byte;
      pending.erase(0, append_lossy(text, pending, true));
      REQUIRE(pending.size() < 4);
    }
    append_lossy(text, pending);
    REQUIRE(text == lossy(bytes));
  }
}

// Unicode 15.0, tables 3-8 to 3-11.
TEST_CASE("each maximal ill-formed part is one replacement character", "[text]") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????A"},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????A"},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????A??B"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????A"},
  };
  for (const auto& [bytes, expected] : cases) CHECK(marked(bytes) == expected);
}

TEST_CASE("white space is the 25 characters of the property", "[text]") {
  std::size_t count = 0;
  for (char32_t value = 0; value < 0x110000; ++value) count += is_white_space(value) ? 1u : 0u;
  CHECK(count == 25);
  CHECK_FALSE(is_white_space(0x180E));
  CHECK_FALSE(is_white_space(0x200B));
  CHECK(is_white_space(0x3000));
}

TEST_CASE("word characters are letters, marks, digits and connectors", "[text]") {
  for (const char32_t value :
       {U'a', U'Z', U'0', U'_', U'\u00E9', U'\u0301', U'\u0663', U'\u2163', U'\u24D0', U'\u200D'}) {
    CHECK(is_word_character(value));
  }
  for (const char32_t value : {U' ', U'-', U'@', U'[', U'`', U'{', U'\u00B2', U'\u00A0', U'\u2014', U'\U0001F600'}) {
    CHECK_FALSE(is_word_character(value));
  }
}

TEST_CASE("every byte has a character of its own, and back", "[text]") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string text;
  append_byte_level(text, all);
  std::string back;
  append_token_bytes(back, text);
  CHECK(back == all);
  CHECK(text.find("\xC4\xA0") != std::string::npos);  // the space
  text.clear();
  append_byte_level(text, " a\n");
  CHECK(text ==
        "\xC4\xA0"
        "a\xC4\x8A");
  back = "kept ";
  append_token_bytes(back, "\xE2\x96\x81of");  // U+2581 stands for no byte: the token stands for itself
  CHECK(back == "kept \xE2\x96\x81of");
}

}  // namespace unicode_test
