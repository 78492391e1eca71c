// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/word_cache.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace word_cache_test {

namespace {

using namespace veneer;
using detail::WordCache;
using Ids = std::vector<std::int32_t>;

Ids find(WordCache& cache, const std::string& word) {
  const auto found = cache.find(word);
  return {found.begin(), found.end()};
}

}  // namespace

TEST_CASE("a word that differs in one byte, or in its length, is another", "[text]") {
  for (std::size_t length = 1; length <= WordCache::longest_word; ++length) {
    WordCache cache;
    std::string word;
    for (std::size_t i = 0; i < length; ++i) word += static_cast<char>('a' + i);
    CHECK(find(cache, word).empty());
    cache.insert(word, Ids{1, 2, 3});
    CHECK(find(cache, word) == Ids{1, 2, 3});
    for (std::size_t i = 0; i < length; ++i) {
      std::string other = word;
      other[i] = '\0';
      CHECK(find(cache, other).empty());
    }
    CHECK(find(cache, word + '\0').empty());
    CHECK(find(cache, word.substr(1) + "aa").empty());
  }
}

TEST_CASE("long words and many ids are not kept", "[text]") {
  WordCache cache;
  const std::string long_word(WordCache::longest_word + 1, 'x');
  CHECK(find(cache, long_word).empty());
  cache.insert(long_word, Ids{1});
  CHECK(find(cache, long_word).empty());
  CHECK(find(cache, "many").empty());
  cache.insert("many", Ids(WordCache::most_ids + 1, 7));
  CHECK(find(cache, "many").empty());
  cache.insert("many", Ids(WordCache::most_ids, 7));
  CHECK(find(cache, "many").size() == WordCache::most_ids);
}

}  // namespace word_cache_test
