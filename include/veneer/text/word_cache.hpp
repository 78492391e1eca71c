// SPDX-License-Identifier: Apache-2.0
/// \file word_cache.hpp
/// WordCache: the ids of recent short words, in a table of fixed size; a new word replaces the one in its slot.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace veneer::detail {

class WordCache {
 public:
  static constexpr std::size_t longest_word = 24;
  static constexpr std::size_t most_ids = 9;

  /// Returns the ids of `word`, which is not empty, or an empty span if it is not cached.
  std::span<const std::int32_t> find(std::string_view word) {
    if (word.size() > longest_word) return {};
    if (slots_.empty()) slots_.resize(slot_count);
    const Key key = key_of(word);
    const Slot& slot = slots_[place(key, word.size())];
    if (slot.key != key || slot.length != word.size()) return {};
    return {slot.ids.data(), slot.count};
  }

  void insert(std::string_view word, std::span<const std::int32_t> ids) {
    if (word.size() > longest_word || ids.size() > most_ids) return;
    const Key key = key_of(word);
    Slot& slot = slots_[place(key, word.size())];
    slot.key = key;
    slot.length = static_cast<unsigned char>(word.size());
    slot.count = static_cast<unsigned char>(ids.size());
    std::copy(ids.begin(), ids.end(), slot.ids.begin());
  }

 private:
  struct Key {
    std::uint64_t begin = 0, end = 0, middle = 0;
    bool operator==(const Key&) const = default;  // comparing arrays would be a call
  };
  static constexpr std::size_t slot_bits = 15;
  static constexpr std::size_t slot_count = std::size_t{1} << slot_bits;  // 2 MiB
  struct Slot {
    Key key{};
    unsigned char length = 0;  // 0: empty
    unsigned char count = 0;
    std::array<std::int32_t, most_ids> ids{};
  };
  static_assert(sizeof(Slot) == 64, "a slot is a cache line");

  template <class Unsigned>
  static std::uint64_t load(const char* from) {
    Unsigned value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  /// Returns all bytes of a word, some of them twice; unique among words of one length.
  static Key key_of(std::string_view word) {
    const char* const begin = word.data();
    const char* const end = begin + word.size();
    if (word.size() >= 8)
      return {load<std::uint64_t>(begin), load<std::uint64_t>(end - 8),
              word.size() > 16 ? load<std::uint64_t>(begin + 8) : 0};
    if (word.size() >= 4) return {load<std::uint32_t>(begin) | load<std::uint32_t>(end - 4) << 32, 0, 0};
    const auto middle = load<unsigned char>(begin + word.size() / 2);
    return {load<unsigned char>(begin) | middle << 8 | load<unsigned char>(end - 1) << 16, 0, 0};
  }

  static std::size_t place(const Key& key, std::size_t length) {
    std::uint64_t hash =
        (key.begin + length) * 0x9E3779B97F4A7C15u + key.end * 0xC2B2AE3D27D4EB4Fu + key.middle * 0x165667B19E3779F9u;
    hash = (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(hash >> (64 - slot_bits));
  }

  std::vector<Slot> slots_;
};

}  // namespace veneer::detail
