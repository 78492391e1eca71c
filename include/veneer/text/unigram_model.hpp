// SPDX-License-Identifier: Apache-2.0
/// \file unigram_model.hpp
/// UnigramModel: the unigram model of a tokenizer.json. Words are split into their most likely pieces; unknown
/// characters become one token per run, or their bytes as <0x00> to <0xFF>.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/unigram.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

class UnigramModel {
 public:
  using Pieces = std::vector<std::pair<std::string, double>>;  // text and log-probability; the id is the index

  /// \param unknown  id of text without a piece; if absent, such text is an error. Of two pieces with the same text the
  /// later is used
  UnigramModel(const Pieces& pieces, std::optional<std::int32_t> unknown, bool byte_fallback)
      : unknown_(unknown), byte_fallback_(byte_fallback) {
    Vocabulary::Entries entries;
    double lowest = pieces.empty() ? 0 : pieces.front().second;
    for (std::size_t i = pieces.size(); i-- > 0;) {
      entries.emplace_back(pieces[i].first, static_cast<std::int32_t>(i));
      lowest = std::min(lowest, pieces[i].second);
    }
    vocabulary_ = Vocabulary(entries);
    std::vector<BasicUnigramSegmenter<double>::Entry> cut;
    vocabulary_.for_each([&](std::string_view text, std::int32_t id) {
      const bool later = vocabulary_.id(text) != id;
      if (!text.empty() && !later) cut.push_back({text, id, pieces[static_cast<std::size_t>(id)].second, false});
    });
    segmenter_ = BasicUnigramSegmenter<double>(std::move(cut), unknown_.value_or(none), lowest - 10);
    for (std::size_t byte = 0; byte < 256; ++byte)
      byte_tokens_[byte] = vocabulary_.id(byte_token(static_cast<unsigned char>(byte))).value_or(none);
  }

  const Vocabulary& vocabulary() const { return vocabulary_; }

  /// Appends the ids of a non-empty word. Throws `ArgumentError` for text without a piece, if there is
  /// no unknown token.
  void encode(std::string_view word, detail::BpeScratch&, std::vector<std::int32_t>& out) const {
    each(word, [&](std::int32_t id, ByteRange) { out.push_back(id); });
  }

  /// Appends the ids, and the bytes of the word that each id covers.
  void encode(std::string_view word, detail::BpeScratch&, std::vector<std::int32_t>& out,
              std::vector<ByteRange>& places) const {
    each(word, [&](std::int32_t id, ByteRange place) {
      out.push_back(id);
      places.push_back(place);
    });
  }

 private:
  static constexpr std::int32_t none = -1;

  template <class Emit>
  void each(std::string_view word, const Emit& emit) const {
    ByteRange unknown;  // the current run of unknown pieces; empty if there is none
    const auto end_unknown = [&] {
      if (unknown.end > 0) put_unknown(word, unknown, emit);
      unknown = {};
    };
    for (const auto& piece : segmenter_.cut(word)) {
      if (piece.id == unknown_.value_or(none)) {
        unknown = {unknown.end > 0 ? unknown.begin : piece.begin, piece.end};
        continue;
      }
      end_unknown();
      emit(piece.id, ByteRange{piece.begin, piece.end});
    }
    end_unknown();
  }

  /// Emits a run of unknown pieces: a token for the whole run, or bytes.
  template <class Emit>
  void put_unknown(std::string_view word, ByteRange run, const Emit& emit) const {
    const std::string_view text = word.substr(run.begin, run.end - run.begin);
    const auto byte_id = [&](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
    if (const auto whole = vocabulary_.id(text)) return emit(*whole, run);
    if (byte_fallback_ && std::none_of(text.begin(), text.end(), [&](char byte) { return byte_id(byte) == none; })) {
      for (const char byte : text) emit(byte_id(byte), run);  // as in tokenizers, each covers the whole run
      return;
    }
    expects(unknown_.has_value(),
            "veneer::Tokenizer::encode(text): a character has no token, and the vocabulary has no unknown token "
            "(model.unk_id)");
    emit(*unknown_, run);
  }

  Vocabulary vocabulary_;
  BasicUnigramSegmenter<double> segmenter_;  // has views of the texts of `vocabulary_`, which remain valid when moved
  std::optional<std::int32_t> unknown_;
  bool byte_fallback_;
  std::array<std::int32_t, 256> byte_tokens_{};
};

}  // namespace veneer
