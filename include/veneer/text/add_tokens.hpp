// SPDX-License-Identifier: Apache-2.0
/// \file add_tokens.hpp
/// add_tokens(folder, texts): returns the tokenizer.json of a folder with more tokens, with ids as
/// in tokenizers' add_tokens.
///
///   ids: consecutive after the largest id, in the given order; an existing token keeps its id
/// Each is an entry of "added_tokens" that is matched in the raw text, before any other step.
/// Source: huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "veneer/core/shape.hpp"
#include "veneer/io/json.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// A tokenizer with more tokens.
struct GrownTokenizer {
  std::string json;               // of tokenizer.json
  std::vector<std::int32_t> ids;  // of the requested tokens, in their order
  index_t rows = 0;               // the largest id + 1, like len(tokenizer) in transformers
};

/// \throws FormatError when the folder has no tokenizer.json, ArgumentError for an empty or duplicate text
inline GrownTokenizer add_tokens(const std::filesystem::path& folder, const std::vector<std::string>& texts) {
  const std::filesystem::path path = folder / "tokenizer.json";
  std::error_code error;
  expects<FormatError>(std::filesystem::exists(path, error),
                       path.string() + ": is not there; tokens can be added to a tokenizer.json only");
  const Tokenizer before = Tokenizer::from_folder(folder);
  Json json = parse_json(read_text(path, tokenizer_limits.bytes), path.string(), tokenizer_limits);
  GrownTokenizer grown;
  std::int32_t next = before.largest_id() + 1;
  if (json["added_tokens"].is_null()) json["added_tokens"] = Json::array();
  for (const std::string& text : texts) {
    expects(!text.empty(), "veneer::add_tokens: a token is an empty text");
    expects(std::count(texts.begin(), texts.end(), text) == 1,
            "veneer::add_tokens: the token \"" + printable(text) + "\" is given twice");
    const auto known = before.id(text);
    grown.ids.push_back(known ? *known : next);
    if (known) continue;
    json["added_tokens"].push_back({{"id", next},
                                    {"content", text},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", false}});
    ++next;
  }
  grown.rows = next;
  grown.json = dump_python(json, {.sort_keys = false});
  return grown;
}

}  // namespace veneer
