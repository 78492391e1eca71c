// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/added_tokens.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace added_tokens_test {

namespace {

using namespace veneer;

AddedTokenSet make_set(const std::vector<AddedToken>& tokens) {
  AddedTokenSet set;
  for (const AddedToken& token : tokens) set.add(token, token.content);
  return set;
}

/// Returns the parts, with tokens in brackets.
std::string cut(const AddedTokenSet& set, std::string_view text, bool special = true) {
  std::string parts;
  set.cut(
      text, [&](std::size_t, std::size_t) { return special; },
      [&](std::string_view piece, const AddedToken* token) {
        parts += token == nullptr ? "(" + std::string(piece) + ")" : "[" + std::string(piece) + "]";
      });
  return parts;
}

}  // namespace

TEST_CASE("the longest token at the leftmost place is cut out", "[text]") {
  const AddedTokenSet set = make_set({{1, "<a>"}, {2, "<a><b>"}, {3, "b>c"}, {4, "a"}});
  CHECK(cut(set, "x<a>y") == "(x)[<a>](y)");
  CHECK(cut(set, "<a><b>c") == "[<a><b>](c)");
  CHECK(cut(set, "<a><b") == "[<a>](<b)");
  CHECK(cut(set, "<b>c") == "(<)[b>c]");
  CHECK(cut(set, "<a") == "(<)[a]");
  CHECK(cut(set, "") == "");
  CHECK(cut(set, "aa") == "[a][a]");
}

TEST_CASE("white space goes with the token that strips it", "[text]") {
  const AddedTokenSet set = make_set({{.id = 1, .content = "<l>", .lstrip = true},
                                      {.id = 2, .content = "<r>", .rstrip = true},
                                      {.id = 3, .content = "<b>", .lstrip = true, .rstrip = true}});
  CHECK(cut(set, "a  <l>  b") == "(a)[  <l>](  b)");
  CHECK(cut(set, "a \t<r>\n b") == "(a \t)[<r>\n ](b)");
  CHECK(cut(set, "<r>  <l>") == "[<r>  ][<l>]");  // the first has taken them
  CHECK(cut(set, "\xE3\x80\x80<b>\xC2\xA0") == "[\xE3\x80\x80<b>\xC2\xA0]");
  CHECK(cut(set, "\xE1\xA0\x8E<l>") == "(\xE1\xA0\x8E)[<l>]");  // U+180E is none
}

TEST_CASE("a single word stands between characters that are none of a word", "[text]") {
  const AddedTokenSet set = make_set({{.id = 1, .content = "it", .single_word = true}, {.id = 2, .content = "t"}});
  CHECK(cut(set, "it") == "[it]");
  CHECK(cut(set, "(it)") == "(()[it]())");
  CHECK(cut(set, "bit it_ it") == "(bit it_ )[it]");  // the rejected ones hide the `t` in them
  CHECK(cut(set, "it\xC3\xA9") == "(it\xC3\xA9)");
}

TEST_CASE("special tokens can be left as text", "[text]") {
  const AddedTokenSet set = make_set({{.id = 1, .content = "<s>", .special = true}, {.id = 2, .content = "<t>"}});
  CHECK(cut(set, "<s>a<t>") == "[<s>](a)[<t>]");
  CHECK(cut(set, "<s>a<t>", false) == "(<s>a)[<t>]");
}

}  // namespace added_tokens_test
