// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/regex_syntax.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/regex.hpp"

#include "support/catch.hpp"

namespace regex_syntax_test {

namespace {

using namespace veneer;
using Pieces = std::vector<std::string>;

/// Returns the pieces of the text: matches and the parts between them.
Pieces cut(std::string_view pattern, std::string_view text) {
  detail::MatchScratch scratch;
  Pieces usual, exact;
  const Regex regex(pattern);
  for (const bool newer : {false, true}) {
    const auto add = [&](ByteRange part, bool) {
      if (part.end > part.begin) (newer ? exact : usual).emplace_back(text.substr(part.begin, part.end - part.begin));
    };
    regex.each_part(text, scratch, add, newer);
  }
  CHECK(usual == exact);
  return usual;
}

std::size_t refused_at(std::string_view pattern) {
  try {
    const Regex regex(pattern);
  } catch (const RegexError& error) {
    return error.offset;
  }
  return std::string_view::npos;
}

}  // namespace

TEST_CASE("expressions mean what they mean to Oniguruma", "[text]") {
  // each as in the tokenizers library
  CHECK(cut(R"(a(?i)b|c)", "aB C c") == Pieces{"aB", " C c"});
  CHECK(cut(R"(a{,2}b)", "aab") == Pieces{"aab"});
  CHECK(cut(R"(a{2}?)", "aaaa") == Pieces{"aa", "aa"});
  CHECK(cut(R"(a{1,2}+)", "aaaaa") == Pieces{"aaaaa"});
  CHECK(cut(R"((?m)a.b)", "a\nb") == Pieces{"a\nb"});
  CHECK(cut(R"(a.b)", "a\nb") == Pieces{"a\nb"});
  CHECK(cut(R"(^b)", "a\nb") == Pieces{"a\n", "b"});
  CHECK(cut(R"(a$)", "a\nb") == Pieces{"a", "\nb"});
  CHECK(cut(R"(\h+)", "xyzabc") == Pieces{"xyz", "abc"});
  CHECK(cut(R"(\v)", "a\vb\nc") == Pieces{"a", "\v", "b\nc"});
  CHECK(cut(R"([a[bc]]+)", "xabcx") == Pieces{"x", "abc", "x"});
  CHECK(cut(R"([a-z&&[^b]]+)", "abc") == Pieces{"a", "b", "c"});
  CHECK(cut(R"([^\W_]+)", "a_b-c") == Pieces{"a", "_", "b", "-", "c"});
  CHECK(cut(R"(\p{^L}+)", "ab12") == Pieces{"ab", "12"});
  CHECK(cut(R"(\pL+)", "aB1") == Pieces{"aB1"});
  CHECK(cut(R"([]a]+)", "]a") == Pieces{"]a"});
  CHECK(cut(R"(\p{Uppercase_Letter}+)", "aB") == Pieces{"a", "B"});
  CHECK(cut(R"(\p{Han}+)", "a\xE6\xBC\xA2") == Pieces{"a", "\xE6\xBC\xA2"});
  CHECK(cut(R"([[:^alpha:]]+)", "a1") == Pieces{"a", "1"});
  CHECK(cut(R"(a**)", "aaa") == Pieces{"aaa"});
  CHECK(cut(R"((?x) a b # c)", "ab") == Pieces{"ab"});
  CHECK(cut(R"(\x41\u0042\x{43}\104)", "ABCD") == Pieces{"ABCD"});
  CHECK(cut(R"((a)\1)", "aa") == Pieces{"aa"});
  CHECK(cut(R"((?<n>a)(b)\k<n>)", "aba") == Pieces{"aba"});
  CHECK(cut(R"(\w+)", "a\xC2\xB2") == Pieces{"a\xC2\xB2"});  // superscript two: a word character outside of a class
  CHECK(cut(R"([\w]+)", "a\xC2\xB2") == Pieces{"a", "\xC2\xB2"});
  CHECK(cut(R"((?i)\p{Lu}+)", "aB") == Pieces{"a", "B"});
  CHECK(cut(R"(\O+)", "a\nb") == Pieces{"a\nb"});
  CHECK(cut(R"([a-c-e]+)", "abc-e") == Pieces{"abc-e"});
  CHECK(cut(R"(a{)", "a{") == Pieces{"a{"});
}

TEST_CASE("malformed and unsupported expressions are refused with the offset", "[text]") {
  for (const char* bad :
       {"(",        ")",       "a)",        "[a",        "*a",        "a|*",          "{1}",           R"(\p{Foo})",
        R"(\p{L)",  "[z-a]",   R"([\d-x])", R"([a-\d])", "[[:foo:]]", "(?P<n>a)",     "(?s)a",         "(?~a)",
        R"(\y)",    "(?<=a)+", "^*",        R"(\9)",     "a{3,1}",    R"((?<n>a)\1)", R"(\x{110000})", "[]",
        "(?<=a+)b", "\\"}) {
    CAPTURE(bad);
    CHECK(refused_at(bad) != std::string_view::npos);
  }
  CHECK(refused_at("ab*c(") == 5);
  CHECK(refused_at(R"(a\p{Foo})") == 4);
  CHECK(refused_at(std::string(1000, '(') + std::string(1000, ')')) < 200);
}

}  // namespace regex_syntax_test
