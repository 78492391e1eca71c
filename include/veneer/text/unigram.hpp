// SPDX-License-Identifier: Apache-2.0
/// \file unigram.hpp
/// BasicUnigramSegmenter: the most likely segmentation of a text into pieces, whose scores are log-probabilities.
///
///     argmax over segmentations of the text of   sum of score(piece)
///
/// Kudo, "Subword Regularization", arXiv:1804.10959, section 3.1; found from left to right (Viterbi).
///
/// Of equal scores the segmentation found first is used. Sums are computed from the left: in float32, as in the newest
/// sentencepiece (0.2.3), or in float64, as in the tokenizers library. Versions of sentencepiece before 0.2.2 compared
/// a double with a float, so that ties depended on rounding: runs of spaces or dots had another order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/text/unicode.hpp"

namespace veneer {

template <class Score>
class BasicUnigramSegmenter {
 public:
  struct Entry {
    std::string_view text;  // must outlive the segmenter
    std::int32_t id = 0;
    Score score = 0;
    bool always = false;  // user defined: used at every occurrence, the longest first
  };

  struct Piece {
    std::size_t begin = 0, end = 0;  // bytes
    std::int32_t id = 0;
    friend bool operator==(const Piece&, const Piece&) = default;
  };

  BasicUnigramSegmenter() = default;

  /// \param unknown  id of a character without an entry; its score is 10 below the lowest
  BasicUnigramSegmenter(std::vector<Entry> entries, std::int32_t unknown)
      : BasicUnigramSegmenter(std::move(entries), unknown, 0) {
    Score lowest = std::numeric_limits<Score>::max();
    for (Entry& entry : entries_) {
      if (entry.always) {
        entry.score = static_cast<Score>(0.1 * static_cast<double>(entry.text.size() - 1));
      } else {
        lowest = std::min(lowest, entry.score);
      }
    }
    unknown_score_ = lowest - Score{10};
  }

  /// Constructs a segmenter with the given score of unknown characters.
  BasicUnigramSegmenter(std::vector<Entry> entries, std::int32_t unknown, Score unknown_score)
      : entries_(std::move(entries)), unknown_(unknown), unknown_score_(unknown_score) {
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  }

  /// Returns the pieces of `text`, which is UTF-8, in order.
  std::vector<Piece> cut(std::string_view text) const {
    std::vector<Node> best(text.size() + 1);  // the last piece of the best segmentation up to each position
    std::size_t frontier = 0;
    for (std::size_t at = 0; at < text.size();) {
      settle(best, at, frontier);
      const std::size_t character = decode_utf8(text, at).length;
      bool single = false;
      const auto offer = [&](std::size_t end, std::int32_t id, Score score) {
        const Score total = score + best[at].score;
        frontier = std::max(frontier, end);
        single = single || end - at == character;
        if (best[end].begin == none || total > best[end].score) best[end] = {total, at, id};
      };
      each_entry(text, at, [&](const Entry& entry) { offer(at + entry.text.size(), entry.id, entry.score); });
      if (!single) offer(at + character, unknown_, unknown_score_);
      at += character;
    }
    std::vector<Piece> pieces;
    for (std::size_t end = text.size(); end > 0; end = best[end].begin)
      pieces.push_back({best[end].begin, end, best[end].id});
    std::reverse(pieces.begin(), pieces.end());
    return pieces;
  }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  struct Node {
    Score score = 0;
    std::size_t begin = none;
    std::int32_t id = 0;
  };

  /// Subtracts a common part from large scores, so that float32 still distinguishes them.
  static void settle(std::vector<Node>& best, std::size_t at, std::size_t frontier) {
    const Score offset = best[at].score;
    if (std::is_same_v<Score, double> || (offset >= -100000 && offset <= 100000)) return;
    for (std::size_t i = at; i <= frontier; ++i) {
      if (i == at || best[i].begin != none) best[i].score -= offset;
    }
  }

  /// Calls f for the entries that match `text` at `at`, the shortest first.
  template <class F>
  void each_entry(std::string_view text, std::size_t at, const F& f) const {
    auto low = entries_.begin(), high = entries_.end();
    for (std::size_t depth = 0; at + depth < text.size() && low != high; ++depth) {
      const auto byte = static_cast<unsigned char>(text[at + depth]);
      // All entries in the range have the same first `depth` bytes, and those that end here come first.
      if (low->text.size() == depth && ++low == high) return;
      low = std::partition_point(
          low, high, [&](const Entry& entry) { return static_cast<unsigned char>(entry.text[depth]) < byte; });
      high = std::partition_point(
          low, high, [&](const Entry& entry) { return static_cast<unsigned char>(entry.text[depth]) == byte; });
      if (low != high && low->text.size() == depth + 1) f(*low);
    }
  }

  std::vector<Entry> entries_;  // by text
  std::int32_t unknown_ = 0;
  Score unknown_score_ = 0;
};

using UnigramSegmenter = BasicUnigramSegmenter<float>;

}  // namespace veneer
