// SPDX-License-Identifier: Apache-2.0
/// \file post_processor_json.hpp
/// Reads the `post_processor` of a tokenizer.json: none, ByteLevel, TemplateProcessing, or a Sequence of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "veneer/text/tokenizer_file.hpp"

namespace veneer {

/// A post-processor: ids added before and after those of the text, and offsets without the spaces of tokens.
struct PostProcessor {
  struct Trim {
    bool keeps_first_space;  // a single space at the start of the text was added by the tokenizer
    std::size_t
        tokens_before;  // number of tokens of `prefix` already present: then the text's first token is not the first
  };
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> suffix;
  std::vector<Trim> trims;  // in order
};

namespace detail {

class PostProcessorReader : TokenizerFile {
 public:
  explicit PostProcessorReader(const TokenizerFile& file) : TokenizerFile(file) {}

  /// Reads a post-processor. `is_token` returns whether an id is one of the tokenizer's.
  template <class IsToken>
  PostProcessor read(const IsToken& is_token) const {
    PostProcessor post;
    const Json* found = find_json(root(), "post_processor");
    if (!is_absent(found)) add_post_processor(*found, is_token, post);
    return post;
  }

 private:
  template <class IsToken>
  void add_post_processor(const Json& processor, const IsToken& is_token, PostProcessor& post) const {
    static const std::string key = "post_processor";
    const std::string& type = type_of(processor, key);
    if (type == "Sequence") {
      only(processor, key, {"type", "processors"});
      for (const Json& part : list(processor, "processors", key)) add_post_processor(part, is_token, post);
    } else if (type == "ByteLevel") {
      only(processor, key, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
      const bool keeps_first_space = flag(processor, "add_prefix_space", key);
      if (flag(processor, "trim_offsets", key)) post.trims.push_back({keeps_first_space, post.prefix.size()});
    } else if (type == "TemplateProcessing") {
      only(processor, key, {"type", "single", "pair", "special_tokens"});
      add_template(processor, is_token, post);
    } else {
      fail(Reason::unsupported_post_processor, key,
           "the post-processor \"" + printable(type) +
               "\" is not supported; supported: ByteLevel, TemplateProcessing, Sequence");
    }
  }

  /// Reads a template for one text: special tokens, the text (`Sequence` A) once, special tokens.
  template <class IsToken>
  void add_template(const Json& processor, const IsToken& is_token, PostProcessor& post) const {
    static const std::string key = "post_processor.single";
    if (!post.prefix.empty() || !post.suffix.empty()) {
      fail(Reason::unsupported_post_processor, "post_processor", "more than one TemplateProcessing is not supported");
    }
    std::vector<std::int32_t>* ids = &post.prefix;
    int texts = 0;
    for (const Json& piece : list(processor, "single", "post_processor")) {
      expect(piece.is_object() && piece.size() == 1, key, piece, "an object of one key");
      const std::string& kind = piece.begin().key();
      if (kind == "SpecialToken") {
        add_special(processor, text(piece.front(), "id", key), is_token, *ids);
      } else if (kind == "Sequence" && text(piece.front(), "id", key) == "A") {
        ++texts;
        ids = &post.suffix;
      } else {
        fail(Reason::unsupported_post_processor, key,
             "the piece " + printable(kind) + " is not supported in a template for one text");
      }
    }
    if (texts != 1)
      fail(Reason::unsupported_post_processor, key,
           "expected the text once, found it " + std::to_string(texts) + " times");
  }

  template <class IsToken>
  void add_special(const Json& processor, const std::string& name, const IsToken& is_token,
                   std::vector<std::int32_t>& ids) const {
    static const std::string key = "post_processor";
    const Json& table = member(processor, "special_tokens", "post_processor.special_tokens");
    expect(table.is_object(), "post_processor.special_tokens", table, "an object");
    const Json* entry = find_json(table, name);
    if (entry == nullptr) {
      fail(Reason::undefined_special_token, key,
           "the template uses \"" + printable(name) + "\", which special_tokens does not define");
    }
    expect(entry->is_object(), key, *entry, "an object");
    for (const Json& value : list(*entry, "ids", key)) {
      const std::int32_t token = id(value, key);
      if (!is_token(token)) {
        fail(Reason::undefined_special_token, key,
             "\"" + printable(name) + "\" has the id " + std::to_string(token) + ", which no token has");
      }
      ids.push_back(token);
    }
  }
};

}  // namespace detail
}  // namespace veneer
