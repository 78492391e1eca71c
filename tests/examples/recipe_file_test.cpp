// SPDX-License-Identifier: Apache-2.0
/// \file recipe_file_test.cpp
/// Laws of the reader of recipes: values in any notation of YAML are read as text, and everything that a recipe can't
/// have is refused with its line, however deep or long.
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

#if defined(VENEER_PROGRAM)

#include "veneer/io/json.hpp"
#include "veneer/recipe_file.hpp"

namespace recipe_file_test {

using namespace veneer;
using namespace veneer::program;

namespace {

std::string repeated(std::string_view part, std::size_t bytes) {
  std::string text;
  while (text.size() + part.size() <= bytes) text += part;
  return text;
}

struct Refusal {
  RecipeReason reason;
  std::size_t line;
  std::string message;
};

/// Returns the error of a text; fails the test if there is none.
Refusal refusal_of(const std::string& text) {
  try {
    read_recipe(text, "my.yaml");
  } catch (const RecipeError& error) {
    return {error.reason, error.line, error.what()};
  }
  FAIL("not refused: " << text.substr(0, 80));
  return {};
}

}  // namespace

TEST_CASE("recipe_file: any text in JSON's quotes comes back, alone and in a list") {
  const std::vector<std::string> texts{"",
                                       "plain",
                                       "with space ",
                                       "# no comment",
                                       "a: b",
                                       "- x",
                                       "null",
                                       "~",
                                       "true",
                                       "0x10",
                                       "it's",
                                       "\"q\"",
                                       "back\\n",
                                       "tab\t\n",
                                       "&a *a",
                                       "!!str",
                                       "[a, b]",
                                       "{a: b}",
                                       "---",
                                       "%TAG",
                                       "\xC3\xA9\xF0\x9F\x98\x80",
                                       "\x01\x1F",
                                       std::string(3000, 'x')};
  for (const std::string& text : texts) {
    INFO(text);
    const std::string yaml = "key: " + Json(text).dump() + "\nlist: " + Json(std::vector{text, text}).dump() + "\n";
    CHECK(read_recipe(yaml, "") ==
          std::vector<RecipeEntry>{{"key", {text}, false, 1}, {"list", {text, text}, true, 2}});
  }
}

TEST_CASE("recipe_file: numbers stay as they are spelt, and lines are counted") {
  const auto found = read_recipe(
      "\xEF\xBB\xBF# a comment\n---\nlr: 2e-4   # a rate\nwarmup: 0.03\r\n\neps: 1e-8\nlayers:\n"
      "  - 0\n  - 0010\nempty: []\nfolded: >-\n  a\n  b\nsingle: 'it''s'\n",
      "my.yaml");
  const std::vector<RecipeEntry> expected{{"lr", {"2e-4"}, false, 3},     {"warmup", {"0.03"}, false, 4},
                                          {"eps", {"1e-8"}, false, 6},    {"layers", {"0", "0010"}, true, 7},
                                          {"empty", {}, true, 10},        {"folded", {"a b"}, false, 11},
                                          {"single", {"it's"}, false, 14}};
  CHECK(found == expected);
}

TEST_CASE("recipe_file: what a recipe can't have is refused with its line") {
  using Reason = RecipeReason;
  struct Case {
    const char* text;
    Reason reason;
    std::size_t line;
  };
  const std::vector<Case> cases{
      {"", Reason::empty, 0},
      {"# nothing\n", Reason::empty, 0},
      {"{}", Reason::empty, 0},
      {"---\n", Reason::empty, 0},
      {"~", Reason::empty, 0},
      {"hello", Reason::not_a_mapping, 1},
      {"- a\n- b\n", Reason::not_a_mapping, 1},
      {"a: 1\nb: 2\na: 3\n", Reason::duplicate_key, 3},
      {"a: 1\nb:\n", Reason::no_value, 2},
      {"a: ~\n", Reason::no_value, 1},
      {"a: [1, null]\n", Reason::no_value, 1},
      {"a: 1\nb: {c: 1}\n", Reason::nested, 2},
      {"a:\n  b: 1\n", Reason::nested, 2},
      {"a: [[1]]\n", Reason::nested, 1},
      {"rank: 1\ntargets: [q_proj, v_proj\n", Reason::nested, 2},
      {"targets: [q_proj, v_proj\nlr: 1\n", Reason::yaml, 2},
      {"? [a]\n: 1\n", Reason::bad_key, 1},
      {": 1\n", Reason::bad_key, 1},
      {"a: &x 1\n", Reason::anchor, 1},
      {"a: !!int 1\n", Reason::tag, 1},
      {"!x a: 1\n", Reason::tag, 1},
      {"a: 1\n---\nb: 1\n", Reason::several_documents, 2},
      {"a: 'x", Reason::yaml, 1},
      {"a: 1\nb: 'x\nc: 3\n", Reason::yaml, 2},
      {"a: 1\nb: \"x\nc: 3\n", Reason::yaml, 2},
      {"a: \"x\\\n", Reason::yaml, 1},
      {"a: [\"x\", \"y\n]\n", Reason::yaml, 1},
      {"\"a\n", Reason::yaml, 1},
      {"a: b: c\n", Reason::yaml, 1},
      {"a: 1\nb: *x\n", Reason::yaml, 2},
      {"a: \"\\ud800\"\n", Reason::yaml, 1},
      {"a: 1\nb: \"\\0\"\n", Reason::control_character, 2},
      {"a: 1\nb: \x01\n", Reason::control_character, 2},
      {"a: 1\rb: 2\n", Reason::control_character, 1},
      {"a: 1\n\xFF: 1\n", Reason::utf8, 2},
      {"\xFF\xFE"
       "a",
       Reason::utf8, 1},
  };
  for (const Case& each : cases) {
    INFO(each.text);
    const Refusal found = refusal_of(each.text);
    CHECK(to_string(found.reason) == to_string(each.reason));
    CHECK(found.line == each.line);
    CHECK(found.message.find(each.line > 0 ? "my.yaml: line " + std::to_string(each.line) + ": " : "my.yaml: ") == 0);
  }
  CHECK(refusal_of(std::string("a\0:\0", 4)).reason == RecipeReason::control_character);  // UTF-16 without a mark
  CHECK(refusal_of("rank: 1\nlr: 2\nrank: 3\n").message == "my.yaml: line 3: \"rank\" is given twice, first on line 1");
}

TEST_CASE("recipe_file: depth and length cost neither stack nor time") {
  constexpr std::size_t limit = std::size_t{1} << 20;
  for (const char* part : {"[", "a: [", "{", "{a: ", "- ", "? ", "!a ", "&a ", "\"", "#\n"}) {
    INFO(part);
    CHECK_THROWS_AS(read_recipe(repeated(part, limit / 16), ""), RecipeError);
    CHECK_THROWS_AS(read_recipe("a: " + repeated(part, limit / 16), ""), RecipeError);
  }
  std::string many;
  for (int i = 0; i < 20000; ++i) many += "key" + std::to_string(i) + ": 1\n";
  CHECK(read_recipe(many, "").size() == 20000);
  CHECK(refusal_of(std::string(limit + 1, ' ')).reason == RecipeReason::too_large);
}

}  // namespace recipe_file_test
#endif
