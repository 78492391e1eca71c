// SPDX-License-Identifier: Apache-2.0
/// \file splits.hpp
/// The splits for training, validation and test, determined by a hash of the prompt alone.
///
///   h = FNV-1a 64 of the prompt's bytes;  h ^= h >> 32;  h *= 0x9E3779B97F4A7C15;  h >>= 32
///   h mod 10 = 0: test,  1: validation,  2..9: training
///
/// No prompt is in two splits, whatever seed or program draws the documents. Prose has no prompt and no split: a short
/// passage of the test may repeat one of the training stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pretrain/document.hpp"

namespace veneer::pretrain {

/// Fowler, Noll and Vo's hash, variant 1a, 64 bits. `state` continues an earlier hash.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t state = 0xCBF29CE484222325u) {
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    state *= 0x100000001B3u;
  }
  return state;
}

enum class Split { training, validation, test };

constexpr Split split_of(std::string_view prompt) {
  std::uint64_t hash = fnv1a(prompt);
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15u;
  hash >>= 32;
  const std::uint64_t slot = hash % 10;
  return slot == 0 ? Split::test : slot == 1 ? Split::validation : Split::training;
}

/// A request for `count` documents of one split, drawn with `seed`.
struct Selection {
  std::uint64_t seed;
  Split split;
  std::size_t count;
};

/// Returns documents of one split with distinct prompts. Some skills have few inputs: after 1000 draws per requested
/// document the search ends, so the result may be shorter than `count`.
inline std::vector<Document> collect(Draw draw, const Selection& selection) {
  SplitMix64 random(selection.seed);
  std::vector<Document> found;
  std::unordered_set<std::string> seen;
  for (std::size_t draws = 0; draws < 1000 * selection.count && found.size() < selection.count; ++draws) {
    Document document = draw(random);
    if (split_of(document.prompt) != selection.split) continue;
    if (!seen.insert(document.prompt).second) continue;
    found.push_back(std::move(document));
  }
  return found;
}

/// Returns exactly `count` documents. Throws Error if the search ends before.
inline std::vector<Document> collect_all(Draw draw, const Selection& selection) {
  std::vector<Document> found = collect(draw, selection);
  expects<Error>(found.size() == selection.count,
                 "collect_all(draw, selection): found " + std::to_string(found.size()) + " of " +
                     std::to_string(selection.count) + " documents in 1000 draws for each; ask for fewer");
  return found;
}

}  // namespace veneer::pretrain
