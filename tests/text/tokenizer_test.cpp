// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <span>
#include <string>
#include <vector>

#include "veneer/text/stream_decoder.hpp"

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace tokenizer_test {

namespace {

using namespace veneer;
using namespace veneer::test;

constexpr EncodeOptions bare{.add_special_tokens = false, .parse_special_tokens = true};
constexpr EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = false};

std::vector<std::string> read_strings(const char* file) {
  std::vector<std::string> strings;
  for (const Json& row : read_rows(text_data() / file)) strings.push_back(row.at("text").get<std::string>());
  return strings;
}

const std::vector<std::string>& strings() {
  static const std::vector<std::string> all = read_strings("strings.jsonl");
  return all;
}

std::vector<Json> fixture(const std::string& name, const char* file) {
  return read_rows(text_data() / "fixtures" / name / file);
}

/// Ids and decoded text of every row; returns how many rows differ, the first few of them reported.
std::size_t count_wrong(const Tokenizer& tokenizer, const std::vector<Json>& rows,
                        const std::vector<std::string>& texts) {
  std::size_t wrong = 0;
  for (const Json& row : rows) {
    const std::string& text = texts.at(row.at("i").get<std::size_t>());
    const std::vector<std::int32_t> ids = tokenizer.encode(text, bare);
    const std::string decoded = tokenizer.decode(ids);
    if (same_ids(row, ids) && same_text(row, text, decoded)) continue;
    if (++wrong <= 5)
      UNSCOPED_INFO("row " << row.at("i") << ": " << printable(text) << " -> " << Json(ids).dump().substr(0, 200));
  }
  return wrong;
}

}  // namespace

TEST_CASE("ids and decoded text are those of the reference on every string", "[text]") {
  REQUIRE(strings().size() == 3655);
  for (const std::string& name : json_tokenizers()) {
    const std::vector<Json> rows = fixture(name, "ids.jsonl");
    CHECK(rows.size() == strings().size());
    INFO(name);
    CHECK(count_wrong(load_tokenizer(name), rows, strings()) == 0);
  }
}

TEST_CASE("characters newer than PCRE2's tables are split as the reference does", "[text]") {
  const std::vector<std::string> newer = read_strings("strings_newer.jsonl");
  for (const std::string& name : json_tokenizers()) {
    const std::vector<Json> rows = fixture(name, "newer.jsonl");
    CHECK(rows.size() == 236);
    INFO(name);
    CHECK(count_wrong(load_tokenizer(name), rows, newer) == 0);
  }
}

TEST_CASE("special tokens go around the ids of the text", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const Json meta = read_json(text_data() / "fixtures" / name / "meta.json");
    CAPTURE(name);
    CHECK(tokenizer.vocab_size() == meta.at("size").get<std::size_t>());
    CHECK(std::vector<std::int32_t>(tokenizer.prefix().begin(), tokenizer.prefix().end()) == to_ids(meta.at("prefix")));
    CHECK(std::vector<std::int32_t>(tokenizer.suffix().begin(), tokenizer.suffix().end()) == to_ids(meta.at("suffix")));
    for (const char* text : {"", "ab", " Hello world"}) {
      std::vector<std::int32_t> expected = to_ids(meta.at("prefix"));
      for (const std::int32_t id : tokenizer.encode(text, bare)) expected.push_back(id);
      for (const std::int32_t id : to_ids(meta.at("suffix"))) expected.push_back(id);
      CHECK(tokenizer.encode(text) == expected);
    }
  }
}

TEST_CASE("special tokens in the text are text when parsing is off", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const std::vector<Json> rows = fixture(name, "plain.jsonl");
    CHECK(rows.size() >= 22);
    std::size_t wrong = 0;
    for (const Json& row : rows) {
      const std::string& text = strings().at(row.at("i").get<std::size_t>());
      if (tokenizer.encode(text, plain) == to_ids(row.at("ids"))) continue;
      if (++wrong <= 5) UNSCOPED_INFO(printable(text));
    }
    INFO(name);
    CHECK(wrong == 0);
  }
}

TEST_CASE("arbitrary ids decode to the reference's text", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    for (const Json& row : fixture(name, "decode.jsonl")) {
      const std::vector<std::int32_t> ids = to_ids(row.at("ids"));
      const auto text = row.at("text").get<std::string>();
      CAPTURE(name, ids);
      CHECK(tokenizer.decode(ids) == text);
      CHECK(tokenizer.decode(ids, true) == row.value("text_skip_special", text));
    }
  }
}

TEST_CASE("offsets are bytes of the original text", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const std::vector<Json> rows = fixture(name, "offsets.jsonl");
    CHECK(rows.size() == 211);
    std::size_t wrong = 0;
    for (const Json& row : rows) {
      const std::string& text = strings().at(row.at("i").get<std::size_t>());
      const Encoding encoding = tokenizer.encode_with_offsets(text, bare);
      Json found = Json::array();
      for (const ByteRange& range : encoding.offsets) found.push_back({range.begin, range.end});
      if (found == row.at("offsets") && encoding.ids == tokenizer.encode(text, bare)) continue;
      if (++wrong <= 5) UNSCOPED_INFO(printable(text) << ": " << found << ", expected " << row.at("offsets"));
    }
    INFO(name);
    CHECK(wrong == 0);
  }
}

TEST_CASE("added special tokens cover nothing", "[text]") {
  const Encoding encoding = load_tokenizer("llama3-tiny").encode_with_offsets("Hello");
  REQUIRE(encoding.ids.size() == encoding.offsets.size());
  CHECK(encoding.ids.front() == 3000);
  CHECK(encoding.offsets.front() == ByteRange{0, 0});
  CHECK(encoding.offsets.back().end == 5);
}

TEST_CASE("in plain bytes of a text nothing is a special token", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const std::string special(tokenizer.token(tokenizer.eos_id().value()).value());
    const std::string text = "ab" + special + "cd" + special;
    const std::size_t second = 2 + special.size() + 2;
    const auto count = [&](const std::vector<ByteRange>& ranges) {
      const auto ids = tokenizer.encode(text, bare, ranges);
      CHECK(tokenizer.encode_with_offsets(text, bare, ranges).ids == ids);
      return std::count(ids.begin(), ids.end(), tokenizer.eos_id().value());
    };
    CAPTURE(name);
    CHECK(count({}) == 2);
    CHECK(count({{0, text.size()}}) == 0);
    CHECK(tokenizer.encode(text, bare, std::vector<ByteRange>{{0, text.size()}}) == tokenizer.encode(text, plain));
    CHECK(count({{2, 3}}) == 1);
    CHECK(count({{3, 3}}) == 2);
    CHECK(count({{0, 2}, {second - 2, second}}) == 2);
    CHECK(count({{0, 1}, {second, second + 1}}) == 1);
    CHECK(count({{0, 0}, {2, 2 + special.size()}, {second, text.size()}}) == 0);
  }
}

TEST_CASE("ids of a long text come some at a time, and are the same", "[text]") {
  std::string text;
  for (std::size_t i = 0; text.size() < 1300000; i = (i * 7 + 1) % strings().size())
    text += strings()[i] + (i % 3 == 0 ? "  " : " ");
  for (const std::string name : {"llama3-tiny", "spm-legacy-tiny", "spm-metaspace-tiny"}) {
    // Without tokens of the normalized text, so that long texts are taken in parts.
    Json root = parse_json(read_text(text_data() / "tokenizers" / name / "tokenizer.json", 1 << 20), name);
    for (Json& token : root["added_tokens"]) token["normalized"] = false;
    const Tokenizer tokenizer = Tokenizer::from_json(root.dump());
    std::vector<std::int32_t> ids;
    std::size_t calls = 0;
    tokenizer.encode_to(text, {}, [&](std::span<const std::int32_t> some) {
      ids.insert(ids.end(), some.begin(), some.end());
      ++calls;
    });
    CAPTURE(name);
    CHECK(calls > 2);
    CHECK(ids == tokenizer.encode(text));
    CHECK(ids == tokenizer.encode_with_offsets(text).ids);  // in one piece
  }
}

TEST_CASE("invalid UTF-8 is refused with its offset", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("gpt2-tiny");
  CHECK_THROWS_WITH(tokenizer.encode("abc\xFF"
                                     "def"),
                    Catch::Contains("byte 3 is not UTF-8"));
  CHECK_THROWS_WITH(tokenizer.encode("a\xED\xA0\x80"), Catch::Contains("byte 1 is not UTF-8"));
  CHECK_THROWS_AS(tokenizer.encode("\xE2\x82"), ArgumentError);
}

TEST_CASE("ids that no token has add nothing, negative ones are refused", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("gpt2-tiny");
  const std::vector<std::int32_t> ids{tokenizer.id("a").value(), 2000000000, tokenizer.id("b").value()};
  CHECK(tokenizer.decode(ids) == "ab");
  CHECK_THROWS_AS(tokenizer.decode(std::vector<std::int32_t>{-100}), ArgumentError);
}

TEST_CASE("tokens by id and ids by token are inverse", "[text]") {
  for (const std::string& name : json_tokenizers()) {
    const Tokenizer tokenizer = load_tokenizer(name);
    std::size_t tokens = 0;
    std::size_t wrong = 0;
    for (std::int32_t id = 0; id <= tokenizer.largest_id(); ++id) {
      const auto token = tokenizer.token(id);
      if (!token) continue;
      ++tokens;
      if (tokenizer.id(*token) != id) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(tokens == tokenizer.vocab_size());
    CHECK_FALSE(tokenizer.token(tokenizer.largest_id() + 1));
  }
}

TEST_CASE("special tokens are named by the configuration, old form and new", "[text]") {
  const Tokenizer llama = load_tokenizer("llama3-tiny");
  CHECK(llama.bos_id() == 3000);
  CHECK(llama.token(llama.eos_id().value()) == "<|eot_id|>");
  CHECK(llama.token(llama.pad_id().value()) == "<|finetune_right_pad_id|>");
  CHECK(llama.is_special(3000));
  CHECK_FALSE(llama.is_special(5));
  const Tokenizer qwen = load_tokenizer("qwen2-tiny");
  CHECK_FALSE(qwen.bos_id());
  CHECK(qwen.token(qwen.eos_id().value()) == "<|im_end|>");

  const auto old_form = read_special_tokens(text_data() / "tokenizers" / "llama3-tiny" / "config_v4");
  CHECK(old_form.bos == "<|begin_of_text|>");
  CHECK(old_form.eos == "<|eot_id|>");
  CHECK_FALSE(old_form.pad);
}

TEST_CASE("a long word takes time in proportion, not squared", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  for (const char* unit : {" ", "a", "1", "ab", "!", "\n", "\xE6\x97\xA5", " \n"}) {
    std::string text;
    while (text.size() < 300000) text += unit;
    const std::vector<std::int32_t> ids = tokenizer.encode(text, bare);
    CHECK(tokenizer.decode(ids) == text);
    CHECK(ids.size() < text.size() + 1);
  }
}

TEST_CASE("many threads encode at once", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const auto all_ids = [&tokenizer] {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < 500; ++i) {
      for (const std::int32_t id : tokenizer.encode(strings()[i * 7])) ids.push_back(id);
    }
    return ids;
  };
  const std::vector<std::int32_t> expected = all_ids();
  std::vector<std::future<std::vector<std::int32_t>>> others;
  for (int i = 0; i < 4; ++i) others.push_back(std::async(std::launch::async, all_ids));
  for (auto& other : others) CHECK(other.get() == expected);
}

TEST_CASE("tokenizers of any components give the reference's ids and text", "[text]") {
  std::size_t tokenizers = 0;
  for (const auto& entry : std::filesystem::directory_iterator(text_data() / "components")) {
    const std::vector<Json> rows = read_rows(entry.path() / "ids.jsonl");
    INFO(entry.path());
    CHECK(rows.size() > 300);
    CHECK(count_wrong(Tokenizer::from_folder(entry.path()), rows, strings()) == 0);
    ++tokenizers;
  }
  CHECK(tokenizers == 11);
}

TEST_CASE("a pattern that takes exponential time is an error of the text", "[text]") {
  const Tokenizer tokenizer = Tokenizer::from_file(text_data() / "bad_tokenizers" / "regex-other.json");
  CHECK_FALSE(tokenizer.encode("aaaa").empty());
  CHECK_THROWS_WITH(tokenizer.encode("bb" + std::string(100, 'a') + "b"), Catch::Contains("gives up"));
}

TEST_CASE("offsets cover what is normalized and marked", "[text]") {
  Json root = read_json(text_data() / "tokenizers" / "gpt2-tiny" / "tokenizer.json");
  root["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", {Json{{"type", "NFD"}}, Json{{"type", "StripAccents"}}, Json{{"type", "Lowercase"}}}}};
  const Tokenizer tokenizer = Tokenizer::from_json(root.dump());
  const std::string text = "\xC3\x89X \xC3\x89";  // ÉX É
  const Encoding encoding = tokenizer.encode_with_offsets(text, bare);
  CHECK(encoding.ids == tokenizer.encode("ex e", bare));
  CHECK(encoding.offsets.front().begin == 0);
  CHECK(encoding.offsets.back().end == text.size());
}

TEST_CASE("malformed tokenizers are refused for the right reason", "[text]") {
  const auto folder = text_data() / "bad_tokenizers";
  const Json expected = read_json(folder / "expect.json");
  CHECK(expected.size() == 53);
  for (auto entry = expected.begin(); entry != expected.end(); ++entry) {
    CAPTURE(entry.key());
    const Json& want = entry.value();
    try {
      const Tokenizer tokenizer = Tokenizer::from_file(folder / entry.key());
      CHECK(want.at("load").get<bool>());
      CHECK(tokenizer.decode(tokenizer.encode("hello world")) == "<|begin_of_text|>hello world");
    } catch (const TokenizerError& error) {
      CHECK_FALSE(want.at("load").get<bool>());
      CHECK(to_string(error.reason) == want.value("reason", ""));
      if (want.contains("key")) CHECK(error.key == want.at("key").get<std::string>());
      CHECK_THAT(error.what(), Catch::Contains(entry.key()));
    }
  }
}

TEST_CASE("forms that are not supported are refused by name", "[text]") {
  const std::string good = read_text(text_data() / "bad_tokenizers" / "ok.json", 1 << 20);
  const auto with = [&](const char* key, const Json& value) {
    Json root = parse_json(good, "ok.json");
    root[key] = value;
    return root.dump();
  };
  const auto refused = [](const std::string& text) {
    try {
      Tokenizer::from_json(text);
    } catch (const TokenizerError& error) {
      return std::string(to_string(error.reason)) + " | " + error.what();
    }
    return std::string("loads");
  };
  const auto type = [](const char* name) { return Json{{"type", name}}; };
  for (const char* name : {"BertNormalizer", "Precompiled", "Nmt"})
    CHECK_THAT(refused(with("normalizer", type(name))),
               Catch::StartsWith("unsupported_normalizer") && Catch::Contains(name));
  CHECK_THAT(refused(with("normalizer", {{"type", "Sequence"}, {"normalizers", {type("NFC"), type("Nmt")}}})),
             Catch::Contains("Nmt"));
  for (const char* name : {"BertPreTokenizer", "UnicodeScripts", "CharDelimiterSplit"})
    CHECK_THAT(refused(with("pre_tokenizer", type(name))),
               Catch::StartsWith("unsupported_pre_tokenizer") && Catch::Contains(name));
  for (const char* name : {"WordPiece", "CTC"})
    CHECK_THAT(refused(with("decoder", type(name))), Catch::StartsWith("unsupported_decoder") && Catch::Contains(name));
  for (const char* name : {"WordPiece", "WordLevel"})
    CHECK_THAT(refused(with("model", type(name))), Catch::StartsWith("unsupported_model") && Catch::Contains(name));
  CHECK_THAT(refused(with("model", type("Unigram"))),
             Catch::Contains("missing_field") && Catch::Contains("model.vocab"));
  const Json lookbehind = {{"type", "Split"}, {"pattern", {{"Regex", "(?<=a+)b"}}}, {"behavior", "Isolated"}};
  CHECK_THAT(refused(with("pre_tokenizer", lookbehind)), Catch::StartsWith("unsupported_pattern"));
  CHECK_THAT(refused(with("post_processor", {{"type", "BertProcessing"}})), Catch::Contains("BertProcessing"));
  CHECK(refused(with("truncation", {{"max_length", 3}})) == "loads");

  Json root = parse_json(good, "ok.json");
  root["added_tokens"][0]["content"] = std::string(longest_token + 1, 'a');
  CHECK_THAT(refused(root.dump()), Catch::Contains("too_large | ") && Catch::Contains("added_tokens[0].content"));
  root = parse_json(good, "ok.json");
  root["model"]["invented"] = 1;
  CHECK_THAT(refused(root.dump()), Catch::Contains("model.invented"));
}

TEST_CASE("Digits cut numbers out before the words", "[text]") {
  Json root = parse_json(read_text(text_data() / "tokenizers" / "gpt2-tiny" / "tokenizer.json", 1 << 20), "gpt2-tiny");
  const Json words = root["pre_tokenizer"];
  const auto encode = [&](bool each, const char* text) {
    root["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers", {Json{{"type", "Digits"}, {"individual_digits", each}}, words}}};
    const Tokenizer tokenizer = Tokenizer::from_json(root.dump());
    std::vector<std::string> tokens;
    for (const std::int32_t id : tokenizer.encode(text)) tokens.emplace_back(tokenizer.token(id).value());
    return tokens;
  };
  using Tokens = std::vector<std::string>;
  CHECK(encode(true, "12 a") == Tokens{"1", "2",
                                       "\xC4\xA0"
                                       "a"});
  CHECK(encode(true, "a 12") == Tokens{"a", "\xC4\xA0", "1", "2"});
  CHECK(encode(false, " 10") == Tokens{"\xC4\xA0", "10"});
}

}  // namespace tokenizer_test
