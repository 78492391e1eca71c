// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/line_reader.hpp"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "veneer/text/json_scan.hpp"

#include "support/catch.hpp"

namespace line_reader_test {

namespace {

using namespace veneer;

struct TemporaryFile {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("veneer-lines-" + std::to_string(::getpid()) + ".txt");
  explicit TemporaryFile(const std::string& content) { std::ofstream(path, std::ios::binary) << content; }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("lines of every length come back with their numbers and places", "[text]") {
  std::mt19937 random(1);
  for (const bool mark : {false, true}) {
    for (const bool ended : {false, true}) {
      std::vector<std::string> lines;
      std::string content = mark ? "\xEF\xBB\xBF" : "";
      for (int i = 0; i < 400; ++i) {
        const std::size_t length = i % 50 == 7 ? random() % 400000 : random() % 300;
        lines.emplace_back(length, static_cast<char>('a' + i % 26));
      }
      lines.back() = "end";
      for (std::size_t i = 0; i < lines.size(); ++i) content += lines[i] + (i + 1 < lines.size() || ended ? "\n" : "");
      const TemporaryFile file(content);
      LineReader reader(file.path);
      std::size_t count = 0;
      while (const auto line = reader.next()) {
        REQUIRE(count < lines.size());
        REQUIRE(line->text == lines[count]);
        REQUIRE(line->number == ++count);
        REQUIRE(content.compare(line->offset, line->text.size(), line->text) == 0);
        REQUIRE(line->ended == (count < lines.size() || ended));
      }
      CHECK(count == lines.size());
      CHECK_FALSE(reader.next());
    }
  }
}

TEST_CASE("a line over the limit is refused, one of just the limit is not", "[text]") {
  const TemporaryFile file("12345\n1234567\n123456");
  LineReader fits(file.path, 7);
  while (fits.next()) {
  }
  LineReader reader(file.path, 6);
  CHECK(reader.next()->text == "12345");
  try {
    reader.next();
    FAIL("the line was read");
  } catch (const DatasetError& error) {
    CHECK(error.reason == DatasetReason::line_too_long);
    CHECK(error.place.line == 2);
  }
}

TEST_CASE("every code point can be escaped", "[text]") {
  const char* digits = "0123456789abcdef";
  const auto escape = [&](char32_t unit) {
    std::string text = "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) text += digits[(unit >> shift) & 15u];
    return text;
  };
  std::size_t wrong = 0;
  for (char32_t value = 0; value < 0x110000; value += value < 0x3000 ? 1 : 37) {
    if (value >= 0xD800 && value <= 0xDFFF) continue;
    std::string plain;
    append_utf8(plain, value);
    const std::string quoted =
        '"' + (value < 0x10000 ? escape(value) : escape(0xD7C0 + (value >> 10)) + escape(0xDC00 + (value & 0x3FFu))) +
        '"';
    const JsonScan scan = scan_json(quoted);
    if (scan.syntax_error || scan.lone_surrogate || unescape_json(quoted) != plain) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("a scan finds fields without building values", "[text]") {
  const std::string text = R"( {"a" : [1, {"a": 2}], "b\u0063":"x", "n":null,"o":{"p":1} } )";
  const JsonScan scan = scan_json(text);
  CHECK_FALSE(scan.syntax_error);
  CHECK_FALSE(scan.duplicate);
  REQUIRE(scan.fields.size() == 4);
  CHECK(scan.find("a")->value == R"([1, {"a": 2}])");
  CHECK(scan.find("bc")->value == "\"x\"");
  CHECK(scan.find("n")->kind == JsonKind::null);
  CHECK(scan.find("o")->kind == JsonKind::object);
  CHECK(scan.find("p") == nullptr);
  CHECK(scan_json(R"({"m":[{"x":1},{"y":{"z":1,"z":2}}]})").duplicate == "m[1].y.z");
  CHECK(json_depth(R"([[{"a":"[[[["}]])") == 3);
}

}  // namespace line_reader_test
