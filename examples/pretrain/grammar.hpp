// SPDX-License-Identifier: Apache-2.0
/// \file grammar.hpp
/// The synthetic language: the endless stream for pre-training, and the check that the base can write the targets
/// of a task.
///
/// The base mixture is 16 % prose and 84 % skills by weight. A training stream never contains a prompt of the
/// validation or test split.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pretrain/document.hpp"
#include "pretrain/sentences.hpp"
#include "pretrain/skills.hpp"
#include "pretrain/splits.hpp"
#include "pretrain/tasks.hpp"

namespace veneer::pretrain {

/// The seeds of all random draws. Initial weights have a separate seed, in the training program.
namespace seeds {
inline constexpr std::uint64_t tokenizer = 1;
inline constexpr std::uint64_t base_training = 42;
inline constexpr std::uint64_t prose_test = 77;
inline constexpr std::uint64_t base_test = 99;
inline constexpr std::uint64_t task_training = 1001;
inline constexpr std::uint64_t task_test = 2002;
inline constexpr std::uint64_t task_validation = 3003;
inline constexpr std::uint64_t replay = 4004;
}  // namespace seeds

inline constexpr std::size_t prose_percent = 16;

/// The endless base mixture: `BaseStream stream(seeds::base_training); stream.next()`. Documents may repeat.
class BaseStream {
 public:
  explicit BaseStream(std::uint64_t seed) : random_(seed) {}

  /// Returns the next document. Throws Error if 1000 draws of one skill give no prompt of the training split.
  Document next() {
    if (random_.below(100) < prose_percent) return draw_prose(random_);
    const Skill& skill = draw_skill(random_);
    for (int draws = 0; draws < 1000; ++draws) {
      Document document = skill.draw(random_);
      if (split_of(document.prompt) == Split::training) return document;
    }
    throw Error("BaseStream::next(): no training prompt in 1000 draws of the skill `" + std::string(skill.name) + "`");
  }

  std::vector<Document> take(std::size_t count) {
    std::vector<Document> documents;
    documents.reserve(count);
    for (std::size_t i = 0; i < count; ++i) documents.push_back(next());
    return documents;
  }

 private:
  SplitMix64 random_;
};

using ByteSet = std::bitset<256>;

/// Returns the bytes that occur in completions, that is, the targets of a model.
inline ByteSet target_bytes(const std::vector<Document>& documents) {
  ByteSet bytes;
  for (const Document& document : documents) {
    for (const char byte : document.completion) bytes.set(static_cast<unsigned char>(byte));
  }
  return bytes;
}

/// Returns the targets of a task that are never targets of the base, in ascending order; empty if there are none.
inline std::string unreachable_bytes(const std::vector<Document>& base, const std::vector<Document>& task) {
  const ByteSet missing = target_bytes(task) & ~target_bytes(base);
  std::string bytes;
  for (std::size_t byte = 0; byte < missing.size(); ++byte) {
    if (missing.test(byte)) bytes.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
  }
  return bytes;
}

}  // namespace veneer::pretrain
