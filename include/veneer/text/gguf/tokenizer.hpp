// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer.hpp
/// gguf_tokenizer: the tokenizer and the chat template of a model's folder as keys of GGUF.
///
///   tokenizer.ggml.model    gpt2: byte-level BPE, with merges      llama: sentencepiece, with scores
///   tokenizer.ggml.tokens   one per row of the embedding; a row without a token is [PADi]
///   token_type              1 normal, 2 unknown, 3 control (special), 4 user-defined (added), 5 unused, 6 byte
/// llama.cpp applies no normaliser, supports only a list of pre-tokenizers, and adds at most one token before and one
/// after a text. A tokenizer for which this gives other ids is refused. Differences in rare texts only are warnings.
/// Source: ggml-org/llama.cpp, src/llama-vocab.cpp; ggml-org/ggml, docs/gguf.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/file.hpp"
#include "veneer/io/gguf/types.hpp"
#include "veneer/text/chat_folder.hpp"
#include "veneer/text/gguf/pieces.hpp"
#include "veneer/text/gguf/pre_tokenizer.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

struct GgufTokenizer {
  std::vector<GgufKey> keys;
  std::vector<std::string> warnings;
  std::optional<std::string> chat_template;
};

namespace detail {

enum class GgufTokenType : std::int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// The tokens of a model by id.
struct GgufTokens {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;
  std::vector<bool> added;

  explicit GgufTokens(std::size_t rows)
      : texts(rows), types(rows, static_cast<std::int32_t>(GgufTokenType::unused)), added(rows) {
    for (std::size_t id = 0; id < rows; ++id) texts[id] = "[PAD" + std::to_string(id) + "]";
  }
  void set(std::size_t id, std::string text, GgufTokenType type) {
    texts[id] = std::move(text);
    types[id] = static_cast<std::int32_t>(type);
  }
  void expect_distinct(const std::string& where) const {
    std::set<std::string_view> seen;
    for (const std::string& text : texts)
      if (!seen.insert(text).second) refuse_gguf_tokenizer(where, "two tokens are \"" + printable(text) + "\" in GGUF");
  }
};

/// Returns the tokens of a tokenizer.json, and those declared by the files next to it.
inline GgufTokens json_tokens(const Json& root, const Tokenizer& tokenizer, std::size_t rows, const std::string& where,
                              std::vector<std::string>& warnings) {
  GgufTokens tokens(rows);
  const Json* vocab = json_present(*json_present(root, "model"), "vocab");
  if (vocab == nullptr || !vocab->is_object()) refuse_gguf_tokenizer(where, "its model has no vocab of names and ids");
  std::vector<std::string> contents(rows);
  if (const Json* added = json_present(root, "added_tokens")) {
    for (const Json& token : *added) {
      const auto id = static_cast<std::size_t>(json_integer(token, "id", where));
      if (id < rows) contents[id] = json_text(token, "content", where), tokens.added[id] = true;
      for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
        if (json_flag(token, flag, false))
          warnings.push_back(where + ": \"" + printable(json_word(token, "content")) + "\" has " + flag +
                             ", which llama.cpp ignores: ids next to that token can differ");
      }
    }
  }
  for (std::size_t id = 0; id < rows; ++id) {
    const auto number = static_cast<std::int32_t>(id);
    const auto text = tokenizer.token(number);
    if (!text) continue;
    const std::string name(tokens.added[id] ? std::string_view(contents[id]) : *text);
    if (!vocab->contains(name)) tokens.added[id] = true;
    const GgufTokenType plain = tokens.added[id] ? GgufTokenType::user_defined : GgufTokenType::normal;
    tokens.set(id, name, tokenizer.is_special(number) ? GgufTokenType::control : plain);
    if (tokenizer.is_special(number)) tokens.added[id] = true;
  }
  tokens.expect_distinct(where);
  return tokens;
}

inline std::vector<std::string> gguf_merges(const Json& model) {
  std::vector<std::string> lines;
  const auto without_spaces = [](std::string part) {
    for (std::size_t at = part.find(' '); at != std::string::npos; at = part.find(' ', at))
      part.replace(at, 1, "\u0120");
    return part;
  };
  if (const Json* merges = json_present(model, "merges")) {
    for (const Json& merge : *merges) {
      if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
      const auto [left, right] = merge_pair(merge);
      lines.push_back(without_spaces(left) + " " + without_spaces(right));
    }
  }
  return lines;
}

/// Throws for components of a byte-level tokenizer that llama.cpp does not support.
inline void check_byte_level(const Json& root, const std::string& where, std::vector<std::string>& warnings) {
  const Json& model = *json_present(root, "model");
  const std::string type = json_word(model, "type");
  if (!type.empty() && type != "BPE") refuse_gguf_tokenizer(where, "the model " + type + ": llama.cpp is given BPE");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!json_word(model, affix).empty())
      refuse_gguf_tokenizer(where, std::string("\"") + affix + "\", which llama.cpp does not support");
  if (json_flag(model, "byte_fallback", false))
    refuse_gguf_tokenizer(where, "\"byte_fallback\" in a byte-level tokenizer, which llama.cpp does not do");
  for (const Json* step : json_steps(json_present(root, "normalizer"), "normalizers")) {
    if (json_word(*step, "type") != "NFC")
      refuse_gguf_tokenizer(where, "the normalizer " + dump_python(*step) + ", which llama.cpp does not apply");
    warnings.push_back(where + ": llama.cpp does not apply the normalizer NFC: text in another form gets other ids");
  }
}

inline void append_byte_level(GgufTokenizer& out, const Json& root, const std::string& where) {
  check_byte_level(root, where, out.warnings);
  out.keys.push_back({"tokenizer.ggml.model", std::string("gpt2")});
  out.keys.push_back({"tokenizer.ggml.pre", gguf_pre_tokenizer(root, where)});
  out.keys.push_back({"tokenizer.ggml.merges", gguf_merges(*json_present(root, "model"))});
}

/// Sets the types of pieces, and returns the keys that sentencepiece needs.
inline void append_pieces(GgufTokenizer& out, GgufPieces pieces, GgufTokens& tokens) {
  std::vector<float> scores(tokens.texts.size());
  const auto lowest = -static_cast<float>(pieces.scores.size());
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (tokens.types[id] == static_cast<std::int32_t>(GgufTokenType::normal) && byte_of_token(tokens.texts[id]))
      tokens.types[id] = static_cast<std::int32_t>(GgufTokenType::byte);
    const auto score = pieces.scores.find(tokens.texts[id]);
    const bool unused = tokens.types[id] == static_cast<std::int32_t>(GgufTokenType::unused);
    scores[id] = unused ? -10000.0f : tokens.added[id] ? -1000.0f : lowest;
    if (score != pieces.scores.end()) scores[id] = score->second;
  }
  out.keys.push_back({"tokenizer.ggml.model", std::string("llama")});
  out.keys.push_back({"tokenizer.ggml.pre", std::string("default")});
  out.keys.push_back({"tokenizer.ggml.scores", std::move(scores)});
  out.keys.push_back({"tokenizer.ggml.add_space_prefix", pieces.add_space_prefix});
  out.warnings.insert(out.warnings.end(), pieces.warnings.begin(), pieces.warnings.end());
}

/// Returns the tokens and scores of a tokenizer.model.
inline GgufTokens append_model(GgufTokenizer& out, const std::filesystem::path& path, std::size_t rows) {
  const std::string bytes = read_text(path, tokenizer_limits.bytes), where = path.string();
  const SentencepieceFile file = SentencepieceReader(where).read(bytes);
  GgufTokens tokens(rows);
  for (std::size_t id = 0; id < std::min(rows, file.pieces.size()); ++id)
    tokens.set(id, file.pieces[id].text, static_cast<GgufTokenType>(file.pieces[id].type));
  tokens.expect_distinct(where);
  append_pieces(out, model_pieces(file, bytes, where), tokens);
  return tokens;
}

/// Appends the ids of BOS, EOS and other special tokens, and whether a text begins and ends with them.
inline void append_special_ids(GgufTokenizer& out, const Tokenizer& tokenizer, const std::vector<std::int32_t>& stops,
                               const std::string& where) {
  const auto id = [&](const char* name, std::optional<std::int32_t> token) {
    if (token) out.keys.push_back({std::string("tokenizer.ggml.") + name, static_cast<std::uint32_t>(*token)});
  };
  const auto prefix = tokenizer.prefix(), suffix = tokenizer.suffix();
  const std::optional<std::int32_t> first = prefix.empty() ? std::nullopt : std::optional(prefix.front());
  const std::optional<std::int32_t> bos = first ? first : tokenizer.bos_id();
  std::optional<std::int32_t> eos = suffix.empty() ? tokenizer.eos_id() : std::optional(suffix.front());
  if (!eos && !stops.empty()) eos = stops.front();
  if (prefix.size() > 1 || suffix.size() > 1 ||
      (!suffix.empty() && tokenizer.eos_id() && suffix.front() != *tokenizer.eos_id()))
    refuse_gguf_tokenizer(where,
                          "it adds more than one token before or after a text, or a token other than EOS after it");
  if (!eos)
    refuse_gguf_tokenizer(where,
                          "no token ends a text, and llama.cpp would use token 11 or 2: name \"eos_token\" "
                          "in tokenizer_config.json");
  id("bos_token_id", bos ? bos : eos), id("eos_token_id", eos), id("padding_token_id", tokenizer.pad_id());
  const auto& unknown = tokenizer.special_tokens().unk;
  id("unknown_token_id", unknown ? tokenizer.id(*unknown) : std::nullopt);
  std::size_t more = 0;
  for (const std::int32_t stop : stops) {
    if (stop == *eos) continue;
    if (more < 2) id(more == 0 ? "eot_token_id" : "eom_token_id", stop);
    if (++more == 3)
      out.warnings.push_back(where + ": llama.cpp stops at three tokens by id; more of them end a reply here");
  }
  out.keys.push_back({"tokenizer.ggml.add_bos_token", !prefix.empty()});
  out.keys.push_back({"tokenizer.ggml.add_eos_token", !suffix.empty()});
}

}  // namespace detail

/// \param rows   rows of the embedding: llama.cpp requires the same number of tokens
/// \param stops  the ids that end a reply
/// \throws FormatError, IoError for a folder without a tokenizer, or with one that llama.cpp would apply differently
inline GgufTokenizer gguf_tokenizer(const std::filesystem::path& folder, std::size_t rows,
                                    const std::vector<std::int32_t>& stops) {
  const std::filesystem::path json = folder / "tokenizer.json", model = folder / "tokenizer.model";
  const bool from_json = std::filesystem::exists(json);
  const std::string where = (from_json ? json : model).string();
  expects<FormatError>(from_json || std::filesystem::exists(model),
                       folder.string() +
                           ": no tokenizer.json and no tokenizer.model: llama.cpp does not open a model "
                           "without a tokenizer");
  const Tokenizer tokenizer = Tokenizer::from_folder(folder);
  expects<FormatError>(static_cast<std::size_t>(tokenizer.largest_id()) < rows,
                       where + ": the largest id is " + std::to_string(tokenizer.largest_id()) +
                           ", and the embedding has " + std::to_string(rows) +
                           " rows: llama.cpp does not open such a model");
  GgufTokenizer out;
  std::optional<detail::GgufTokens> tokens;
  if (from_json) {
    const Json root = read_json(json, tokenizer_limits);
    tokens = detail::json_tokens(root, tokenizer, rows, where, out.warnings);
    const auto steps = detail::json_steps(detail::json_present(root, "pre_tokenizer"), "pretokenizers");
    const bool bytes = !steps.empty() && detail::json_word(*steps.back(), "type") == "ByteLevel";
    std::set<std::string> added;
    for (std::size_t id = 0; id < rows; ++id)
      if (tokens->added[id]) added.insert(tokens->texts[id]);
    if (bytes || (!steps.empty() && detail::json_word(*steps.back(), "type") != "Metaspace" &&
                  detail::json_word(*steps.back(), "type") != "Split")) {
      detail::append_byte_level(out, root, where);
    } else {
      detail::append_pieces(out, detail::json_pieces(root, added, where), *tokens);
    }
  } else {
    tokens = detail::append_model(out, model, rows);
  }
  out.keys.push_back({"tokenizer.ggml.tokens", std::move(tokens->texts)});
  out.keys.push_back({"tokenizer.ggml.token_type", std::move(tokens->types)});
  detail::append_special_ids(out, tokenizer, stops, where);
  out.chat_template = detail::find_templates(folder).plain;
  if (out.chat_template) out.keys.push_back({"tokenizer.chat_template", *out.chat_template});
  return out;
}

}  // namespace veneer
