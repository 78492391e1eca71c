// SPDX-License-Identifier: Apache-2.0
/// \file gguf_tokenizer_test.cpp
/// Tokenizers as keys of GGUF: the name of the pre-tokenizer, types of tokens, scores, special ids; what is refused.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "veneer/text/gguf/tokenizer.hpp"

#include "support/catch.hpp"
#include "support/message_of.hpp"
#include "support/temporary_folder.hpp"

namespace gguf_tokenizer_test {

using namespace veneer;
using veneer::testing::message_of;
using veneer::testing::TemporaryFolder;

namespace {

namespace fs = std::filesystem;
const fs::path tokenizers = fs::path(VENEER_TEST_DATA) / "text" / "tokenizers";
const fs::path tiny = fs::path(VENEER_SOURCE_DIR) / "examples" / "data" / "veneer-tiny";

GgufValue key(const GgufTokenizer& found, const std::string& name) {
  for (const GgufKey& entry : found.keys)
    if (entry.name == "tokenizer." + name) return entry.value;
  return false;
}

Json tiny_json() { return read_json(tiny / "tokenizer.json", tokenizer_limits); }

/// Returns the error of a changed tokenizer.json; the other files are those of veneer-tiny.
std::string refusal(const std::function<void(Json&)>& change, std::size_t rows = 512) {
  const TemporaryFolder folder;
  Json json = tiny_json();
  change(json);
  folder.file("tokenizer.json", dump_python(json));
  folder.file("tokenizer_config.json", R"({"eos_token": "<|end_of_text|>"})");
  return message_of([&] { gguf_tokenizer(folder.path(), rows, {}); });
}

/// Returns the pre-tokenizer of a Split by a pattern, then bytes.
Json split_by(std::string_view pattern) {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       Json::array({{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
                    {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}})}};
}

}  // namespace

TEST_CASE("gguf tokenizer: veneer-tiny, key by key") {
  const GgufTokenizer found = gguf_tokenizer(tiny, 514, {1, 3});
  CHECK(key(found, "ggml.model") == GgufValue(std::string("gpt2")));
  CHECK(key(found, "ggml.pre") == GgufValue(std::string("llama-bpe")));
  const auto texts = std::get<std::vector<std::string>>(key(found, "ggml.tokens"));
  const auto types = std::get<std::vector<std::int32_t>>(key(found, "ggml.token_type"));
  REQUIRE(texts.size() == 514);
  CHECK(texts[0] == "<|begin_of_text|>");
  CHECK(texts[513] == "[PAD513]");
  CHECK(types[0] == 3);
  CHECK(types[511] == 1);
  CHECK(types[513] == 5);
  CHECK(std::get<std::vector<std::string>>(key(found, "ggml.merges")).size() == 254);
  CHECK(key(found, "ggml.bos_token_id") == GgufValue(std::uint32_t{0}));
  CHECK(key(found, "ggml.eos_token_id") == GgufValue(std::uint32_t{1}));
  CHECK(key(found, "ggml.eot_token_id") == GgufValue(std::uint32_t{3}));
  CHECK(key(found, "ggml.add_bos_token") == GgufValue(true));
  CHECK(key(found, "ggml.add_eos_token") == GgufValue(false));
  CHECK_FALSE(found.chat_template.has_value());
}

TEST_CASE("gguf tokenizer: the pre-tokenizer is chosen by its components") {
  const auto chosen = [](Json pre, bool ignore_merges) {
    const Json tokenizer = {{"pre_tokenizer", std::move(pre)}, {"model", {{"ignore_merges", ignore_merges}}}};
    return gguf_pre_tokenizer(tokenizer, "t");
  };
  const auto& patterns = detail::gguf_patterns;
  for (const auto& known : patterns) {
    for (const bool ignores : {false, true}) {
      const std::string name(ignores ? known.ignores_merges : known.builds_words);
      if (name.empty()) {
        CHECK_THROWS_AS(chosen(split_by(known.pattern), ignores), FormatError);
      } else {
        CHECK(chosen(split_by(known.pattern), ignores) == name);
      }
    }
  }
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  CHECK(chosen(bytes, false) == "gpt-2");
  CHECK(chosen({{"type", "Sequence"}, {"pretokenizers", Json::array({digits, bytes})}}, false) == "smollm");
  const std::string message = message_of([&] { chosen(split_by("\\w+|\\W+"), false); });
  CHECK(message.find("w+|") != std::string::npos);  // the pattern is in the message
  CHECK(message_of([&] { chosen({{"type", "ByteLevel"}, {"add_prefix_space", true}}, false); }) != "");
}

TEST_CASE("gguf tokenizer: what llama.cpp would apply otherwise is refused") {
  CHECK(refusal([](Json&) {}).empty());
  CHECK(refusal([](Json&) {}, 100).find("rows") != std::string::npos);
  CHECK(refusal([](Json& json) { json["normalizer"] = {{"type", "NFC"}}; }).empty());
  CHECK(refusal([](Json& json) { json["model"]["ignore_merges"] = false; }).empty());
  const TemporaryFolder folder;
  CHECK(message_of([&] { gguf_tokenizer(folder.path(), 10, {}); }).find("no tokenizer.json") != std::string::npos);
  folder.file("tokenizer.json", dump_python(tiny_json()));
  CHECK(message_of([&] { gguf_tokenizer(folder.path(), 512, {}); }).find("eos_token") != std::string::npos);
  CHECK(message_of([&] { gguf_tokenizer(folder.path(), 512, {1}); }).empty());
  Json lower = tiny_json();
  lower["normalizer"] = {{"type", "Lowercase"}};
  std::vector<std::string> warnings;
  CHECK_THROWS_AS(detail::check_byte_level(lower, "t", warnings), FormatError);
}

TEST_CASE("gguf tokenizer: sentencepiece merges become scores in the order of the merges") {
  std::set<std::string> pairs;
  const auto scores = detail::merge_scores(Json::array({Json::array({"a", "b"}), "c d", "cd e"}), pairs, "t");
  CHECK(scores.at("ab") == 0);
  CHECK(scores.at("cd") == -1);
  CHECK(scores.at("cde") == -2);
  CHECK(pairs.size() == 3);
  const Json apart = Json::array({"a bc", "x y", "ab c"});
  CHECK_THROWS_AS(detail::merge_scores(apart, pairs, "t"), FormatError);
  const Json vocab = {{"a", 0}, {"b", 1}, {"ab", 2}};
  CHECK_NOTHROW(detail::expect_all_merges(vocab, {std::string("a\0b", 3)}, {}, "t"));
  CHECK_THROWS_AS(detail::expect_all_merges(vocab, {}, {}, "t"), FormatError);
  CHECK_NOTHROW(detail::expect_all_merges(vocab, {}, {"ab"}, "t"));
}

TEST_CASE("gguf tokenizer: runs of spaces may be merged in any order that gives what scores give") {
  const auto run = [](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += piece_space;
    return text;
  };
  const auto scores = [&](const std::vector<std::pair<std::size_t, std::size_t>>& joined, const Json& first,
                          const Json& after) {
    Json merges = first;
    for (const auto& [left, right] : joined) merges.push_back({run(left), run(right)});
    for (const Json& merge : after) merges.push_back(merge);
    std::set<std::string> pairs;
    return detail::merge_scores(merges, pairs, "t");
  };
  const Json none = Json::array(), word = Json::array({Json::array({"a", "b"})});
  const std::vector<std::pair<std::size_t, std::size_t>> falling{{3, 1}, {2, 1}, {2, 2}, {1, 1}, {1, 2}};
  CHECK(scores(falling, word, none).at(run(4)) == -1);
  CHECK(scores(falling, none, none).at(run(3)) == -1);
  CHECK_THROWS_AS(scores(falling, none, word), FormatError);
  CHECK_THROWS_AS(scores(falling, Json::array({Json::array({run(2), "a"})}), none), FormatError);
  CHECK_THROWS_AS(scores({{1, 2}, {1, 1}, {2, 1}}, word, none), FormatError);  // 4 spaces: 2 + 2, by scores 3 + 1
}

TEST_CASE("gguf tokenizer: the kinds of the fixtures") {
  CHECK(key(gguf_tokenizer(tokenizers / "llama3-tiny", 4096, {1}), "ggml.pre") != GgufValue(false));
  CHECK(key(gguf_tokenizer(tokenizers / "qwen2-tiny", 4096, {1}), "ggml.pre") == GgufValue(std::string("qwen2")));
  CHECK(key(gguf_tokenizer(tokenizers / "gpt2-tiny", 4096, {1}), "ggml.pre") == GgufValue(std::string("gpt-2")));
  CHECK_THROWS_AS(gguf_tokenizer(tokenizers / "gpt2-prefix-tiny", 4096, {1}), FormatError);
  CHECK_THROWS_AS(gguf_tokenizer(tokenizers / "unigram-tiny", 4096, {1}), FormatError);
  const GgufTokenizer legacy = gguf_tokenizer(tokenizers / "spm-legacy-tiny", 4096, {1});
  CHECK(key(legacy, "ggml.model") == GgufValue(std::string("llama")));
  CHECK(key(legacy, "ggml.add_space_prefix") == GgufValue(true));
  CHECK(std::get<std::vector<float>>(key(legacy, "ggml.scores")).size() == 4096);
}

}  // namespace gguf_tokenizer_test
