// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/sentencepiece.hpp"

#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/tokenizer.hpp"

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace sentencepiece_test {

namespace {

using namespace veneer;
using namespace veneer::test;

constexpr EncodeOptions bare{.add_special_tokens = false, .parse_special_tokens = true};

std::string model_bytes(const std::string& name) {
  return read_text(text_data() / "tokenizers" / name / "tokenizer.model", 1 << 20);
}

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80u);
  return out + static_cast<char>(value);
}
std::string bytes_field(std::uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string number_field(std::uint64_t number, std::uint64_t value) { return varint(number << 3) + varint(value); }
std::string float_field(std::uint64_t number, float value) {
  std::string out = varint(number << 3 | 5);
  out.append(sizeof value, '\0');
  std::memcpy(out.data() + out.size() - sizeof value, &value, sizeof value);
  return out;
}
std::string piece(const std::string& text, float score, std::uint64_t type) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + number_field(3, type));
}

/// Returns the reason for which a model is refused.
std::string refused(const std::string& bytes) {
  try {
    Tokenizer::from_model(bytes);
  } catch (const TokenizerError& error) {
    return std::string(to_string(error.reason));
  }
  return "loads";
}

}  // namespace

TEST_CASE("a unigram model gives sentencepiece's ids and text", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("unigram-tiny");
  const Json meta = read_json(text_data() / "fixtures" / "unigram-tiny" / "meta.json");
  CHECK(tokenizer.vocab_size() == meta.at("size").get<std::size_t>());
  CHECK(std::vector<std::int32_t>(tokenizer.prefix().begin(), tokenizer.prefix().end()) == to_ids(meta.at("prefix")));
  CHECK(tokenizer.encode("") == to_ids(meta.at("prefix")));
  for (const auto& [strings, rows] :
       {std::pair{"strings.jsonl", "ids.jsonl"}, {"strings_newer.jsonl", "newer.jsonl"}}) {
    std::size_t wrong = 0, count = 0;
    const std::vector<Json> texts = read_rows(text_data() / strings);
    for (const Json& row : read_rows(text_data() / "fixtures" / "unigram-tiny" / rows)) {
      ++count;
      const std::string text = texts.at(row.at("i").get<std::size_t>()).at("text").get<std::string>();
      const std::vector<std::int32_t> ids = tokenizer.encode(text, bare);
      const std::string decoded = tokenizer.decode(ids);
      if (same_ids(row, ids) && same_text(row, text, decoded)) continue;
      if (++wrong <= 5) UNSCOPED_INFO("row " << row.at("i") << ": " << printable(text) << " -> " << printable(decoded));
    }
    CHECK(wrong == 0);
    CHECK(count > 200);
  }
  for (const Json& row : read_rows(text_data() / "fixtures" / "unigram-tiny" / "decode.jsonl")) {
    const auto text = row.at("text").get<std::string>();
    CAPTURE(row.dump());
    CHECK(tokenizer.decode(to_ids(row.at("ids"))) == text);
    CHECK(tokenizer.decode(to_ids(row.at("ids")), true) == row.value("text_skip_special", text));
  }
}

TEST_CASE("a BPE model without tokenizer.json gives sentencepiece's ids", "[text]") {
  for (const std::string name : {"spm-legacy-tiny", "spm-metaspace-tiny"}) {
    const Tokenizer tokenizer = Tokenizer::from_model(model_bytes(name), name);
    const Tokenizer json = load_tokenizer(name);
    std::map<std::size_t, Json> other;
    for (const Json& row : read_rows(text_data() / "fixtures" / name / "model.jsonl"))
      other[row.at("i").get<std::size_t>()] = row;
    CHECK(other.size() >= 200);
    std::size_t wrong = 0;
    const std::vector<Json> texts = read_rows(text_data() / "strings.jsonl");
    for (const Json& row : read_rows(text_data() / "fixtures" / name / "ids.jsonl")) {
      const auto i = row.at("i").get<std::size_t>();
      const std::string text = texts.at(i).at("text").get<std::string>();
      const auto found = other.find(i);
      if (same_ids(found == other.end() ? row : found->second, tokenizer.encode(text, bare))) continue;
      if (++wrong <= 5) UNSCOPED_INFO(printable(text));
    }
    INFO(name);
    CHECK(wrong == 0);
    CHECK(tokenizer.bos_id() == json.bos_id());
    CHECK(tokenizer.eos_id() == json.eos_id());
  }
}

TEST_CASE("offsets of a model are bytes of the text", "[text]") {
  const Tokenizer tokenizer = Tokenizer::from_model(model_bytes("spm-legacy-tiny"));
  const std::string text = "caf\xC3\xA9 a";
  const Encoding encoding = tokenizer.encode_with_offsets(text);
  REQUIRE(encoding.ids.size() == encoding.offsets.size());
  CHECK(encoding.offsets.front() == ByteRange{0, 0});  // BOS
  CHECK(encoding.offsets.back().end == text.size());
  for (const ByteRange& range : encoding.offsets) CHECK(range.begin <= range.end);
}

TEST_CASE("tokenizer_config.json says what goes around the text of a model", "[text]") {
  SpecialTokens special;
  special.add_bos = false;
  special.add_eos = true;
  const Tokenizer tokenizer = Tokenizer::from_model(model_bytes("unigram-tiny"), "unigram-tiny", special);
  CHECK(tokenizer.prefix().empty());
  REQUIRE(tokenizer.suffix().size() == 1);
  CHECK(tokenizer.suffix()[0] == tokenizer.eos_id());
}

TEST_CASE("a model that breaks a rule is refused for the right reason", "[text]") {
  const std::string three = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
  CHECK(refused(three + piece("a", -1, 1) + piece("\xE2\x96\x81", -2, 1)) == "loads");
  CHECK(refused("") == "empty_file");
  CHECK(refused("\x08") == "protobuf");
  CHECK(refused(std::string("\x0A\xFF\xFF\xFF\xFF\x0F", 6)) == "protobuf");
  CHECK(refused(number_field(9, 1)) == "empty_vocab");
  CHECK(refused(three + piece("a", -1, 1) + piece("a", -2, 1)) == "duplicate_id");
  CHECK(refused(three + piece("", -1, 1)) == "bad_piece");
  CHECK(refused(three + piece(std::string("a\0b", 3), -1, 1)) == "bad_piece");
  CHECK(refused(three + piece("\xFF", -1, 1)) == "bad_piece");
  CHECK(refused(three + piece("a", -1, 9)) == "bad_piece");
  CHECK(refused(three + piece("a", std::numeric_limits<float>::quiet_NaN(), 1)) == "bad_piece");
  CHECK(refused(piece("a", -1, 1)) == "missing_unk");
  CHECK(refused(three + piece("<0x00>", 0, 6)) == "missing_byte");
  CHECK(refused(three + piece("a", -1, 1) + bytes_field(2, number_field(3, 4))) == "unsupported_model");
  CHECK(refused(three + piece("a", -1, 1) + bytes_field(3, bytes_field(2, "short"))) == "bad_table");
}

TEST_CASE("a normalization table may not point outside itself", "[text]") {
  std::string table(4 + 4 * 256, '\0');
  table[1] = 4;  // the size of the trie in bytes: 1024
  table += std::string("a\0", 2);
  CHECK(detail::safe_normalization_table(table));
  CHECK(detail::safe_normalization_table(""));
  const auto with_unit = [&](std::size_t at, std::uint32_t bits) {
    std::string changed = table;
    for (std::size_t i = 0; i < 4; ++i) changed[4 + 4 * at + i] = static_cast<char>(bits >> (8 * i));
    return changed;
  };
  CHECK_FALSE(detail::safe_normalization_table(with_unit(0, 256u << 10)));          // the root's children
  CHECK_FALSE(detail::safe_normalization_table(with_unit('x', 256u << 10 | 'x')));  // a child's children
  CHECK(detail::safe_normalization_table(with_unit('x', 256u << 10 | 'y')));        // that place can't be reached
  CHECK_FALSE(detail::safe_normalization_table(table.substr(0, table.size() - 1)));
  // A leaf whose replacement is after the end.
  std::string leaf = with_unit('x', 1u << 10 | 1u << 8 | 'x');
  CHECK(detail::safe_normalization_table(leaf));
  std::string longer = leaf;
  longer.insert(longer.end() - 1, 2000, 'a');
  CHECK_FALSE(detail::safe_normalization_table(longer));
  for (std::size_t i = 0; i < 4; ++i) leaf[4 + 4 * ('x' ^ 1) + i] = static_cast<char>(i == 0 ? 9 : 0);
  CHECK_FALSE(detail::safe_normalization_table(leaf));
}

}  // namespace sentencepiece_test
