// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer.hpp
/// tokenizer.json: accepted tokenizers encode to ids of the vocabulary and decode to UTF-8.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/text/tokenizer.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

/// Returns a tokenizer.json with only the tokens of the lowest ids, and the remaining merges.
inline std::string reduced_tokenizer(const std::filesystem::path& file, std::int64_t tokens) {
  Json json = parse_json(testing::file_bytes(file), file.string());
  if (json["model"]["vocab"].is_array()) {  // unigram
    if (json["model"].value("unk_id", std::int64_t{0}) >= tokens) json["model"]["unk_id"] = 0;
    json["model"]["vocab"].erase(json["model"]["vocab"].begin() + tokens, json["model"]["vocab"].end());
    return json.dump();
  }
  Json vocabulary = Json::object(), merges = Json::array();
  for (const auto& [token, id] : json["model"]["vocab"].items())
    if (id.get<std::int64_t>() < tokens) vocabulary[token] = id;
  for (const Json& merge : json["model"]["merges"]) {
    const std::string pair = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = pair.find(' ');
    const std::string left = merge.is_string() ? pair.substr(0, space) : merge[0].get<std::string>();
    const std::string right = merge.is_string() ? pair.substr(space + 1) : merge[1].get<std::string>();
    if (vocabulary.contains(left) && vocabulary.contains(right) && vocabulary.contains(left + right))
      merges.push_back(merge);
  }
  json["model"]["vocab"] = vocabulary;
  json["model"]["merges"] = merges;
  return json.dump();
}

inline Reader tokenizer_reader(const Sources& sources) {
  Reader reader{files_of(sources.data / "text" / "bad_tokenizers"), {}, {}, reason_of<TokenizerError>};
  std::vector<std::string> good = files_of(sources.data / "text" / "bad_tokenizers" / "ok.json");
  for (const char* name :
       {"gpt2-prefix-tiny", "gpt2-tiny", "llama3-tiny", "qwen2-tiny", "spm-legacy-tiny", "spm-metaspace-tiny"})
    good.push_back(reduced_tokenizer(sources.data / "text" / "tokenizers" / name / "tokenizer.json", 270));
  // One of every component.
  for (const auto& folder : std::filesystem::directory_iterator(sources.data / "text" / "components"))
    good.push_back(reduced_tokenizer(folder.path() / "tokenizer.json", 120));
  std::sort(good.begin(), good.end());
  favour(reader.corpus, good);
  reader.words = {"Lowercase",
                  "StripAccents",
                  "Strip",
                  "Prepend",
                  "Replace",
                  "NFKD",
                  "Punctuation",
                  "Whitespace",
                  "WhitespaceSplit",
                  "Metaspace",
                  "Removed",
                  "MergedWithNext",
                  "Contiguous",
                  "ByteFallback",
                  "Fuse",
                  "BPEDecoder",
                  "Unigram",
                  "unk_id",
                  "continuing_subword_prefix",
                  "end_of_word_suffix",
                  "\\\\p{L}+",
                  "[^\\\\W_]",
                  "(?i:",
                  "(?<=a)",
                  "[a-z&&",
                  "{2,3}",
                  "\\\\b",
                  "model",
                  "vocab",
                  "merges",
                  "type",
                  "BPE",
                  "added_tokens",
                  "content",
                  "special",
                  "normalizer",
                  "pre_tokenizer",
                  "Sequence",
                  "Split",
                  "ByteLevel",
                  "Digits",
                  "NFC",
                  "pattern",
                  "Regex",
                  "behavior",
                  "Isolated",
                  "invert",
                  "decoder",
                  "post_processor",
                  "TemplateProcessing",
                  "single",
                  "lstrip",
                  "rstrip",
                  "single_word",
                  "normalized",
                  "unk_token",
                  "byte_fallback",
                  "ignore_merges",
                  "add_prefix_space",
                  "use_regex",
                  "null",
                  "true",
                  "false"};
  reader.read = [](const std::string& bytes) {
    const Tokenizer tokenizer = Tokenizer::from_json(bytes);
    const auto ids = tokenizer.encode("Hello  world 1234<|eot|>\n e\xCC\x81");
    for (const std::int32_t id : ids) must(id >= 0 && id <= tokenizer.largest_id(), "an id that the vocabulary lacks");
    must(!find_invalid_utf8(tokenizer.decode(ids)), "decoded text that is not UTF-8");
    tokenizer.decode(ids, true);
  };
  return reader;
}

}  // namespace veneer::fuzz
