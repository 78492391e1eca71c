// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/declared_tokens.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "veneer/text/tokenizer.hpp"

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace declared_tokens_test {

namespace {

using namespace veneer;
using namespace veneer::test;

constexpr EncodeOptions bare{.add_special_tokens = false, .parse_special_tokens = true};

std::vector<DeclaredToken> read(const std::string& config, const std::string& map = "", const std::string& added = "") {
  return detail::DeclaredTokenReader().read(config, map, added, {});
}

}  // namespace

TEST_CASE("declared tokens are used as transformers uses them", "[text]") {
  std::size_t folders = 0, wrong = 0;
  for (const auto& entry : std::filesystem::directory_iterator(text_data() / "declared")) {
    const Tokenizer tokenizer = Tokenizer::from_folder(entry.path());
    const std::vector<Json> rows = read_rows(entry.path() / "ids.jsonl");
    CHECK(rows.size() == 30);
    for (const Json& row : rows) {
      const std::vector<std::int32_t> ids = tokenizer.encode(row.at("text").get<std::string>(), bare);
      if (ids == to_ids(row.at("ids")) && tokenizer.decode(ids, true) == row.at("skipped").get<std::string>()) continue;
      if (++wrong <= 5) UNSCOPED_INFO(entry.path() << ": " << row);
    }
    ++folders;
  }
  CHECK(wrong == 0);
  CHECK(folders == 12);
}

TEST_CASE("a token keeps its id in the vocabulary, or gets the next free one", "[text]") {
  const auto declared =
      read(R"({"added_tokens_decoder": {"90": {"content": "<b>", "special": true}, "7": {"content": "a"}},
                                 "pad_token": "<p>", "extra_special_tokens": ["<b>", "<x>"]})");
  std::vector<AddedToken> added;
  const auto id_of = [](const std::string& token) {
    return token == "a" ? std::optional<std::int32_t>(3) : std::nullopt;
  };
  add_declared_tokens(declared, id_of, 10, added);
  std::vector<std::string> found;
  for (const AddedToken& token : added)
    found.push_back(std::to_string(token.id) + token.content + (token.special ? "!" : ""));
  CHECK(found == std::vector<std::string>{"3a", "10<b>!", "11<p>!", "12<x>!"});
}

TEST_CASE("files of another shape are refused with the place", "[text]") {
  CHECK_THROWS_WITH(read(R"({"added_tokens_decoder": []})"),
                    Catch::Contains("added_tokens_decoder: expected an object"));
  CHECK_THROWS_WITH(read(R"({"added_tokens_decoder": {"x": {"content": "a"}}})"), Catch::Contains("found \"x\""));
  CHECK_THROWS_WITH(read(R"({"added_tokens_decoder": {"1": {"content": 1}}})"), Catch::Contains("\"content\""));
  CHECK_THROWS_WITH(read(R"({"extra_special_tokens": 3})"), Catch::Contains("extra_special_tokens"));
  CHECK_THROWS_WITH(read("{}", "", R"({"a": -1})"), Catch::Contains("expected an id"));
  CHECK_THROWS_AS(read("{"), FormatError);
  CHECK_THROWS_AS(read(R"({"bos_token": {"content": "a", "lstrip": 1}})"), FormatError);
}

}  // namespace declared_tokens_test
