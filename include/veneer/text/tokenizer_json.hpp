// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_json.hpp
/// Reads `tokenizer.json`, the file of Hugging Face's tokenizers library, into the parts of a tokenizer.
///
///     {"added_tokens": [{"id", "content", flags}, ...],
///      "normalizer", "pre_tokenizer", "model", "post_processor", "decoder"}
///
/// An unknown component or option is refused by name, since ignoring it could silently change ids. `truncation` and
/// `padding` are settings of a single use and not part of the tokenizer; they are ignored, as in transformers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe_json.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/pipeline_json.hpp"
#include "veneer/text/post_processor_json.hpp"
#include "veneer/text/text_model.hpp"
#include "veneer/text/tokenizer_error.hpp"
#include "veneer/text/tokenizer_file.hpp"
#include "veneer/text/unigram_json.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

/// The parts of a tokenizer.
struct TokenizerParts {
  std::vector<AddedToken> added;
  TextPipeline pipeline;
  PostProcessor post;
  TextModel model;
};

/// The limits of size and depth of a tokenizer.json.
inline constexpr JsonLimits tokenizer_limits{std::size_t{64} << 20, 64};

namespace detail {

class TokenizerReader : TokenizerFile {
 public:
  using TokenizerFile::TokenizerFile;

  TokenizerParts read() const {
    if (!root().is_object()) fail(Reason::not_an_object, "", "expected an object, found " + describe_json(root()));
    const Json& model = member(root(), "model", "model");
    expect(model.is_object(), "model", model, "an object");
    const bool unigram = is_unigram(model);
    TextPipeline pipeline = read_pipeline(*this, !unigram && BpeReader::takes_bytes(model));
    std::vector<AddedToken> added = read_added_tokens();
    TextModel text_model = unigram ? TextModel(UnigramReader(*this).read(model)) : read_bpe(model, added, pipeline);
    const Vocabulary& vocabulary = text_model.vocabulary();
    check_added_ids(added, vocabulary);
    PostProcessor post = PostProcessorReader(*this).read([&](std::int32_t id) {
      return vocabulary.text(id) ||
             std::any_of(added.begin(), added.end(), [&](const AddedToken& token) { return token.id == id; });
    });
    return {std::move(added), std::move(pipeline), std::move(post), std::move(text_model)};
  }

 private:
  /// Returns whether a model is unigram; throws for an unknown type. Files of early versions have no type; the rest is
  /// checked in both cases.
  bool is_unigram(const Json& model) const {
    const Json* const type = find_json(model, "type");
    if (type == nullptr) return false;
    expect(type->is_string(), "model.type", *type, "a text");
    const std::string& name = type->get_ref<const std::string&>();
    if (name != "BPE" && name != "Unigram")
      fail(Reason::unsupported_model, "model.type",
           "the model " + describe_json(*type) + " is not supported; supported: BPE, Unigram");
    return name == "Unigram";
  }

  TextModel read_bpe(const Json& model, const std::vector<AddedToken>& added, const TextPipeline& pipeline) const {
    PieceCuts cuts;
    BpeModel bpe = BpeReader(*this, added, pipeline).read(model, cuts);
    return TextModel(std::move(bpe), std::move(cuts));
  }

  std::vector<AddedToken> read_added_tokens() const {
    std::vector<AddedToken> added;
    const Json* entries = find_json(root(), "added_tokens");
    if (is_absent(entries)) return added;
    expect(entries->is_array(), "added_tokens", *entries, "a list");
    added.reserve(entries->size());
    for (const Json& entry : *entries) {
      const std::string key = "added_tokens[" + std::to_string(added.size()) + "]";
      expect(entry.is_object(), key, entry, "an object");
      only(entry, key, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      AddedToken token;
      token.id = id(member(entry, "id", key + ".id"), key + ".id");
      token.content = text(entry, "content", key);
      if (token.content.empty()) fail(Reason::empty_token, key + ".content", "an added token needs a text");
      if (token.content.size() > longest_token) {
        fail(Reason::too_large, key + ".content", "is longer than " + std::to_string(longest_token) + " bytes");
      }
      token.single_word = flag(entry, "single_word", key);
      token.lstrip = flag(entry, "lstrip", key);
      token.rstrip = flag(entry, "rstrip", key);
      token.normalized = flag(entry, "normalized", key);
      token.special = flag(entry, "special", key);
      added.push_back(std::move(token));
    }
    return added;
  }

  /// Checks that ids are unique: an added token may also be in the vocabulary, under the same id.
  void check_added_ids(const std::vector<AddedToken>& added, const Vocabulary& vocabulary) const {
    Vocabulary::Entries entries;
    for (std::size_t i = 0; i < added.size(); ++i) {
      const AddedToken& token = added[i];
      const std::string key = "added_tokens[" + std::to_string(i) + "]";
      const auto text = vocabulary.text(token.id);
      const auto other = vocabulary.id(token.content);
      if ((text && *text != token.content) || (other && *other != token.id)) {
        fail(Reason::duplicate_id, key,
             "the token \"" + printable(token.content) + "\" has the id " + std::to_string(token.id) +
                 (other && *other != token.id ? " here and " + std::to_string(*other) + " in the vocabulary"
                                              : ", which is that of \"" + printable(*text) + "\" in the vocabulary"));
      }
      entries.emplace_back(token.content, token.id);
    }
    const auto by_text = [](const auto& a, const auto& b) { return a.first < b.first; };
    std::sort(entries.begin(), entries.end(), by_text);
    for (std::size_t i = 1; i < entries.size(); ++i) {
      if (entries[i].first != entries[i - 1].first) continue;
      fail(Reason::duplicate_id, "added_tokens", "the token \"" + printable(entries[i].first) + "\" is given twice");
    }
    if (const auto repeated = Vocabulary(entries).repeated_id()) {
      fail(Reason::duplicate_id, "added_tokens", "two tokens have the id " + std::to_string(*repeated));
    }
  }
};

/// Returns the path of the object with a duplicate name; empty for the outermost one.
inline std::string place_of_duplicate(std::string_view text) {
  if (json_depth(text) > 512) return "";
  const std::string path = scan_json(text).duplicate.value_or("");
  const std::size_t dot = path.starts_with("model.vocab.") ? std::string_view("model.vocab").size() : path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

inline Json parse_tokenizer_json(std::string_view text, const std::string& where) {
  try {
    return parse_json(text, where, tokenizer_limits);
  } catch (const JsonError& error) {
    switch (error.rule) {
      case JsonRule::size: throw TokenizerError(TokenizerReason::too_large, "", error.what());
      case JsonRule::encoding: throw TokenizerError(TokenizerReason::utf8, "", error.what());
      case JsonRule::depth: throw TokenizerError(TokenizerReason::too_deep, "", error.what());
      case JsonRule::duplicate:
        throw TokenizerError(TokenizerReason::duplicate_key, place_of_duplicate(text), error.what());
      case JsonRule::syntax:
      case JsonRule::number: break;
    }
    throw TokenizerError(TokenizerReason::json, "", error.what());
  }
}

}  // namespace detail

/// Reads the parts from the text of a tokenizer.json; `where` names it in messages. Throws `TokenizerError`.
inline TokenizerParts read_tokenizer_json(std::string_view text, const std::string& where) {
  const Json root = detail::parse_tokenizer_json(text, where);
  return detail::TokenizerReader(root, where).read();
}

}  // namespace veneer
