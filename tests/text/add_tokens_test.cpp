// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/add_tokens.hpp"

#include "support/catch.hpp"

namespace add_tokens_test {

using namespace veneer;

TEST_CASE("added tokens get the ids after the last, and are found in a text as they are") {
  const std::filesystem::path folder = std::filesystem::path(VENEER_TEST_DATA) / "text" / "tokenizers" / "qwen2-tiny";
  const Tokenizer before = Tokenizer::from_folder(folder);
  const std::string known(before.token(100).value_or(""));
  const GrownTokenizer grown = add_tokens(folder, {"<tool:x>", known, "[Y]"});
  const std::int32_t next = before.largest_id() + 1;
  CHECK(grown.ids == std::vector<std::int32_t>{next, 100, next + 1});
  CHECK(grown.rows == next + 2);
  const Tokenizer after = Tokenizer::from_json(grown.json);
  CHECK(after.largest_id() == next + 1);
  std::vector<std::int32_t> expected = before.encode("a ", {.add_special_tokens = false});
  expected.push_back(next);
  expected.push_back(next + 1);
  CHECK(after.encode("a <tool:x>[Y]", {.add_special_tokens = false}) == expected);
  CHECK_THROWS_AS(add_tokens(folder, {"a", ""}), ArgumentError);
  CHECK_THROWS_AS(add_tokens(folder, {"<q>", "<q>"}), ArgumentError);
  CHECK_THROWS_AS(add_tokens(folder / "absent", {"<q>"}), FormatError);
}

}  // namespace add_tokens_test
