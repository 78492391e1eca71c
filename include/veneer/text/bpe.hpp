// SPDX-License-Identifier: Apache-2.0
/// \file bpe.hpp
/// Byte-pair encoding: a word is split into bytes or characters, and the adjacent pair with the lowest rank is merged,
/// repeatedly, until no pair is in the table.
///
///     word -> ids       of equal pairs the leftmost is merged first
///     time              O(n log n) for a word of n symbols, which may be a whole text
///
/// Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units",
/// arXiv:1508.07909, algorithm 1.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/byte_level.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

namespace detail {

/// The merges: (left id, right id) -> rank and id of the merged token. Open addressing, at most half full.
class MergeTable {
 public:
  struct Merge {
    std::int32_t rank;
    std::int32_t result;
  };

  MergeTable() = default;

  explicit MergeTable(std::size_t count) {
    std::size_t capacity = 16;
    while (capacity < 2 * count) capacity *= 2, --shift_;
    slots_.resize(capacity);
  }

  /// Sets the merge of a pair, replacing an earlier one.
  void set(std::int32_t left, std::int32_t right, Merge merge) {
    slots_[place(key_of(left, right))] = {key_of(left, right), merge};
    const auto rank = static_cast<std::size_t>(merge.rank);
    if (results_.size() <= rank) results_.resize(rank + 1, -1);
    results_[rank] = merge.result;
  }

  /// Returns the token that the pair of a rank is merged to.
  std::int32_t result(std::size_t rank) const { return results_[rank]; }

  const Merge* find(std::int32_t left, std::int32_t right) const {
    if (slots_.empty()) return nullptr;
    const std::uint64_t key = key_of(left, right);
    const Slot& slot = slots_[place(key)];
    return slot.key == key ? &slot.merge : nullptr;
  }

 private:
  static constexpr std::uint64_t free = std::numeric_limits<std::uint64_t>::max();  // ids are not negative: never a key
  struct Slot {
    std::uint64_t key = free;
    Merge merge{};
  };

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint64_t>(right);
  }

  /// Returns the position of `key`, or the free position for it.
  std::size_t place(std::uint64_t key) const {
    std::size_t at = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
    while (slots_[at].key != key && slots_[at].key != free) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;
  std::vector<std::int32_t> results_;
  int shift_ = 60;
};

/// Scratch memory for encoding a word; one per thread.
struct BpeScratch {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  struct Symbol {
    std::int32_t id;  // -1: merged with the previous symbol
    std::uint32_t previous;
    std::uint32_t next;
  };
  std::vector<Symbol> symbols;
  std::vector<ByteRange> places;          // of each symbol, in bytes of the word; only if requested
  std::vector<std::uint64_t> candidates;  // a heap of rank << 32 | position of the left symbol, the smallest on top
};

}  // namespace detail

/// A BPE model: merges over a vocabulary, and the initial symbols, bytes or characters.
class BpeModel {
 public:
  /// \param whole_words  encode a word in the vocabulary as one token, without merges
  /// (`ignore_merges` in tokenizer.json)
  BpeModel(Vocabulary vocabulary, BpeSymbols symbols, detail::MergeTable merges, bool whole_words)
      : vocabulary_(std::move(vocabulary)),
        symbols_(std::move(symbols)),
        merges_(std::move(merges)),
        whole_words_(whole_words) {}

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool whole_words() const { return whole_words_; }

  const BpeSymbols& symbols() const { return symbols_; }

  /// Appends the ids of a non-empty word. Throws `ArgumentError` for one of 4 GiB.
  void encode(std::string_view word, detail::BpeScratch& scratch, std::vector<std::int32_t>& out) const {
    if (const auto whole = find_word(word)) {
      out.push_back(*whole);
      return;
    }
    merge(word, scratch, nullptr);
    for_each_symbol(scratch, [&](std::uint32_t i) { out.push_back(scratch.symbols[i].id); });
  }

  /// Appends the ids, and the bytes of the word that each id covers.
  void encode(std::string_view word, detail::BpeScratch& scratch, std::vector<std::int32_t>& out,
              std::vector<ByteRange>& places) const {
    if (const auto whole = find_word(word)) {
      out.push_back(*whole);
      places.push_back({0, word.size()});
      return;
    }
    merge(word, scratch, &scratch.places);
    for_each_symbol(scratch, [&](std::uint32_t i) {
      out.push_back(scratch.symbols[i].id);
      places.push_back(scratch.places[i]);
    });
  }

 private:
  using Scratch = detail::BpeScratch;

  std::optional<std::int32_t> find_word(std::string_view word) const {
    if (!whole_words_) return std::nullopt;
    if (!symbols_.bytes()) return vocabulary_.id(word);
    std::string text;
    append_byte_level(text, word);
    return vocabulary_.id(text);
  }

  template <class F>
  static void for_each_symbol(const Scratch& scratch, const F& f) {
    if (scratch.symbols.empty()) return;
    for (std::uint32_t i = 0; i != Scratch::none; i = scratch.symbols[i].next) f(i);
  }

  void merge(std::string_view word, Scratch& scratch, std::vector<ByteRange>* places) const {
    expects(word.size() < Scratch::none, "veneer::BpeModel::encode(word): 4 GiB that can't be cut anywhere");
    auto& symbols = scratch.symbols;
    auto& heap = scratch.candidates;
    symbols.clear();
    heap.clear();
    if (places != nullptr) places->clear();
    symbols_.cut(word, [&](std::int32_t id, ByteRange place) {
      const auto i = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back({id, i == 0 ? Scratch::none : i - 1, i + 1});
      if (places != nullptr) places->push_back(place);
    });
    if (symbols.empty()) return;
    symbols.back().next = Scratch::none;
    for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) propose(i, scratch);
    std::make_heap(heap.begin(), heap.end(), std::greater<>());
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      const std::uint64_t best = heap.back();
      heap.pop_back();
      const auto position = static_cast<std::uint32_t>(best);
      Scratch::Symbol& left = symbols[position];
      if (left.id < 0 || left.next == Scratch::none) continue;
      Scratch::Symbol& right = symbols[left.next];
      // Either symbol may have been merged since the pair was proposed. As in tokenizers, the position keeps its rank
      // if the current pair gives the same token.
      const detail::MergeTable::Merge* const found = merges_.find(left.id, right.id);
      const auto rank = static_cast<std::size_t>(best >> 32);
      if (found == nullptr) continue;
      if (static_cast<std::size_t>(found->rank) != rank && found->result != merges_.result(rank)) continue;
      left.id = found->result;
      if (places != nullptr) join((*places)[position], (*places)[left.next]);
      left.next = right.next;
      right.id = -1;
      if (left.next != Scratch::none) {
        symbols[left.next].previous = position;
        propose_again(position, scratch);
      }
      if (left.previous != Scratch::none) propose_again(left.previous, scratch);
    }
  }

  static void join(ByteRange& left, const ByteRange& right) {
    left = {std::min(left.begin, right.begin), std::max(left.end, right.end)};
  }

  /// Appends the pair at `position` to the heap's storage if it is in the table.
  bool propose(std::uint32_t position, Scratch& scratch) const {
    const Scratch::Symbol& left = scratch.symbols[position];
    const detail::MergeTable::Merge* const found = merges_.find(left.id, scratch.symbols[left.next].id);
    if (found == nullptr) return false;
    scratch.candidates.push_back((static_cast<std::uint64_t>(found->rank) << 32) | position);
    return true;
  }

  void propose_again(std::uint32_t position, Scratch& scratch) const {
    if (propose(position, scratch))
      std::push_heap(scratch.candidates.begin(), scratch.candidates.end(), std::greater<>());
  }

  Vocabulary vocabulary_;
  BpeSymbols symbols_;
  detail::MergeTable merges_;
  bool whole_words_;
};

}  // namespace veneer
