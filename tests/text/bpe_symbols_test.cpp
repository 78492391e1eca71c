// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/bpe_symbols.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace bpe_symbols_test {

namespace {

using namespace veneer;
using Symbols = std::vector<std::pair<std::int32_t, std::size_t>>;

Symbols cut(const BpeSymbols& symbols, std::string_view word) {
  Symbols all;
  symbols.cut(word, [&](std::int32_t id, ByteRange bytes) { all.emplace_back(id, bytes.begin); });
  return all;
}

}  // namespace

TEST_CASE("every byte has its token and every token its byte", "[text]") {
  for (int byte = 0; byte < 256; ++byte) {
    const auto value = static_cast<unsigned char>(byte);
    CHECK(byte_of_token(byte_token(value)) == value);
  }
  CHECK(byte_token(10) == "<0x0A>");
  CHECK(byte_of_token("<0x0a>") == 10);
  for (const char* other : {"<0x0G>", "<0x0A", "0x0A>", "<0x0AA>", "", "<0y0A>", "<0x0A)"})
    CHECK_FALSE(byte_of_token(other));
}

TEST_CASE("characters that are no tokens become bytes, the unknown token, or nothing", "[text]") {
  std::vector<std::string> texts{"<unk>", "a", "\xE6\x97\xA5", "ab"};
  for (int byte = 0; byte < 256; ++byte) texts.push_back(byte_token(static_cast<unsigned char>(byte)));
  Vocabulary::Entries entries;
  for (const std::string& text : texts) entries.emplace_back(text, static_cast<std::int32_t>(entries.size()));
  const Vocabulary all(entries);
  const Vocabulary few({{"<unk>", 0}, {"a", 1}, {"\xE6\x97\xA5", 2}, {"ab", 3}});
  const std::string word = "a\xC3\xA9\xC3\xA9\xE6\x97\xA5";  // a é é 日
  CHECK(cut(BpeSymbols::of_characters(all, {.bytes = true, .unknown = 0, .fuse_unknown = true}), word) ==
        Symbols{{1, 0}, {4 + 0xC3, 1}, {4 + 0xA9, 2}, {4 + 0xC3, 3}, {4 + 0xA9, 4}, {2, 5}});
  CHECK(cut(BpeSymbols::of_characters(few, {.bytes = false, .unknown = 0, .fuse_unknown = true}), word) ==
        Symbols{{1, 0}, {0, 1}, {2, 5}});
  CHECK(cut(BpeSymbols::of_characters(few, {.bytes = false, .unknown = 0, .fuse_unknown = false}), word) ==
        Symbols{{1, 0}, {0, 1}, {0, 3}, {2, 5}});
  CHECK(cut(BpeSymbols::of_characters(few, {}), word) == Symbols{{1, 0}, {2, 5}});
  CHECK(cut(BpeSymbols::of_characters(few, {}), "\xC3\xA9").empty());
  CHECK(cut(BpeSymbols::of_characters(few, {.bytes = true}), word) == Symbols{{1, 0}, {2, 5}});
}

TEST_CASE("a character falls back to bytes only if all of them are tokens", "[text]") {
  const Vocabulary some({{"<unk>", 0}, {"<0xC3>", 1}, {"<0xA9>", 2}});
  // \xC3\xA9 is in the vocabulary; of \xC3\xA8 only half, so that it is unknown.
  const std::string word = "\xC3\xA9\xC3\xA8";
  CHECK(cut(BpeSymbols::of_characters(some, {.bytes = true, .unknown = 0}), word) == Symbols{{1, 0}, {2, 1}, {0, 2}});
  CHECK(cut(BpeSymbols::of_characters(some, {.bytes = true}), word) == Symbols{{1, 0}, {2, 1}});
}

TEST_CASE("a byte without a token is dropped or unknown", "[text]") {
  const Vocabulary vocabulary({{"a", 5}, {"b", 6}, {"?", 7}});
  CHECK(cut(BpeSymbols::of_bytes(vocabulary, {}),
            "a\x04\x05"
            "b") == Symbols{{5, 0}, {6, 3}});
  CHECK(cut(BpeSymbols::of_bytes(vocabulary, {.unknown = 7}),
            "a\x04\x05"
            "b") == Symbols{{5, 0}, {7, 1}, {7, 2}, {6, 3}});
  CHECK(cut(BpeSymbols::of_bytes(vocabulary, {.unknown = 7, .fuse_unknown = true}),
            "a\x04\x05"
            "b") == Symbols{{5, 0}, {7, 1}, {6, 3}});
  CHECK(BpeSymbols::of_bytes(vocabulary, {}).has_gaps());
}

TEST_CASE("prefixes and suffixes are looked up with the character", "[text]") {
  const Vocabulary vocabulary({{"a", 0}, {"##a", 1}, {"##a</w>", 2}, {"a</w>", 3}, {"##b", 4}});
  const BpeSymbols symbols = BpeSymbols::of_characters(vocabulary, {}, {"##", "</w>"});
  CHECK(cut(symbols, "aaa") == Symbols{{0, 0}, {1, 1}, {2, 2}});
  CHECK(cut(symbols, "a") == Symbols{{3, 0}});
  CHECK(cut(symbols, "ab") == Symbols{{0, 0}});  // "##b</w>" is not a token
}

}  // namespace bpe_symbols_test
