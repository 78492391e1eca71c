// SPDX-License-Identifier: Apache-2.0
/// \file vocabulary.hpp
/// Vocabulary: the map between tokens and ids, in both directions. Ids need not be dense: memory grows with the number
/// of tokens, not with the largest id.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace veneer {

class Vocabulary {
 public:
  using Entries = std::vector<std::pair<std::string_view, std::int32_t>>;

  Vocabulary() = default;

  /// Copies the texts of `entries`, which must be unique. Ids should be unique as well; see `repeated_id`.
  explicit Vocabulary(const Entries& entries) {
    std::size_t bytes = 0;
    for (const auto& entry : entries) bytes += entry.first.size();
    texts_.reserve(bytes);  // views of it remain valid
    by_id_.reserve(entries.size());
    by_text_.reserve(entries.size());
    for (const auto& entry : entries) {
      const std::size_t begin = texts_.size();
      texts_.insert(texts_.end(), entry.first.begin(), entry.first.end());
      const std::string_view text(texts_.data() + begin, entry.first.size());
      by_id_.push_back({entry.second, text});
      by_text_.emplace(text, entry.second);
    }
    std::sort(by_id_.begin(), by_id_.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
  }

  // Not copyable: views of `texts_` remain valid when the vector is moved, but not when it is copied.
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  ~Vocabulary() = default;

  std::size_t size() const { return by_id_.size(); }

  std::optional<std::int32_t> id(std::string_view text) const {
    const auto found = by_text_.find(text);
    if (found == by_text_.end()) return std::nullopt;
    return found->second;
  }

  std::optional<std::string_view> text(std::int32_t id) const {
    if (by_id_.empty() || id < by_id_.front().id || id > by_id_.back().id) return std::nullopt;
    // Most vocabularies are dense from 0, and then an id is its own index.
    const auto place = static_cast<std::size_t>(id);
    if (id >= 0 && place < by_id_.size() && by_id_[place].id == id) return by_id_[place].text;
    const auto found = std::lower_bound(by_id_.begin(), by_id_.end(), id,
                                        [](const Entry& entry, std::int32_t value) { return entry.id < value; });
    if (found->id != id) return std::nullopt;
    return found->text;
  }

  /// Calls `f(text, id)` for every token, in the order of ids.
  template <class F>
  void for_each(const F& f) const {
    for (const Entry& entry : by_id_) f(entry.text, entry.id);
  }

  /// Returns an id of two tokens, if there is one.
  std::optional<std::int32_t> repeated_id() const {
    const auto found =
        std::adjacent_find(by_id_.begin(), by_id_.end(), [](const Entry& a, const Entry& b) { return a.id == b.id; });
    if (found == by_id_.end()) return std::nullopt;
    return found->id;
  }

  /// Returns the largest id, or -1 if there is no token.
  std::int32_t largest_id() const { return by_id_.empty() ? -1 : by_id_.back().id; }

 private:
  struct Entry {
    std::int32_t id;
    std::string_view text;
  };

  std::vector<char> texts_;
  std::vector<Entry> by_id_;  // in the order of ids
  std::unordered_map<std::string_view, std::int32_t> by_text_;
};

}  // namespace veneer
