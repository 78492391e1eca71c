// SPDX-License-Identifier: Apache-2.0
/// \file pre_tokenizer_json.hpp
/// Reads the `pre_tokenizer` of a tokenizer.json: Split, ByteLevel, Digits, Punctuation, Whitespace, WhitespaceSplit,
/// Metaspace, or a Sequence of them.
#pragma once

#include <string>
#include <vector>

#include "veneer/text/component_json.hpp"
#include "veneer/text/pre_tokenizers.hpp"

namespace veneer::detail {

class PreTokenizerReader : ComponentReader {
 public:
  explicit PreTokenizerReader(const TokenizerFile& file) : ComponentReader(file) {}

  std::vector<PreTokenizer> read() const {
    std::vector<PreTokenizer> steps;
    const Json* const found = find_json(root(), key);
    if (is_absent(found)) return steps;
    each_component(*found, key, "pretokenizers",
                   [&](const Json& one, const std::string& type) { steps.push_back(step(one, type)); });
    return steps;
  }

 private:
  inline static const std::string key = "pre_tokenizer";

  PreTokenizer step(const Json& one, const std::string& type) const {
    if (type == "Split") {
      only(one, key, {"type", "pattern", "behavior", "invert"});
      return pre_tokenizers::Split{pattern(one, key), behavior(one, key), flag_or(one, "invert", key, false)};
    }
    if (type == "ByteLevel") return byte_level(one);
    if (type == "Digits") {
      only(one, key, {"type", "individual_digits"});
      const bool each = flag(one, "individual_digits", key);
      return pre_tokenizers::Digits{each ? SplitBehavior::isolated : SplitBehavior::contiguous};
    }
    if (type == "Punctuation") {
      only(one, key, {"type", "behavior"});
      return pre_tokenizers::Punctuation{find_json(one, "behavior") == nullptr ? SplitBehavior::isolated
                                                                               : behavior(one, key)};
    }
    if (type == "Whitespace" || type == "WhitespaceSplit") {
      only(one, key, {"type"});
      return type == "Whitespace" ? PreTokenizer(pre_tokenizers::Whitespace{})
                                  : PreTokenizer(pre_tokenizers::WhitespaceSplit{SplitBehavior::removed});
    }
    if (type == "Metaspace") {
      only(one, key, {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
      return pre_tokenizers::Metaspace{character(one, "replacement", key), prefix_scheme(one, key),
                                       flag_or(one, "split", key, true)};
    }
    fail(Reason::unsupported_pre_tokenizer, key,
         "the pre-tokenizer \"" + printable(type) +
             "\" is not supported; supported: Split, ByteLevel, Digits, Punctuation, Whitespace, WhitespaceSplit, "
             "Metaspace, Sequence");
  }

  PreTokenizer byte_level(const Json& one) const {
    only(one, key, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    flag_or(one, "trim_offsets", key, true);  // without effect here, but must be a flag
    pre_tokenizers::ByteLevel step;
    step.prefix_space = flag(one, "add_prefix_space", key);
    if (flag_or(one, "use_regex", key, true)) step.expression = Regex(split_pattern::gpt2);
    return step;
  }
};

}  // namespace veneer::detail
