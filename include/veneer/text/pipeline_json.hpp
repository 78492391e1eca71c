// SPDX-License-Identifier: Apache-2.0
/// \file pipeline_json.hpp
/// Reads what is around the model in a tokenizer.json: normalizer, pre-tokenizer, decoder.
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

/// What happens to a text before its words are encoded, and to tokens on the way back.
struct TextPipeline {
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::vector<Decoder> decoders;
  bool bytes = false;  // words are bytes as they are: the last pre-tokenizer would write them as characters

  /// Whether nothing happens to a text but that "▁" is put in for spaces. Then a long one can be taken in parts.
  bool marks_only() const {
    return pre_tokenizers.empty() && normalizers.size() == 1 &&
           std::holds_alternative<normalizers::MarkSpaces>(normalizers.front());
  }

  /// Whether a pre-tokenizer asks where in the original a piece begins, and gets text that is not the original.
  bool needs_places() const {
    bool changed = !normalizers.empty();
    for (const PreTokenizer& step : this->pre_tokenizers) {
      const auto* const metaspace = std::get_if<pre_tokenizers::Metaspace>(&step);
      if (metaspace != nullptr && metaspace->prefix == PiecePrefix::first_unless_there && changed) return true;
      changed = changed || metaspace != nullptr || std::holds_alternative<pre_tokenizers::ByteLevel>(step);
    }
    return false;
  }

  /// Whether the model sees bytes, written as characters or not.
  bool byte_level() const {
    return bytes || std::any_of(pre_tokenizers.begin(), pre_tokenizers.end(), [](const PreTokenizer& step) {
             return std::holds_alternative<pre_tokenizers::ByteLevel>(step);
           });
  }
};

namespace detail {

/// `takes_bytes`: the model can encode bytes as they are.
inline TextPipeline read_pipeline(const TokenizerFile& file, bool takes_bytes) {
  TextPipeline pipeline{NormalizerReader(file).read(), PreTokenizerReader(file).read(), DecoderReader(file).read(),
                        false};
  std::vector<PreTokenizer>& steps = pipeline.pre_tokenizers;
  if (!steps.empty() && takes_bytes) {
    if (auto* const last = std::get_if<pre_tokenizers::ByteLevel>(&steps.back())) {
      last->writes_characters = false;
      pipeline.bytes = true;
      if (!last->prefix_space && !last->expression) steps.pop_back();  // nothing is left for it to do
    }
  }
  // Gemma splits at spaces, of which the normalizer has left none.
  const bool no_spaces =
      !pipeline.normalizers.empty() && std::holds_alternative<normalizers::MarkSpaces>(pipeline.normalizers.back());
  const auto* const split = steps.empty() ? nullptr : std::get_if<pre_tokenizers::Split>(&steps.front());
  const auto* const text = split == nullptr || split->invert ? nullptr : std::get_if<std::string>(&split->pattern);
  if (no_spaces && text != nullptr && text->find(' ') != std::string::npos) steps.erase(steps.begin());
  return pipeline;
}

}  // namespace detail
}  // namespace veneer
