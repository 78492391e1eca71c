// SPDX-License-Identifier: Apache-2.0
/// \file docs_test.cpp
/// Runs the commands of pages: each ```sh block in order, in one scratch folder per page, with `bash -e`, the program
/// on PATH and VENEER set to the source folder. A ```text block directly after one is its expected standard output;
/// `...` in a line matches any text, and a line of only `...` any lines.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace docs_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using veneer::testing::file_bytes;
using veneer::testing::TemporaryFolder;

namespace {

/// The pages; each must have a command.
const std::vector<std::string> pages{"docs/chat.md", "docs/data.md", "docs/recipes.md"};

/// A ```sh block, and its expected output.
struct Command {
  std::size_t line = 0;  // of the page, where the block begins
  std::string text;
  bool checked = false;
  std::string expected;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Returns the commands of a page. A text block is expected output if only empty lines are between it and its command.
std::vector<Command> commands_of(const std::string& page) {
  std::vector<Command> commands;
  const std::vector<std::string> lines = lines_of(page);
  bool behind_command = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].starts_with("```")) {
      behind_command = behind_command && lines[i].empty();
      continue;
    }
    const std::string kind = lines[i].substr(3);
    const std::size_t begin = i + 1;
    std::string text;
    for (++i; i < lines.size() && lines[i] != "```"; ++i) text += lines[i] + "\n";
    if (kind == "sh") {
      commands.push_back({begin, text, false, ""});
    } else if (kind == "text" && behind_command) {
      commands.back().checked = true;
      commands.back().expected = text;
    }
    behind_command = kind == "sh";
  }
  return commands;
}

/// Returns whether a line matches a pattern, in which `...` is any text.
bool line_matches(const std::string& pattern, const std::string& line) {
  std::size_t at = 0;
  for (std::size_t begin = 0;;) {
    const std::size_t dots = pattern.find("...", begin);
    const std::string piece = pattern.substr(begin, dots == std::string::npos ? dots : dots - begin);
    if (dots == std::string::npos) {  // the last piece ends the line
      return line.size() >= at + piece.size() && line.ends_with(piece) && (begin > 0 || line == piece);
    }
    const std::size_t found = begin == 0 ? (line.starts_with(piece) ? 0 : std::string::npos) : line.find(piece, at);
    if (found == std::string::npos) return false;
    at = found + piece.size();
    begin = dots + 3;
  }
}

/// Returns whether lines match patterns, in which a pattern of only `...` is any number of lines.
bool lines_match(const std::vector<std::string>& patterns, std::size_t p, const std::vector<std::string>& lines,
                 std::size_t l) {
  if (p == patterns.size()) return l == lines.size();
  if (patterns[p] == "...") {
    for (std::size_t next = l; next <= lines.size(); ++next)
      if (lines_match(patterns, p + 1, lines, next)) return true;
    return false;
  }
  return l < lines.size() && line_matches(patterns[p], lines[l]) && lines_match(patterns, p + 1, lines, l + 1);
}

bool matches(const std::string& expected, const std::string& printed) {
  return lines_match(lines_of(expected), 0, lines_of(printed), 0);
}

/// Runs a block in its folder of `scratch`; returns the exit code, -1 for a signal.
int run(const Command& command, const TemporaryFolder& scratch) {
  const fs::path program = VENEER_PROGRAM;
  scratch.file("block.sh", command.text);
  const std::string line = "cd '" + (scratch / "page").string() + "' && PATH='" + program.parent_path().string() +
                           "':\"$PATH\" VENEER='" + VENEER_SOURCE_DIR +
                           "' bash -e ../block.sh >../out 2>../err </dev/null";
  const int status = std::system(line.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("docs: the blocks of a page are found, and output is compared") {
  const auto found = commands_of(
      "# T\n```sh\na\nb\n```\n\n```text\n1 ... 2\n```\nwords\n```text\nx\n```\n```sh\nc\n```\nwords\n"
      "```text\nno output\n```\n");
  REQUIRE(found.size() == 2);
  CHECK(found[0].line == 2);
  CHECK(found[0].text == "a\nb\n");
  CHECK(found[0].expected == "1 ... 2\n");
  CHECK(found[1].line == 14);
  CHECK_FALSE(found[1].checked);
  CHECK(matches("1 ... 2\n", "1 and 2\n"));
  CHECK(matches("a...b...c\n...\nend\n", "a1b2c\nx\ny\nend\n"));
  CHECK(matches("...\n", ""));
  CHECK(matches("same\n", "same\n"));
  for (const char* other : {"1 2\n", "0 1 and 2\n", "1 and 2 3\n", "1 and 2\nmore\n", "", "1 ..\n"}) {
    INFO(other);
    CHECK_FALSE(matches("1 ... 2\n", other));
  }
  CHECK_FALSE(matches("ab...ba\n", "aba\n"));
  CHECK_FALSE(matches("same\n", "the same\n"));
}

TEST_CASE("docs: every command of the pages runs and prints what the page says") {
  for (const std::string& page : pages) {
    const std::vector<Command> commands = commands_of(file_bytes(fs::path(VENEER_SOURCE_DIR) / page));
    INFO(page);
    REQUIRE_FALSE(commands.empty());
    const TemporaryFolder scratch;
    fs::create_directory(scratch / "page");
    for (const Command& command : commands) {
      const int code = run(command, scratch);
      const std::string printed = file_bytes(scratch / "out");
      INFO(page << ":" << command.line << ":\n"
                << command.text << "ended with " << code << ", printed\n"
                << printed << "and on standard error\n"
                << file_bytes(scratch / "err"));
      REQUIRE(code == 0);
      if (!command.checked) continue;
      INFO("the page says\n" << command.expected);
      REQUIRE(matches(command.expected, printed));
    }
  }
}

}  // namespace docs_test
#endif
