// SPDX-License-Identifier: Apache-2.0
/// \file template.hpp
/// Chat templates: parsed, and rendered for a conversation with tools under small limits.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "veneer/io/json.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/text/jinja.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline const Json& fuzz_variables() {
  static const Json variables = parse_json(R"({
    "messages": [{"role": "system", "content": "Be\nbrief."}, {"role": "user", "content": " <b>Hé</b> "},
                 {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                  "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, true]}}}]},
                 {"role": "tool", "content": "3"}, {"role": "assistant", "content": "<think>x</think>3"}],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 3, "f": 0.5, "s": "a,b", "flag": false,
    "d": {"a": 1, "b": [1, {"c": null}]}, "items": [1, "x", null, [2]], "names": ["b", "A"], "numbers": [3, 1, 2]})",
                                           "variables");
  return variables;
}

/// Returns the reader, with the templates of the test data, one per file and per row.
inline Reader template_reader(const Sources& sources) {
  Reader reader{{}, {}, {}, kind_of};
  for (const auto& file : std::filesystem::directory_iterator(sources.data / "text" / "chat" / "templates")) {
    reader.corpus.push_back(testing::file_bytes(file.path()));
  }
  std::string_view rest;
  const std::string rows = testing::file_bytes(sources.data / "text" / "jinja" / "rows.jsonl");
  for (rest = rows; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    reader.corpus.push_back(parse_json(rest.substr(0, rest.find('\n')), "rows.jsonl")["template"].get<std::string>());
  }
  reader.words = {"{% ",
                  " %}",
                  "{{ ",
                  " }}",
                  "{#",
                  "#}",
                  "-%}",
                  "{%-",
                  "if ",
                  "elif ",
                  "else",
                  "endif",
                  "for x in ",
                  "endfor",
                  "set ",
                  "endset",
                  "macro m(a=1)",
                  "endmacro",
                  "call m()",
                  "endcall",
                  "filter ",
                  "raw",
                  "endraw",
                  "generation",
                  "break",
                  "loop",
                  "loop(",
                  "recursive",
                  "namespace()",
                  "ns.x",
                  "messages",
                  "message",
                  "[::-1]",
                  "[0]",
                  ".items()",
                  "|tojson",
                  "|map('upper')",
                  "|list",
                  "|sort",
                  "|join(', ')",
                  " is defined",
                  " in ",
                  " not ",
                  " ~ ",
                  " ** ",
                  " // ",
                  " % ",
                  "'%s'",
                  "'{:>9}'",
                  ".format(",
                  "range(9)",
                  "dict(a=1)",
                  "*",
                  "**d",
                  "(",
                  ")",
                  "[",
                  "]",
                  "{",
                  "}",
                  "9223372036854775807",
                  "1e308",
                  "'\\u00e9'",
                  "é",
                  "|batch(2)",
                  "|slice(3)",
                  "|groupby('role')",
                  "|indent(4)",
                  "|truncate(5)",
                  "none",
                  "true"};
  reader.read = [](const std::string& bytes) {
    JinjaOptions options;
    options.steps = 20'000;
    options.output = 1 << 16;
    options.memory = 1 << 22;
    const RenderedJinja out = JinjaTemplate(bytes, "template").render(fuzz_variables(), options);
    must(!find_invalid_utf8(out.text), "text that is not UTF-8");
    std::size_t end = 0;
    for (const ByteRange& range : out.inputs) {
      must(range.begin >= end && range.begin < range.end && range.end <= out.text.size(), "a range of the input");
      end = range.end;
    }
    for (const ByteRange& range : out.generations) {
      must(range.begin <= range.end && range.end <= out.text.size(), "a range of a generation");
    }
  };
  return reader;
}

}  // namespace veneer::fuzz
