// SPDX-License-Identifier: Apache-2.0
/// \file pipeline_json.hpp
/// Reads what stands around the model in a tokenizer.json: normalizer, pre-tokenizer, post-processor, decoder.
///
///     normalizer        none, NFC, or a Sequence of them
///     pre_tokenizer     ByteLevel, or a Sequence of Split (known patterns) and Digits that ends in ByteLevel
///     post_processor    none, ByteLevel, TemplateProcessing, or a Sequence of them
///     decoder           ByteLevel
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/presplit.hpp"
#include "veneer/text/tokenizer_file.hpp"

namespace veneer {

/// What a post-processor does: ids before and after the text's own, and offsets without the spaces of a token.
struct PostProcessor {
  struct Trim {
    bool keeps_first_space;     // a single space at the text's start is one that the tokenizer put there
    std::size_t tokens_before;  // how many of `prefix` were there already: then the text's first token is not the first
  };
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> suffix;
  std::vector<Trim> trims;  // in order
};

namespace detail {

class PipelineReader : TokenizerFile {
 public:
  explicit PipelineReader(const TokenizerFile& file) : TokenizerFile(file) {}

  /// Whether text is brought into form C.
  bool read_normalizer() const {
    const Json* normalizer = find_json(root(), "normalizer");
    return !is_absent(normalizer) && read_normalizer(*normalizer);
  }

  /// Fills `splitters`; returns whether a space goes before each piece.
  bool read_pre_tokenizer(std::vector<Splitter>& splitters) const {
    static const std::string key = "pre_tokenizer";
    const Json* pre = find_json(root(), key);
    if (is_absent(pre)) {
      fail(Reason::unsupported_pre_tokenizer, key,
           "there is none, as in sentencepiece models; supported: ByteLevel, "
           "or a Sequence that ends in it");
    }
    if (type_of(*pre, key) == "ByteLevel") return read_byte_level(*pre, splitters);
    if (type_of(*pre, key) != "Sequence") refuse_pre_tokenizer(type_of(*pre, key));
    only(*pre, key, {"type", "pretokenizers"});
    const Json& steps = list(*pre, "pretokenizers", key);
    for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
      const std::string& type = type_of(steps[i], key);
      if (type == "Split") {
        read_split(steps[i], splitters);
      } else if (type == "Digits") {
        only(steps[i], key, {"type", "individual_digits"});
        const bool each = flag(steps[i], "individual_digits", key);
        splitters.emplace_back(each ? split_pattern::each_digit : split_pattern::digit_runs);
      } else {
        refuse_pre_tokenizer(type);
      }
    }
    if (steps.empty() || type_of(steps.back(), key) != "ByteLevel") {
      fail(Reason::unsupported_pre_tokenizer, key, "a Sequence that does not end in ByteLevel is not supported");
    }
    const bool has_splits = !splitters.empty();
    const bool prefix_space = read_byte_level(steps.back(), splitters);
    if (prefix_space && has_splits) {
      fail(Reason::unsupported_option, key + ".add_prefix_space",
           "not supported behind a Split: it would put a space before every word");
    }
    return prefix_space;
  }

  /// Refuses all decoders but the one that joins bytes.
  void check_decoder() const {
    const Json* decoder = find_json(root(), "decoder");
    if (is_absent(decoder)) fail(Reason::unsupported_decoder, "decoder", "there is none; supported: ByteLevel");
    const std::string& type = type_of(*decoder, "decoder");
    if (type != "ByteLevel") {
      fail(Reason::unsupported_decoder, "decoder",
           "the decoder \"" + printable(type) + "\" is not supported; supported: ByteLevel");
    }
    only(*decoder, "decoder", {"type", "add_prefix_space", "trim_offsets", "use_regex"});  // all without effect here
  }

  /// `is_token` tells whether an id is one of the tokenizer's.
  template <class IsToken>
  PostProcessor read_post_processor(const IsToken& is_token) const {
    PostProcessor post;
    const Json* found = find_json(root(), "post_processor");
    if (!is_absent(found)) add_post_processor(*found, is_token, post);
    return post;
  }

 private:
  bool read_normalizer(const Json& normalizer) const {
    const std::string& type = type_of(normalizer, "normalizer");
    if (type == "NFC") {
      only(normalizer, "normalizer", {"type"});
      return true;
    }
    if (type != "Sequence") {
      fail(Reason::unsupported_normalizer, "normalizer",
           "the normalizer \"" + printable(type) + "\" is not supported; supported: NFC, Sequence");
    }
    bool nfc = false;
    only(normalizer, "normalizer", {"type", "normalizers"});
    for (const Json& part : list(normalizer, "normalizers", "normalizer")) nfc = read_normalizer(part) || nfc;
    return nfc;
  }

  [[noreturn]] void refuse_pre_tokenizer(const std::string& type) const {
    fail(Reason::unsupported_pre_tokenizer, "pre_tokenizer",
         "the pre-tokenizer \"" + printable(type) +
             "\" is not supported here; supported: ByteLevel, or a Sequence of Split and "
             "Digits that ends in ByteLevel");
  }

  bool read_byte_level(const Json& step, std::vector<Splitter>& splitters) const {
    static const std::string key = "pre_tokenizer";
    only(step, key, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    flag_or(step, "trim_offsets", key, true);  // of no effect in this place, but a flag
    if (flag_or(step, "use_regex", key, true)) splitters.emplace_back(split_pattern::gpt2);
    return flag(step, "add_prefix_space", key);
  }

  void read_split(const Json& step, std::vector<Splitter>& splitters) const {
    static const std::string key = "pre_tokenizer";
    only(step, key, {"type", "pattern", "behavior", "invert"});
    const Json& pattern = member(step, "pattern", key + ".pattern");
    const Json* regex = pattern.is_object() ? find_json(pattern, "Regex") : nullptr;
    if (regex == nullptr || !regex->is_string() || !split_pattern::is_known(regex->get_ref<const std::string&>())) {
      fail(Reason::unsupported_pattern, key,
           "the pattern " + describe_json(regex == nullptr ? pattern : *regex) +
               " is not among the known ones (those of GPT-2, Llama 3 and Qwen 2)");
    }
    // The known patterns match every character, so that to keep the matches and to drop the gaps is the same.
    const std::string& behavior = text(step, "behavior", key);
    const bool invert = flag_or(step, "invert", key, false);
    if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
      fail(Reason::unsupported_option, key + ".behavior",
           "the behavior \"" + printable(behavior) + (invert ? "\", inverted," : "\"") +
               " is not supported; supported: Isolated");
    }
    splitters.emplace_back(regex->get_ref<const std::string&>());
  }

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

  /// A template for one text: special tokens, the text (`Sequence` A) once, special tokens.
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
