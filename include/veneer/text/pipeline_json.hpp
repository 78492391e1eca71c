// SPDX-License-Identifier: Apache-2.0
/// \file pipeline_json.hpp
/// Reads the steps before and after the model in a tokenizer.json: normalizer, pre-tokenizer, decoder.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "veneer/text/decoder_json.hpp"
#include "veneer/text/normalizer_json.hpp"
#include "veneer/text/pre_tokenizer_json.hpp"
#include "veneer/text/tokenizer_file.hpp"

namespace veneer {

/// The steps from a text to its words, and from tokens to text.
struct TextPipeline {
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::vector<Decoder> decoders;
  bool bytes = false;  // words are raw bytes, which the last pre-tokenizer would map to characters

  /// Returns whether the only change of a text is "▁" for spaces. Then a long one can be processed in parts.
  bool marks_only() const {
    return pre_tokenizers.empty() && normalizers.size() == 1 &&
           std::holds_alternative<normalizers::MarkSpaces>(normalizers.front());
  }

  /// Returns whether a pre-tokenizer needs the position of a piece in the original, and its input differs
  /// from the original.
  bool needs_places() const {
    bool changed = !normalizers.empty();
    for (const PreTokenizer& step : this->pre_tokenizers) {
      const auto* const metaspace = std::get_if<pre_tokenizers::Metaspace>(&step);
      if (metaspace != nullptr && metaspace->prefix == PiecePrefix::first_unless_there && changed) return true;
      changed = changed || metaspace != nullptr || std::holds_alternative<pre_tokenizers::ByteLevel>(step);
    }
    return false;
  }

  /// Returns whether the input of the model is bytes, mapped to characters or not.
  bool byte_level() const {
    return bytes || std::any_of(pre_tokenizers.begin(), pre_tokenizers.end(), [](const PreTokenizer& step) {
             return std::holds_alternative<pre_tokenizers::ByteLevel>(step);
           });
  }
};

namespace detail {

/// Reads the steps. `takes_bytes`: the model can encode raw bytes.
inline TextPipeline read_pipeline(const TokenizerFile& file, bool takes_bytes) {
  TextPipeline pipeline{NormalizerReader(file).read(), PreTokenizerReader(file).read(), DecoderReader(file).read(),
                        false};
  std::vector<PreTokenizer>& steps = pipeline.pre_tokenizers;
  if (!steps.empty() && takes_bytes) {
    if (auto* const last = std::get_if<pre_tokenizers::ByteLevel>(&steps.back())) {
      last->writes_characters = false;
      pipeline.bytes = true;
      if (!last->prefix_space && !last->expression) steps.pop_back();  // it would have no effect
    }
  }
  // Gemma splits at spaces, which its normalizer has already replaced.
  const bool no_spaces =
      !pipeline.normalizers.empty() && std::holds_alternative<normalizers::MarkSpaces>(pipeline.normalizers.back());
  const auto* const split = steps.empty() ? nullptr : std::get_if<pre_tokenizers::Split>(&steps.front());
  const auto* const text = split == nullptr || split->invert ? nullptr : std::get_if<std::string>(&split->pattern);
  if (no_spaces && text != nullptr && text->find(' ') != std::string::npos) steps.erase(steps.begin());
  return pipeline;
}

}  // namespace detail
}  // namespace veneer
