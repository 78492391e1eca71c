// SPDX-License-Identifier: Apache-2.0
/// \file pipeline_json.hpp
/// Reads what stands around the model in a tokenizer.json: normalizer, pre-tokenizer, decoder.
///
///                      byte level                                              sentencepiece
///     normalizer       none, NFC                                               none, Prepend "▁", Replace " " by "▁"
///     pre_tokenizer    ByteLevel, or Split (known patterns) and Digits and     none, Metaspace
///                      then ByteLevel
///     decoder          ByteLevel                                               Replace "▁" by " ", ByteFallback, Fuse,
///                                                                              Strip
/// Several in one place are a Sequence.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/piece_text.hpp"
#include "veneer/text/presplit.hpp"
#include "veneer/text/token_decoder.hpp"
#include "veneer/text/tokenizer_file.hpp"

namespace veneer {

/// What happens to a text before its words are encoded, and to tokens on the way back.
struct TextPipeline {
  bool nfc = false;                         // byte level: normalization form C
  bool prefix_space = false;                // byte level: a piece that does not begin with a space gets one
  std::vector<Splitter> splitters;          // byte level
  bool marks_first = false;                 // sentencepiece: "▁" comes in before added tokens are looked for again
  PiecePrefix prefix = PiecePrefix::never;  // sentencepiece
  bool splits_pieces = false;               // sentencepiece: each "▁" begins a word
  DecodeRules decode;

  bool pieces() const { return decode.pieces; }
};

namespace detail {

class PipelineReader : TokenizerFile {
 public:
  explicit PipelineReader(const TokenizerFile& file) : TokenizerFile(file) {}

  TextPipeline read() const {
    TextPipeline pipeline;
    if (const Json* found = find_json(root(), "normalizer"); !is_absent(found)) add_normalizer(*found, pipeline);
    if (pipeline.prefix != PiecePrefix::never && !pipeline.marks_first)
      fail(Reason::unsupported_normalizer, "normalizer", "Prepend is supported with a Replace of spaces behind it");
    const Json* pre = find_json(root(), "pre_tokenizer");
    pipeline.decode.pieces = pipeline.marks_first || is_metaspace(pre);
    if (pipeline.nfc && pipeline.pieces())
      fail(Reason::unsupported_normalizer, "normalizer", "NFC is not supported together with \"▁\" for spaces");
    if (pipeline.pieces()) {
      read_pieces(pre, pipeline);
      read_piece_decoder(pipeline.decode);
    } else {
      pipeline.prefix_space = read_pre_tokenizer(pre, pipeline.splitters);
      check_byte_decoder();
    }
    return pipeline;
  }

 private:
  // -- normalizer --------------------------------------------------------------------------------------------------

  void add_normalizer(const Json& normalizer, TextPipeline& pipeline) const {
    static const std::string key = "normalizer";
    const std::string& type = type_of(normalizer, key);
    if (type == "Sequence") {
      only(normalizer, key, {"type", "normalizers"});
      for (const Json& part : list(normalizer, "normalizers", key)) add_normalizer(part, pipeline);
    } else if (type == "NFC") {
      only(normalizer, key, {"type"});
      pipeline.nfc = true;
    } else if (type == "Prepend" && !pipeline.marks_first && pipeline.prefix == PiecePrefix::never &&
               text(normalizer, "prepend", key) == piece_space) {
      only(normalizer, key, {"type", "prepend"});
      pipeline.prefix = PiecePrefix::always;
    } else if (type == "Replace" && !pipeline.marks_first && text(normalizer, "content", key) == piece_space) {
      only(normalizer, key, {"type", "pattern", "content"});
      need_pattern(normalizer, key, " ");
      pipeline.marks_first = true;
    } else {
      fail(Reason::unsupported_normalizer, key,
           "the normalizer \"" + printable(type) +
               "\" is not supported in this place; supported: NFC, or Prepend of \"▁\" and then Replace of a space by "
               "\"▁\"");
    }
  }

  void need_text(const Json& component, const char* name, const std::string& key, std::string_view expected) const {
    if (text(component, name, key) == expected) return;
    fail(Reason::unsupported_option, key + "." + name,
         "found " + describe_json(member(component, name, key)) + ", supported: \"" + std::string(expected) + "\"");
  }

  void need_pattern(const Json& component, const std::string& key, std::string_view expected) const {
    const Json& pattern = member(component, "pattern", key + ".pattern");
    const Json* plain = pattern.is_object() && pattern.size() == 1 ? find_json(pattern, "String") : nullptr;
    if (plain != nullptr && plain->is_string() && plain->get_ref<const std::string&>() == expected) return;
    fail(Reason::unsupported_pattern, key + ".pattern",
         "found " + describe_json(pattern) + ", supported: {\"String\": \"" + std::string(expected) + "\"}");
  }

  // -- sentencepiece -----------------------------------------------------------------------------------------------

  static bool is_metaspace(const Json* pre) {
    if (is_absent(pre) || !pre->is_object()) return false;
    const Json* type = find_json(*pre, "type");
    return type != nullptr && type->is_string() && type->get_ref<const std::string&>() == "Metaspace";
  }

  void read_pieces(const Json* pre, TextPipeline& pipeline) const {
    static const std::string key = "pre_tokenizer";
    if (is_absent(pre)) return;
    const std::string& type = type_of(*pre, key);
    if (type == "Metaspace" && !pipeline.marks_first) return read_metaspace(*pre, pipeline);
    if (type == "Split" && !find_regex(*pre)) {
      // Gemma: splits at spaces, of which "▁" has left none.
      need_pattern(*pre, key, " ");
      return;
    }
    fail(Reason::unsupported_pre_tokenizer, key,
         "the pre-tokenizer \"" + printable(type) + "\" is not supported behind a normalizer that replaces spaces");
  }

  static bool find_regex(const Json& split) {
    const Json* pattern = find_json(split, "pattern");
    return pattern != nullptr && pattern->is_object() && find_json(*pattern, "Regex") != nullptr;
  }

  void read_metaspace(const Json& pre, TextPipeline& pipeline) const {
    static const std::string key = "pre_tokenizer";
    only(pre, key, {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
    need_text(pre, "replacement", key, piece_space);
    if (find_json(pre, "str_rep") != nullptr) need_text(pre, "str_rep", key, piece_space);
    // Files of before 2024 have a flag, and no way to say "first".
    const bool prefix = flag_or(pre, "add_prefix_space", key, true);
    const std::string scheme =
        find_json(pre, "prepend_scheme") != nullptr ? text(pre, "prepend_scheme", key) : "always";
    if (scheme != "never" && scheme != "always" && scheme != "first")
      fail(Reason::unsupported_option, key + ".prepend_scheme",
           "found \"" + printable(scheme) + "\", expected always, first or never");
    if (scheme != "never" && prefix)
      pipeline.prefix = scheme == "first" ? PiecePrefix::first_unless_there : PiecePrefix::unless_there;
    pipeline.splits_pieces = flag_or(pre, "split", key, true);
  }

  /// Replace, ByteFallback, Fuse and Strip in this order, each at most once; Replace must be there.
  void read_piece_decoder(DecodeRules& rules) const {
    static const std::string key = "decoder";
    const Json* decoder = find_json(root(), key);
    if (is_absent(decoder)) fail(Reason::unsupported_decoder, key, "there is none; supported: " + piece_decoders);
    std::vector<const Json*> steps{decoder};
    if (type_of(*decoder, key) == "Sequence") {
      only(*decoder, key, {"type", "decoders"});
      steps.clear();
      for (const Json& step : list(*decoder, "decoders", key)) steps.push_back(&step);
    }
    std::size_t reached = 0;  // of the order above
    for (const Json* step : steps) {
      const std::string& type = type_of(*step, key);
      if (type == "Replace" && reached < 1) {
        only(*step, key, {"type", "pattern", "content"});
        need_pattern(*step, key, piece_space);
        need_text(*step, "content", key, " ");
        reached = 1;
      } else if (type == "ByteFallback" && reached < 2) {
        only(*step, key, {"type"});
        rules.byte_tokens = rules.whole_runs = true;
        reached = 2;
      } else if (type == "Fuse" && reached < 3) {
        only(*step, key, {"type"});
        reached = 3;
      } else if (type == "Strip" && reached == 3) {
        read_strip(*step, rules);
        reached = 4;
      } else {
        fail(Reason::unsupported_decoder, key,
             "the decoder \"" + printable(type) + "\" is not supported in this place; supported: " + piece_decoders);
      }
    }
    const bool replaces = !steps.empty() && type_of(*steps.front(), key) == "Replace";
    if (!replaces) fail(Reason::unsupported_decoder, key, "no Replace comes first; supported: " + piece_decoders);
  }

  void read_strip(const Json& step, DecodeRules& rules) const {
    static const std::string key = "decoder";
    only(step, key, {"type", "content", "start", "stop"});
    need_text(step, "content", key, " ");
    const auto count = [&](const char* name) { return id(member(step, name, key + "." + name), key + "." + name); };
    if (count("stop") != 0) fail(Reason::unsupported_option, key + ".stop", "only 0 is supported");
    rules.leading = LeadingMark::spaces;
    rules.leading_spaces = static_cast<std::size_t>(count("start"));
  }

  inline static const std::string piece_decoders =
      "a Sequence of Replace of \"▁\" by a space, ByteFallback, Fuse and Strip";

  // -- byte level --------------------------------------------------------------------------------------------------

  /// Fills `splitters`; returns whether a space goes before each piece.
  bool read_pre_tokenizer(const Json* pre, std::vector<Splitter>& splitters) const {
    static const std::string key = "pre_tokenizer";
    if (is_absent(pre)) {
      fail(Reason::unsupported_pre_tokenizer, key,
           "there is none, and no normalizer that replaces spaces; supported: ByteLevel, a Sequence that ends in it, "
           "Metaspace");
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
  void check_byte_decoder() const {
    const Json* decoder = find_json(root(), "decoder");
    if (is_absent(decoder)) fail(Reason::unsupported_decoder, "decoder", "there is none; supported: ByteLevel");
    const std::string& type = type_of(*decoder, "decoder");
    if (type != "ByteLevel") {
      fail(Reason::unsupported_decoder, "decoder",
           "the decoder \"" + printable(type) + "\" is not supported; supported: ByteLevel");
    }
    only(*decoder, "decoder", {"type", "add_prefix_space", "trim_offsets", "use_regex"});  // all without effect here
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
               " is not among the known ones (those of GPT-2, Llama 3, Qwen 2, Mistral NeMo and GPT-4o)");
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
};

}  // namespace detail
}  // namespace veneer
