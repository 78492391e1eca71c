// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/json.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "veneer/io/json_dump.hpp"
#include "veneer/io/utf8.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace json_test {

using namespace veneer;
using Catch::Contains;

namespace {

std::string compact(const std::string& text) {
  return dump_python(parse_json(text, "f.json"), {.indent = -1, .sort_keys = false});
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

struct Malformed {
  const char* name;
  std::string text;
  JsonRule rule;
  const char* fragment;
};

const std::vector<Malformed>& malformed() {
  using enum JsonRule;
  static const std::vector<Malformed> cases{
      {"nothing", "", syntax, "byte 0): empty: expected a JSON value"},
      {"blanks only", " \n\t ", syntax, "line 2, column 3 (byte 4): empty"},
      {"an open object", "{", syntax, "expected string literal"},
      {"an open array", "[1,", syntax, "(byte 3): not valid JSON: unexpected end of input"},
      {"an open text", "\"abc", syntax, "missing closing quote"},
      {"a name without a value", "{\"a\"}", syntax, "unexpected '}'; expected ':'"},
      {"a name and nothing", "{\"a\":}", syntax, "unexpected '}'"},
      {"a comma before the end of an object", "{\"a\":1,}", syntax, "unexpected '}'; expected string literal"},
      {"a comma before the end of an array", "[1,2,]", syntax, "unexpected ']'"},
      {"two commas", "[1,,2]", syntax, "unexpected ','"},
      {"a missing comma", "[1 2]", syntax, "unexpected number literal; expected ']'"},
      {"a missing comma in an object", "{\"a\":1 \"b\":2}", syntax, "unexpected string literal; expected '}'"},
      {"brackets that do not fit", "[1}", syntax, "unexpected '}'; expected ']'"},
      {"a second value", "{} {}", syntax, "unexpected '{'; expected end of input"},
      {"a word behind the value", "1 x", syntax, "byte 2): not valid JSON"},
      {"a closing bracket too many", "[]]", syntax, "unexpected ']'; expected end of input"},
      {"a name without quotes", "{a:1}", syntax, "(byte 1): not valid JSON"},
      {"a name in single quotes", "{'a':1}", syntax, "(byte 1): not valid JSON"},
      {"a number as a name", "{1:2}", syntax, "unexpected number literal; expected string literal"},
      {"a comment", "[1] // one", syntax, "invalid literal"},
      {"a comment inside", "[/* one */1]", syntax, "invalid literal"},
      {"NaN", "[NaN]", syntax, "invalid literal"},
      {"Infinity", "[Infinity]", syntax, "invalid literal"},
      {"minus Infinity", "[-Infinity]", syntax, "invalid number"},
      {"None of Python", "[None]", syntax, "invalid literal"},
      {"True of Python", "[True]", syntax, "invalid literal"},
      {"half a word", "[tru]", syntax, "invalid literal"},
      {"a leading zero", "[01]", syntax, "unexpected number literal"},
      {"a leading plus", "[+1]", syntax, "invalid literal"},
      {"no digit before the point", "[.5]", syntax, "invalid literal"},
      {"no digit behind the point", "[5.]", syntax, "expected digit after '.'"},
      {"no digit in the exponent", "[1e]", syntax, "expected '+', '-', or digit after exponent"},
      {"a lone minus", "[-]", syntax, "expected digit after '-'"},
      {"hexadecimal", "[0x10]", syntax, "invalid literal"},
      {"an underscore", "[1_000]", syntax, "invalid literal"},
      {"a line break in a text", "\"a\nb\"", syntax, "control character U+000A"},
      {"a tab in a text", "\"a\tb\"", syntax, "control character U+0009"},
      {"an unknown escape", "\"\\x41\"", syntax, "forbidden character after backslash"},
      {"three hexadecimal digits", "\"\\u12\"", syntax, "'\\u' must be followed by 4 hex digits"},
      {"a high surrogate alone", "\"\\ud83d\"", syntax, "U+D800..U+DBFF must be followed by U+DC00..U+DFFF"},
      {"a high surrogate and a letter", "\"\\ud83dx\"", syntax, "must be followed by U+DC00..U+DFFF"},
      {"two high surrogates", "\"\\ud83d\\ud83d\"", syntax, "must be followed by U+DC00..U+DFFF"},
      {"a low surrogate alone", "\"\\ude00\"", syntax, "U+DC00..U+DFFF must follow"},
      {"a NUL behind the value", std::string("{}\0", 3), syntax, "(byte 2): not valid JSON: a NUL byte"},
      {"a NUL and more", std::string("[1]\0{\"a\":2}", 11), syntax, "(byte 3): not valid JSON: a NUL byte"},
      {"a byte order mark", "\xEF\xBB\xBF{}", encoding, "byte order mark"},
      {"UTF-16", std::string("\xFF\xFE{\0}\0", 6), encoding, "(byte 0): the bytes are not UTF-8"},
      {"Latin-1", "{\"a\":\"caf\xE9\"}", encoding, "(byte 9): the bytes are not UTF-8"},
      {"an overlong slash", "\"\xC0\xAF\"", encoding, "(byte 1): the bytes are not UTF-8"},
      {"an overlong three-byte form", "\"\xE0\x80\xAF\"", encoding, "not UTF-8"},
      {"an overlong four-byte form", "\"\xF0\x80\x80\xAF\"", encoding, "not UTF-8"},
      {"a surrogate in UTF-8", "\"\xED\xA0\x80\"", encoding, "not UTF-8"},
      {"a code point past the last", "\"\xF4\x90\x80\x80\"", encoding, "not UTF-8"},
      {"a stray continuation byte", "\"\x80\"", encoding, "not UTF-8"},
      {"a code point cut short", "\"\xE2\x82", encoding, "(byte 1): the bytes are not UTF-8"},
      {"2^64", "[18446744073709551616]", number, "(byte 1): the integer 18446744073709551616 does not fit 64 bits"},
      {"below -2^63", "{\"a\": -9223372036854775809}", number, "(byte 6): the integer -9223372036854775809"},
      {"an integer of 400 digits", repeat("7", 400), number, "does not fit 64 bits"},
      {"past the largest double", "[1e309]", number, "too large for a double"},
      {"far past the largest double", "[-1.5e99999]", number, "too large for a double"},
      {"a name twice", "{\"a\":1,\n \"b\":2, \"a\":1}", duplicate,
       "line 2, column 11 (byte 18): the name \"a\" is given twice"},
      {"a name twice, written differently", "{\"a\":1,\"\\u0061\":2}", duplicate, "\"a\" is given twice"},
      {"a name twice further down", "[{\"x\":{\"y\":0,\"y\":0}}]", duplicate, "\"y\" is given twice"},
      {"the empty name twice", "{\"\":1,\"\":2}", duplicate, "given twice"},
      {"65 arrays", repeat("[", 65) + repeat("]", 65), depth, "(byte 64): nested deeper than 64 levels"},
      {"65 objects", repeat("{\"a\":", 65) + "1" + repeat("}", 65), depth, "nested deeper than 64 levels"},
      {"a million open arrays", repeat("[", 1000000), depth, "nested deeper than 64 levels"},
      {"5 MiB", "\"" + std::string(5 << 20, 'a') + "\"", size, "the limit is 4194304"},
  };
  return cases;
}

}  // namespace

TEST_CASE("each malformed text is refused by its own rule, with a place and a reason") {
  REQUIRE(malformed().size() >= 60);
  for (const Malformed& bad : malformed()) {
    INFO(bad.name);
    try {
      parse_json(bad.text, "f.json");
      FAIL("accepted");
    } catch (const JsonError& error) {
      CHECK(error.rule == bad.rule);
      CHECK_THAT(error.what(), Contains(bad.fragment));
      CHECK(std::string(error.what()).rfind("f.json: ", 0) == 0);
      CHECK(std::string(error.what()).size() < 400);
      CHECK(error.offset <= bad.text.size());
    }
  }
}

TEST_CASE("texts at the edge of the rules are read") {
  const std::string deep = repeat("[", 64) + repeat("]", 64);
  CHECK(compact(deep) == deep);
  CHECK(compact(" \t\r\n[ ] ") == "[]");
  CHECK(compact("[18446744073709551615, -9223372036854775808, 0, -0]") ==
        "[18446744073709551615, -9223372036854775808, 0, 0]");
  CHECK(compact("[1.7976931348623157e308, 5e-324, 1e-400, -0.0]") == "[1.7976931348623157e+308, 5e-324, 0.0, -0.0]");
  CHECK(compact("\"\\ud83d\\ude00\"") == "\"\\ud83d\\ude00\"");
  CHECK(compact("\"\xF4\x8F\xBF\xBF\"") == "\"\\udbff\\udfff\"");
  CHECK(compact("\"\\u0000\"") == "\"\\u0000\"");
  CHECK(compact("{\"a\":{\"a\":{\"a\":1}}}") == "{\"a\": {\"a\": {\"a\": 1}}}");
  CHECK(compact("null") == "null");
  CHECK(parse_json("\"" + std::string(100, 'a') + "\"", "f", {.bytes = 102}).get<std::string>().size() == 100);
  CHECK_THROWS_AS(parse_json("\"" + std::string(100, 'a') + "\"", "f", {.bytes = 101}), JsonError);
}

TEST_CASE("long runs of blanks between values are read, and places behind them are exact") {
  const std::string blanks(100000, ' ');
  const std::string lines(100000, '\n');
  CHECK(compact(blanks + "[" + lines + "1," + blanks + "\"a" + blanks + "\"" + lines + "]" + blanks) ==
        "[1, \"a" + blanks + "\"]");
  CHECK(compact("[\"\\\"" + blanks + "\\\\\"" + blanks + "]") == "[\"\\\"" + blanks + "\\\\\"]");
  CHECK_THROWS_WITH(parse_json("[" + lines + "}", "f"),
                    Contains("f: line 100001, column 1 (byte 100001): not valid JSON: unexpected '}'"));
  CHECK_THROWS_WITH(parse_json("[1" + blanks, "f"), Contains("(byte 100002): not valid JSON: unexpected end of input"));
}

TEST_CASE("integers stay integers, fractions stay fractions") {
  const Json json = parse_json("[1, -1, 1.0, 1e0, 9007199254740993, 18446744073709551615]", "f");
  CHECK(json[0].is_number_unsigned());
  CHECK(json[1].is_number_integer());
  CHECK(json[2].is_number_float());
  CHECK(json[3].is_number_float());
  CHECK(json[4].get<std::int64_t>() == 9007199254740993);  // no double can hold it
  CHECK(json[5].get<std::uint64_t>() == 18446744073709551615u);
}

TEST_CASE("a vocabulary of 128,000 entries keeps its order, and a duplicate at its end is found") {
  std::string text = "{";
  for (int i = 0; i < 128000; ++i)
    text += "\"token" + std::to_string(i * 7919 % 128000) + "\":" + std::to_string(i) + ",";
  const Json json = parse_json(text + "\"last\":1}", "f");
  REQUIRE(json.size() == 128001);
  int next = 0;
  bool in_order = true;
  for (const auto& entry : json.get_ref<const Json::object_t&>()) {
    if (next < 128000)
      in_order = in_order && entry.first == "token" + std::to_string(next * 7919 % 128000) && entry.second == next;
    ++next;
  }
  CHECK(in_order);
  CHECK_THROWS_WITH(parse_json(text + "\"token5\":1}", "f"), Contains("\"token5\" is given twice"));
}

TEST_CASE("writing and reading again gives the same value") {
  const char* text =
      R"({"z": [1, 2.5, -3, true, false, null, [], {}],
           "a": {"text": "é\n\"\\ \u0001😀", "n": 1e-7}, "m": [[1], [2]]})";
  const Json json = parse_json(text, "f");
  for (const PythonStyle style : {PythonStyle{}, PythonStyle{.indent = -1}, PythonStyle{.sort_keys = false},
                                  PythonStyle{.indent = 0, .ascii = false}}) {
    const std::string once = dump_python(json, style);
    CHECK(dump_python(parse_json(once, "f"), style) == once);
    CHECK(parse_json(once, "f")["a"]["text"] == json["a"]["text"]);
    CHECK(parse_json(once, "f")["m"] == json["m"]);
  }
}

TEST_CASE("the bytes are those of Python's json.dumps") {
  // import json; json.dumps(value, indent=2, sort_keys=True), CPython 3.11
  const Json json = parse_json(
      "{\"b\": [1, 2.0, [], {}], \"a\": {\"y\": null, \"x\": true}, \"\\u00e9\": "
      "\"\\u00e9\\ud83d\\ude00\\u007f/\\b\\f\"}",
      "f");
  CHECK(dump_python(json) ==
        "{\n  \"a\": {\n    \"x\": true,\n    \"y\": null\n  },\n  \"b\": [\n    1,\n    2.0,\n    [],\n    {}\n  ],\n"
        "  \"\\u00e9\": \"\\u00e9\\ud83d\\ude00\\u007f/\\b\\f\"\n}");
  CHECK(dump_python(json, {.indent = -1, .sort_keys = false}) ==
        "{\"b\": [1, 2.0, [], {}], \"a\": {\"y\": null, \"x\": true}, \"\\u00e9\": "
        "\"\\u00e9\\ud83d\\ude00\\u007f/\\b\\f\"}");
  CHECK(dump_python(json["\xC3\xA9"], {.ascii = false}) == "\"\xC3\xA9\xF0\x9F\x98\x80\x7F/\\b\\f\"");
  CHECK(dump_python(Json::object()) == "{}");
  CHECK(dump_python(Json::array()) == "[]");
}

TEST_CASE("floats are written as Python writes them") {
  const std::vector<std::pair<double, const char*>> cases{{0.0, "0.0"},
                                                          {-0.0, "-0.0"},
                                                          {2.0, "2.0"},
                                                          {0.1, "0.1"},
                                                          {1e-5, "1e-05"},
                                                          {0.0001, "0.0001"},
                                                          {0.00012, "0.00012"},
                                                          {1e15, "1000000000000000.0"},
                                                          {1e16, "1e+16"},
                                                          {1e22, "1e+22"},
                                                          {123456789012345680.0, "1.2345678901234568e+17"},
                                                          {1e100, "1e+100"},
                                                          {5e-324, "5e-324"},
                                                          {1.7976931348623157e308, "1.7976931348623157e+308"},
                                                          {-1.5e-7, "-1.5e-07"},
                                                          {2.8284271247461903, "2.8284271247461903"},
                                                          {9007199254740993.0, "9007199254740992.0"},
                                                          {1234.5, "1234.5"},
                                                          {-0.001, "-0.001"},
                                                          {3.0e-4, "0.0003"}};
  for (const auto& entry : cases) CHECK(python_float(entry.first) == entry.second);
}

TEST_CASE("a float reads back to the same bits") {
  std::mt19937_64 random(7);
  int wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    wrong += std::bit_cast<std::uint64_t>(std::strtod(python_float(value).c_str(), nullptr)) !=
             std::bit_cast<std::uint64_t>(value);
  }
  CHECK(wrong == 0);
}

TEST_CASE("what JSON does not have can't be written") {
  CHECK_THROWS_AS(dump_python(Json(std::numeric_limits<double>::quiet_NaN())), ArgumentError);
  CHECK_THROWS_AS(dump_python(Json(std::numeric_limits<double>::infinity())), ArgumentError);
  CHECK_THROWS_AS(dump_python(Json("\xFF")), ArgumentError);
  CHECK_THROWS_AS(dump_python(Json::binary({1, 2})), ArgumentError);
  Json deep = Json::array();
  for (int i = 0; i < 600; ++i) deep = Json::array({std::move(deep)});
  CHECK_THROWS_AS(dump_python(deep), ArgumentError);
}

TEST_CASE("typed access names the file and the key") {
  const Json json = parse_json(
      R"({"i": 3, "f": 2.5, "t": "x", "b": true, "n": null, "l": [1, 2], "big": 18446744073709551615, "m": [1, "a"]})",
      "c.json");
  const std::string where = "c.json";
  CHECK(json_integer(json, "i", where) == 3);
  CHECK(json_number(json, "f", where) == 2.5);
  CHECK(json_number(json, "i", where) == 3.0);
  CHECK(json_text(json, "t", where) == "x");
  CHECK(json_boolean(json, "b", where));
  CHECK(json_get<std::vector<std::int64_t>>(json, "l", where) == std::vector<std::int64_t>{1, 2});
  CHECK(find_integer(json, "i", where) == 3);
  CHECK_FALSE(find_integer(json, "n", where).has_value());
  CHECK_FALSE(find_text(json, "absent", where).has_value());
  CHECK_FALSE(find_number(json, "absent", where).has_value());
  CHECK_FALSE(find_boolean(json, "absent", where).has_value());

  CHECK_THROWS_WITH(json_integer(json, "absent", where), "c.json: the key \"absent\" is missing");
  CHECK_THROWS_WITH(json_integer(json, "f", where), "c.json: \"f\": expected an integer, found the number 2.5");
  CHECK_THROWS_WITH(json_integer(json, "big", where),
                    "c.json: \"big\": expected an integer below 2^63, found the number 18446744073709551615");
  CHECK_THROWS_WITH(json_integer(json, "n", where), "c.json: \"n\": expected an integer, found null");
  CHECK_THROWS_WITH(json_number(json, "t", where), "c.json: \"t\": expected a number, found the text \"x\"");
  CHECK_THROWS_WITH(json_boolean(json, "i", where), "c.json: \"i\": expected true or false, found the number 3");
  CHECK_THROWS_WITH(json_text(json, "l", where), "c.json: \"l\": expected a text, found an array");
  CHECK_THROWS_WITH(find_text(json, "b", where), "c.json: \"b\": expected a text, found true");
  CHECK_THROWS_WITH(json_get<std::vector<std::string>>(json, "t", where),
                    "c.json: \"t\": expected a list, found the text \"x\"");
  CHECK_THROWS_WITH(json_get<std::vector<std::int64_t>>(json, "m", where),
                    "c.json: \"m\"[1]: expected an integer, found the text \"a\"");
  CHECK_THROWS_WITH(json_integer(Json::array(), "i", where), "c.json: expected an object, found an array");
  CHECK_THROWS_WITH(find_integer(Json(1), "i", where), "c.json: expected an object, found the number 1");
}

TEST_CASE("files are read within the limits") {
  const veneer::testing::TemporaryFolder folder;
  CHECK(read_json(folder.file("a.json", "{\"a\": 1}"))["a"] == 1);
  CHECK_THROWS_AS(read_json(folder.file("b.json", std::string(100, ' ')), {.bytes = 99}), FormatError);
  CHECK_THROWS_AS(read_json(folder / "absent.json"), IoError);
  CHECK_THROWS_AS(read_json(folder.path()), IoError);
}

TEST_CASE("every code point survives an escape and UTF-8") {
  const auto escape = [](std::uint32_t unit) {
    char text[8];
    std::snprintf(text, sizeof text, "\\u%04x", unit);
    return std::string(text);
  };
  int wrong = 0;
  for (std::uint32_t value = 0; value <= 0x10FFFF; value += value < 0x3000 ? 1 : 37) {
    if (value >= 0xD800 && value <= 0xDFFF) continue;
    const std::string text =
        value < 0x10000 ? escape(value) : escape(0xD7C0 + (value >> 10)) + escape(0xDC00 + (value & 0x3FF));
    const Json json = parse_json('"' + text + '"', "f");
    const std::string& utf8 = json.get_ref<const std::string&>();
    const CodePoint point = decode_utf8(utf8, 0);
    wrong += point.value != value || point.length != utf8.size();
    if (value >= 0x7F) wrong += dump_python(json) != '"' + text + '"';
  }
  CHECK(wrong == 0);
}

TEST_CASE("text for messages is printable and short") {
  CHECK(printable("plain é") == "plain é");
  CHECK(printable(std::string("a\0\n\xFF", 4)) == "a\\x00\\x0a\\xff");
  CHECK(printable(std::string(1000, 'x'), 10) == "xxxxxxxxxx...");
}

}  // namespace json_test
