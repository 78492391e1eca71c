// SPDX-License-Identifier: Apache-2.0
/// \file text_model.hpp
/// TextModel: the model of a tokenizer.json, which converts words to ids: byte-pair encoding or unigram.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/text/bpe.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/piece_cuts.hpp"
#include "veneer/text/unigram_model.hpp"
#include "veneer/text/vocabulary.hpp"
#include "veneer/text/word_cache.hpp"

namespace veneer {

/// The scratch memory for encoding words; one per thread and model.
struct WordScratch {
  detail::BpeScratch bpe;
  detail::WordCache cache;
};

class TextModel {
 public:
  /// \param cuts  positions where words can be split before they are encoded
  TextModel(BpeModel model, PieceCuts cuts) : model_(std::move(model)), cuts_(std::move(cuts)) {}
  explicit TextModel(UnigramModel model) : model_(std::move(model)) {}

  bool is_unigram() const { return std::holds_alternative<UnigramModel>(model_); }
  const PieceCuts& cuts() const { return cuts_; }

  const Vocabulary& vocabulary() const {
    return *std::visit([](const auto& model) { return &model.vocabulary(); }, model_);
  }

  /// Appends the ids of a non-empty word. Throws `ArgumentError`.
  void encode(std::string_view word, WordScratch& scratch, std::vector<std::int32_t>& out) const {
    if (const auto known = scratch.cache.find(word); !known.empty()) {
      for (const std::int32_t id : known) out.push_back(id);
      return;
    }
    const std::size_t before = out.size();
    std::visit([&](const auto& model) { model.encode(word, scratch.bpe, out); }, model_);
    scratch.cache.insert(word, {out.data() + before, out.size() - before});
  }

  /// Appends the ids, and the bytes of the word that each id covers.
  void encode(std::string_view word, WordScratch& scratch, std::vector<std::int32_t>& out,
              std::vector<ByteRange>& places) const {
    std::visit([&](const auto& model) { model.encode(word, scratch.bpe, out, places); }, model_);
  }

 private:
  std::variant<BpeModel, UnigramModel> model_;
  PieceCuts cuts_;
};

}  // namespace veneer
