// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/bpe.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace bpe_test {

namespace {

using namespace veneer;
using Ids = std::vector<std::int32_t>;

/// A model over the letters a to d with random merges, and the definition to compare it with.
struct RandomModel {
  std::vector<std::string> tokens;
  std::map<std::pair<std::int32_t, std::int32_t>, detail::MergeTable::Merge> merges;

  explicit RandomModel(std::mt19937& random) {
    for (int byte = 0; byte < 256; ++byte) {
      tokens.emplace_back();
      append_byte_level(tokens.back(), std::string(1, static_cast<char>(byte)));
    }
    for (std::int32_t rank = 0; rank < 40; ++rank) {
      const auto pick = [&] {
        const std::size_t letters = 4;
        const std::size_t at = random() % (letters + tokens.size() - 256);
        return static_cast<std::int32_t>(at < letters ? 'a' + at : 256 + at - letters);
      };
      const std::int32_t left = pick();
      const std::int32_t right = pick();
      const std::string joined = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
      const auto known = std::find(tokens.begin(), tokens.end(), joined);
      const auto result = static_cast<std::int32_t>(known - tokens.begin());
      if (known == tokens.end()) tokens.push_back(joined);
      merges[{left, right}] = {rank, result};
    }
  }

  BpeModel make(bool whole_words) const {
    Vocabulary::Entries entries;
    for (std::size_t id = 0; id < tokens.size(); ++id) entries.emplace_back(tokens[id], static_cast<std::int32_t>(id));
    detail::MergeTable table(merges.size());
    for (const auto& [pair, merge] : merges) table.set(pair.first, pair.second, merge);
    Vocabulary vocabulary(entries);
    BpeSymbols bytes = BpeSymbols::of_bytes(vocabulary, {});
    return BpeModel(std::move(vocabulary), std::move(bytes), std::move(table), whole_words);
  }

  /// The definition: merge the leftmost pair of lowest rank until there is none.
  Ids define(const std::string& word) const {
    Ids ids;
    for (const char byte : word) ids.push_back(static_cast<unsigned char>(byte));
    for (;;) {
      std::size_t best = ids.size();
      const detail::MergeTable::Merge* merge = nullptr;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = merges.find({ids[i], ids[i + 1]});
        if (found == merges.end() || (merge != nullptr && found->second.rank >= merge->rank)) continue;
        best = i;
        merge = &found->second;
      }
      if (merge == nullptr) return ids;
      ids[best] = merge->result;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }
};

Ids encode(const BpeModel& model, const std::string& word, detail::BpeScratch& scratch) {
  Ids ids;
  model.encode(word, scratch, ids);
  return ids;
}

}  // namespace

TEST_CASE("the lowest rank goes first, leftmost among equals", "[text]") {
  std::mt19937 random(1);
  for (int round = 0; round < 40; ++round) {
    const RandomModel definition(random);
    const BpeModel model = definition.make(false);
    detail::BpeScratch scratch;
    for (int i = 0; i < 200; ++i) {
      std::string word;
      const std::size_t length = 1 + random() % 60;
      while (word.size() < length) word += static_cast<char>('a' + random() % 4);
      REQUIRE(encode(model, word, scratch) == definition.define(word));
      REQUIRE(encode(model, word, scratch) == definition.define(word));  // from the cache
    }
  }
}

TEST_CASE("a whole word of the vocabulary is one token if that is asked for", "[text]") {
  std::mt19937 random(3);
  RandomModel definition(random);
  definition.tokens.push_back("zebra");  // no merge makes it
  const auto id = static_cast<std::int32_t>(definition.tokens.size() - 1);
  detail::BpeScratch one;
  detail::BpeScratch other;
  CHECK(encode(definition.make(true), "zebra", one) == Ids{id});
  CHECK(encode(definition.make(false), "zebra", other) == Ids{'z', 'e', 'b', 'r', 'a'});
}

TEST_CASE("ids of a vocabulary may have holes", "[text]") {
  const Vocabulary vocabulary({{"a", 0}, {"b", 1}, {"c", 7}, {"d", 2147483647}});
  CHECK(vocabulary.text(1) == "b");
  CHECK_FALSE(vocabulary.text(2));
  CHECK_FALSE(vocabulary.text(-1));
  CHECK(vocabulary.text(7) == "c");
  CHECK(vocabulary.text(2147483647) == "d");
  CHECK(vocabulary.id("c") == 7);
  CHECK_FALSE(vocabulary.id("e"));
  CHECK(vocabulary.largest_id() == 2147483647);
  CHECK_FALSE(vocabulary.repeated_id());
  CHECK(Vocabulary({{"a", 5}, {"b", 5}}).repeated_id() == 5);
}

}  // namespace bpe_test
