// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/jinja.hpp"

#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace jinja_test {

using namespace veneer;

namespace {

std::filesystem::path data(const char* name) { return std::filesystem::path(VENEER_TEST_DATA) / "text" / name; }

std::string text_of(const std::string& source, const Json& variables = Json::object()) {
  return JinjaTemplate(source).render(variables).text;
}

/// The message of the error that a template ends in, or "no error".
std::string error_of(const std::string& source, const Json& variables = Json::object(),
                     const JinjaOptions& options = {}) {
  try {
    JinjaTemplate(source, "t").render(variables, options);
  } catch (const JinjaError& error) {
    return error.what();
  }
  return "no error";
}

/// The bytes of a rendering that come from the input, in brackets.
std::string marked(const std::string& source, const Json& variables) {
  const RenderedJinja out = JinjaTemplate(source).render(variables);
  std::string text;
  std::size_t at = 0;
  for (const ByteRange& range : out.inputs) {
    text += out.text.substr(at, range.begin - at) + "[" + out.text.substr(range.begin, range.end - range.begin) + "]";
    at = range.end;
  }
  return text + out.text.substr(at);
}

std::vector<Json> rows_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(parse_json(line, path.string()));
  REQUIRE(!rows.empty());
  return rows;
}

JinjaOptions fourth_of_july() {
  JinjaOptions options;
  options.now = std::tm{};
  options.now->tm_year = 125;
  options.now->tm_mon = 6;
  options.now->tm_mday = 4;
  options.now->tm_wday = 5;
  options.now->tm_yday = 184;
  return options;
}

const Json hello = {{"messages", Json::array({{{"role", "user"}, {"content", " <|x|> é "}}})}};

}  // namespace

TEST_CASE("generated templates render as jinja2 renders them, and fail where it fails") {
  std::size_t texts = 0, errors = 0, ranges = 0;
  for (const Json& row : rows_of(data("jinja/rows.jsonl"))) {
    const std::string source = row["template"].get<std::string>();
    CAPTURE(source);
    try {
      const RenderedJinja out = JinjaTemplate(source).render(row["variables"], fourth_of_july());
      REQUIRE(row.contains("text"));
      REQUIRE(out.text == row["text"].get<std::string>());
      Json generations = Json::array();
      for (const ByteRange& range : out.generations) generations.push_back({range.begin, range.end});
      REQUIRE(generations == row["generations"]);
      std::size_t end = 0;
      for (const ByteRange& range : out.inputs) {
        REQUIRE((range.begin < range.end && (end == 0 || end < range.begin)));
        end = range.end;
      }
      REQUIRE(end <= out.text.size());
      ++texts;
      ranges += out.generations.size();
    } catch (const JinjaError& error) {
      CAPTURE(std::string(error.what()));
      REQUIRE(row.contains("error"));
      REQUIRE(error.raised().has_value() == row.contains("raised"));
      if (error.raised()) REQUIRE(*error.raised() == row["raised"].get<std::string>());
      ++errors;
    }
  }
  CHECK(texts > 100);
  CHECK(errors > 20);
  CHECK(ranges > 5);
}

TEST_CASE("the templates of eleven families render their conversations") {
  const Json families = read_json(data("chat/templates.json"));
  Json conversations = Json::object();
  for (const Json& row : rows_of(data("chat/conversations.jsonl"))) {
    conversations[row["name"].get<std::string>()] = row["messages"];
  }
  std::size_t rows = 0;
  for (const auto& [family, tokens] : families.items()) {
    const JinjaTemplate chat(read_text(data("chat/templates") / (family + ".jinja"), 1 << 20), family);
    for (const Json& row : rows_of(data("chat") / (family + ".jsonl"))) {
      const Json& messages = conversations[row["conversation"].get<std::string>()];
      if (messages.empty()) continue;  // refused before the template is asked
      ++rows;
      const Json variables = {{"messages", messages},
                              {"add_generation_prompt", row["add_generation_prompt"]},
                              {"bos_token", tokens["bos_token"]},
                              {"eos_token", tokens["eos_token"]}};
      CAPTURE(family, row["conversation"].get<std::string>());
      if (row.contains("text")) {
        REQUIRE(chat.render(variables).text == row["text"].get<std::string>());
      } else {
        REQUIRE_THROWS_AS(chat.render(variables), JinjaError);
      }
    }
  }
  CHECK(rows > 450);
}

TEST_CASE("bytes of the input are known through every operation, bytes of the template are not") {
  CHECK(marked("<{{ messages[0].content }}>", hello) == "<[ <|x|> é ]>");
  CHECK(marked("<{{ messages[0].content | trim }}>", hello) == "<[<|x|> é]>");
  CHECK(marked("{{ ('a' + messages[0].content.strip() ~ 'b')[2:] }}", hello) == "[|x|> é]b");
  CHECK(marked("{{ messages[0].content.split('|') | join('+') }}", hello) == "[ <]+[x]+[> é ]");
  CHECK(marked("{{ messages[0].content.replace('x', 'yy') }}", hello) == "[ <|]yy[|> é ]");
  CHECK(marked("{{ messages[0].content | upper }}", hello) == "[ <|X|> É ]");
  CHECK(marked("{{ messages[0].content[::-1] }}", hello) == "[ é >|x|< ]");
  CHECK(marked("{{ messages[0] | tojson }}", hello) == R"({"[role]": "[user]", "[content]": "[ <|x|> é ]"})");
  CHECK(marked("{{ '%s|%s' % ('a', messages[0].role) }}{{ '.{}-'.format(messages[0].role) }}", hello) ==
        "a|[user].[user]-");
  CHECK(marked("{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = ns.x ~ '#' ~ m.role %}{% endfor "
               "%}{{ ns.x }}",
               hello) == "#[user]");
  CHECK(marked("{% macro f(a) %}({{ a }}){% endmacro %}{% set b %}{{ f(messages[0].role) }}!{% endset %}{{ b }}",
               hello) == "([user])!");
  CHECK(marked("{{ messages[0].role | indent }}{{ messages[0].role | reverse }}{{ messages[0].role * 2 }}", hello) ==
        "[userresuuseruser]");
  CHECK(marked("{{ bos_token }}", {{"bos_token", "<s>"}}) == "<s>");
}

TEST_CASE("generations are the bytes inside their blocks") {
  const JinjaTemplate chat("é{% for m in messages %}{% generation %}{{ m.content }}!{% endgeneration %}.{% endfor %}");
  REQUIRE(chat.has_generation());
  const RenderedJinja out = chat.render(hello);
  REQUIRE(out.generations.size() == 1);
  CHECK(out.text.substr(out.generations[0].begin, out.generations[0].end - out.generations[0].begin) == " <|x|> é !");
  CHECK(!JinjaTemplate("{{ 'generation' }}").has_generation());
}

TEST_CASE("white space follows trim_blocks, lstrip_blocks and the signs") {
  CHECK(text_of("a\n  {% if true %}\nb\n  {% endif %}\nc\n") == "a\nb\nc");
  CHECK(text_of("a\n  {%+ if true +%}\nb{% endif %}") == "a\n  \nb");
  CHECK(text_of("a \n {{- 1 -}} \n b") == "a1b");
  CHECK(text_of("a {# x -#}  \n b\r\nc\rd") == "a b\nc\nd");
  CHECK(text_of("{% raw %}{{ a }}{% endraw %}\nb") == "{{ a }}b");
}

TEST_CASE("names mean what they mean when jinja2 compiles the template") {
  const Json x = {{"x", "out"}};
  CHECK(text_of("{% for i in [1, 2] %}{{ x }}{% set x = i %}{% endfor %}{{ x }}", x) == "outoutout");
  CHECK(text_of("{% for i in [1] %}{{ x }}{% endfor %}{% set x = 1 %}", x).empty());  // assigned first in its frame
  CHECK(text_of("{% if false %}{% set x = 1 %}{% endif %}{{ x }}", x) == "out");
  CHECK(text_of("{% macro m() %}{{ y }}{% endmacro %}{% set y = 3 %}{{ m() }}") == "3");
  CHECK(text_of("{% for i in [1] %}{% continue %}{% else %}none{% endfor %}") == "none");
  CHECK(text_of("{% for a in [[1, [2]], 3] recursive %}{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}{{ "
                "loop.depth }}{% endif %}{% endfor %}") == "(12(23))31");
  CHECK(text_of("{% macro m(a, b=a) %}{{ a }}{{ b }}{{ caller('z') }}{% endmacro %}{% call(u) m(1) %}[{{ u }}]{% "
                "endcall %}") == "11[z]");
}

TEST_CASE("values compare, compute and print as Python's") {
  CHECK(text_of("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** -1 }} {{ 1e16 }} {{ 1 == 1.0 == true }}") ==
        "-4 2 3.5 0.5 1e+16 True");
  CHECK(text_of("{{ [1, 'a', none, true, 0.1, {'k': (1,)}] }}") == "[1, 'a', None, True, 0.1, {'k': (1,)}]");
  CHECK(text_of("{{ 'a' if 0 }}{{ nope }}{{ nope is defined }}{{ 'ß'.upper() }}{{ 'ΑΣ'.lower() }}") == "FalseSSας");
  CHECK(text_of("{{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 25 | round(-1) }} {{ 'x' | center(4) }}|") ==
        "2.0 2.67 20  x  |");
  CHECK(text_of("{{ strftime_now('%d %b %Y') }}").size() == 11);
}

TEST_CASE("errors name the line and the construct, and carry what the template raised") {
  CHECK(error_of("\n{{ a.b }}") == "t, line 2: 'a' is undefined");
  CHECK(error_of("{% include 'x' %}") == "t, line 1: the tag 'include' is not supported: a chat template is one file");
  CHECK(error_of("{{ 1 | nofilter }}") == "t, line 1: unknown filter 'nofilter'");
  CHECK(error_of("{{ 1 | wordwrap }}") == "t, line 1: the filter 'wordwrap' is not supported");
  CHECK(error_of("{{ [1].append(2) }}").find("'append' changes a list") != std::string::npos);
  CHECK(error_of("{% if true %}") == "t, line 1: '{% if %}' has no '{% endif %}'");
  CHECK(error_of("{{ 9223372036854775807 + 1 }}") == "t, line 1: the result of '+' does not fit into 64 bits");
  try {
    JinjaTemplate("\n{{ raise_exception('no ' ~ 1) }}").render(Json::object());
    FAIL("no error");
  } catch (const JinjaError& error) {
    CHECK(error.raised() == "no 1");
    CHECK(error.line() == 2);
  }
}

TEST_CASE("a template cannot use more than its limits") {
  const std::string many = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  JinjaOptions few;
  few.steps = 100'000;
  few.output = 1'000'000;
  CHECK(error_of(many, Json::object(), few).find("steps") != std::string::npos);
  CHECK(error_of("{{ 'x' * 1000000000 }}").find("a text of more than") != std::string::npos);
  CHECK(error_of("{{ range(1000000000) }}").find("100000 items") != std::string::npos);
  CHECK(error_of("{{ [0] * 1000000000 }}").find("steps") != std::string::npos);
  CHECK(error_of("{{ '%999999999d' % 1 }}").find("too large") != std::string::npos);
  CHECK(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("nested deeper") != std::string::npos);
  CHECK(error_of("{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}")
            .find("nested deeper") != std::string::npos);
  CHECK(error_of("{% set n = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
                 Json::object(), few)
            .find("text of more") != std::string::npos);
  CHECK(error_of("{% set n = namespace() %}{% set n.x = n %}{{ n }}").find("nested deeper") != std::string::npos);
  for (const char* part : {"(", "[", "{0:", "-", "not ", "a.b(", "{% if a %}", "{{ 1 if 1 else "}) {
    std::string source = part[0] == '{' && part[1] != '0' ? "" : "{{ ";
    for (int i = 0; i < 20000; ++i) source += part;
    CHECK_THROWS_AS(JinjaTemplate(source), JinjaError);
  }
  std::string chain = "{{ 1";
  for (int i = 0; i < 20000; ++i) chain += " + 1";
  CHECK_THROWS_AS(JinjaTemplate(chain + " }}"), JinjaError);
}

}  // namespace jinja_test
