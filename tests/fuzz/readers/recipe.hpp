// SPDX-License-Identifier: Apache-2.0
/// \file recipe.hpp
/// Recipes in YAML: unique keys, and values that are text.
#pragma once

#include <set>
#include <string>

#include "veneer/io/utf8.hpp"
#include "veneer/recipe_file.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline Reader recipe_reader(const Sources& sources) {
  Reader reader{files_of(sources.root / "examples" / "recipes"), {}, {}, reason_of<program::RecipeError>};
  for (const char* text :
       {"method: lora\nlr: 2e-4\ntargets: [q_proj, v_proj]\nshuffle: false\n",
        "layers: []\ndata: \"\"\nmodel: 'it''s'\nexclude: \"a\\\"b\\u00e9\"\n", "---\nrank: 8\n...\n",
        "rank-pattern:\n  - o_proj=8\n  - \"q_proj=4\"\nwarmup: |\n  0.03\n", "a: &x 1\nb: *x\n",
        "%YAML 1.2\n---\na: !!str 1\n", "{a: 1, b: [2, 3]}\n", "? a\n: - 1\n  - 2\n"})
    reader.corpus.push_back(text);
  reader.words = {"method",
                  "rank",
                  ": ",
                  "- ",
                  "? ",
                  "&a ",
                  "*a",
                  "!!int ",
                  "!<x> ",
                  "<<: ",
                  "|\n",
                  ">-\n",
                  "---\n",
                  "...\n",
                  "%TAG ! x\n",
                  "null",
                  "~",
                  "true",
                  "[]",
                  "{}",
                  "''",
                  "\"\\x00\"",
                  "\"\\U0010FFFF\"",
                  "\t",
                  "# "};
  reader.read = [](const std::string& bytes) {
    std::set<std::string> keys;
    for (const program::RecipeEntry& entry : program::read_recipe(bytes, "recipe.yaml")) {
      must(keys.insert(entry.key).second, "a key twice");
      must(entry.list || entry.values.size() == 1, "a value");
      must(entry.line >= 1, "a line");
      for (const std::string& value : entry.values)
        must(!find_invalid_utf8(value) && value.find('\0') == std::string::npos, "text");
    }
  };
  return reader;
}

}  // namespace veneer::fuzz
