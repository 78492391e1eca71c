// SPDX-License-Identifier: Apache-2.0
/// \file bpe_trainer.hpp
/// Trains the merges of a byte-level BPE: the most frequent adjacent pair becomes a token, repeatedly.
///
/// Pieces are Llama 3's, and digits are excluded from training. So no merge contains a digit, numbers are encoded digit
/// by digit, and the tokenizer needs no rule for it beyond Llama 3's expression. Among pairs of equal count the one
/// with the smaller ids is chosen, left before right: the same text gives the same merges everywhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pretrain/bpe_encoder.hpp"
#include "pretrain/grammar.hpp"
#include "pretrain/pieces.hpp"

namespace veneer::pretrain {

inline bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

class BytePairTrainer {
 public:
  /// Counts the pieces of a text. A piece with a digit contains only digits and is skipped.
  void add(std::string_view text) {
    splitter_.for_each_piece(text, [&](std::string_view piece) {
      if (!std::any_of(piece.begin(), piece.end(), is_digit)) ++counts_[std::string(piece)];
    });
  }

  /// Returns `count` merges for all added texts. Throws Error if there are fewer pairs.
  std::vector<Merge> train(std::size_t count) const {
    std::vector<Word> words;
    for (const auto& [piece, times] : counts_) words.push_back({ids_of_bytes(piece), times});
    std::vector<Merge> merges;
    while (merges.size() < count) {
      const std::size_t size = static_cast<std::size_t>(first_merge_id) + merges.size();
      const Merge merge = most_frequent(words, size);
      for (Word& word : words) apply_merge(word.symbols, merge, static_cast<TokenId>(size));
      merges.push_back(merge);
    }
    return merges;
  }

 private:
  struct Word {
    std::vector<TokenId> symbols;
    std::uint64_t times;
  };

  /// Returns the most frequent pair. Counts are in a matrix of size x size, so that a search in order breaks ties by
  /// the smaller ids.
  static Merge most_frequent(const std::vector<Word>& words, std::size_t size) {
    std::vector<std::uint64_t> counts(size * size, 0);
    for (const Word& word : words) {
      for (std::size_t i = 1; i < word.symbols.size(); ++i) {
        const auto left = static_cast<std::size_t>(word.symbols[i - 1]);
        counts[left * size + static_cast<std::size_t>(word.symbols[i])] += word.times;
      }
    }
    const auto best = std::max_element(counts.begin(), counts.end());  // the first of equals
    expects<Error>(*best > 0, "BytePairTrainer::train(count): the texts have fewer pairs than merges are wanted");
    const auto place = static_cast<std::size_t>(best - counts.begin());
    return {static_cast<TokenId>(place / size), static_cast<TokenId>(place % size)};
  }

  PieceSplitter splitter_;
  std::map<std::string, std::uint64_t> counts_;
};

inline constexpr std::size_t shipped_merge_count = 254;  // 512 tokens in all

/// Returns the merges of the shipped tokenizer, trained on 20,000 documents of the base mixture.
inline std::vector<Merge> train_shipped_merges() {
  BytePairTrainer trainer;
  BaseStream stream(seeds::tokenizer);
  for (int i = 0; i < 20'000; ++i) {
    const Document document = stream.next();
    trainer.add(document.prompt + document.completion);
  }
  return trainer.train(shipped_merge_count);
}

}  // namespace veneer::pretrain
