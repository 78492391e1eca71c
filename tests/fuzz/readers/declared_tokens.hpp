// SPDX-License-Identifier: Apache-2.0
/// \file declared_tokens.hpp
/// The reader of tokens declared in tokenizer_config.json, special_tokens_map.json and added_tokens.json. An input is
/// the three files, separated by lines "---".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/io/utf8.hpp"
#include "veneer/text/declared_tokens.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline Reader declared_tokens_reader(const Sources& sources) {
  constexpr std::string_view between = "\n---\n";
  Reader reader{{}, {}, {}, reason_of<TokenizerError>};
  for (const auto& folder : std::filesystem::directory_iterator(sources.data / "text" / "declared")) {
    std::string input;
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}) {
      if (!input.empty()) input += between;
      if (std::filesystem::exists(folder.path() / name)) input += testing::file_bytes(folder.path() / name);
    }
    reader.corpus.push_back(input);
  }
  std::sort(reader.corpus.begin(), reader.corpus.end());
  reader.words = {"added_tokens_decoder",
                  "content",
                  "special",
                  "normalized",
                  "lstrip",
                  "rstrip",
                  "single_word",
                  "bos_token",
                  "eos_token",
                  "pad_token",
                  "unk_token",
                  "a_token",
                  "<s>",
                  "\n---\n",
                  "extra_special_tokens",
                  "additional_special_tokens",
                  "{\"a\":1}",
                  "[\"a\"]",
                  "null",
                  "2147483647"};
  reader.read = [between](const std::string& bytes) {
    std::string_view rest = bytes;
    const auto next = [&] {
      const std::size_t end = std::min(rest.find(between), rest.size());
      const std::string_view file = rest.substr(0, end);
      rest.remove_prefix(std::min(rest.size(), end + between.size()));
      return file;
    };
    const std::string_view config = next(), map = next(), added = next();
    std::vector<AddedToken> tokens{{.id = 5, .content = "<s>", .special = true}};
    const auto declared = detail::DeclaredTokenReader().read(config, map, added, tokens);
    add_declared_tokens(
        declared, [](const std::string& text) { return text == "a" ? std::optional<std::int32_t>(1) : std::nullopt; },
        3, tokens);
    std::set<std::int32_t> ids;
    for (const AddedToken& token : tokens) {
      must(token.id >= 0 && ids.insert(token.id).second, "an id of its own");
      must(!token.content.empty() && !find_invalid_utf8(token.content), "a text");
    }
  };
  return reader;
}

}  // namespace veneer::fuzz
