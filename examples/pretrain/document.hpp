// SPDX-License-Identifier: Apache-2.0
/// \file document.hpp
/// Document: a document of the synthetic language, and patterns with named slots to generate one.
///
///   document   <bos> prompt completion <eos>      loss on the completion and <eos> only
///   prompt     `tag: input =>`                    empty for prose, so all of a passage is trained on
///   completion ` answer`                          with a leading space: a word and its space are one token
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"

#include "pretrain/random.hpp"

namespace veneer::pretrain {

struct Document {
  std::string prompt;
  std::string completion;

  friend bool operator==(const Document&, const Document&) = default;
};

/// A generator of one document: a skill, a task, prose.
using Draw = Document (*)(SplitMix64& random);

/// `tag: input =>` and ` answer`.
inline Document make_document(std::string_view tag, std::string_view input, std::string_view answer) {
  Document document;
  document.prompt.append(tag).append(": ").append(input).append(" =>");
  document.completion.append(" ").append(answer);
  return document;
}

/// A named value, written for `<name>` in a pattern.
struct Slot {
  std::string_view name;
  std::string value;
};

using Slots = std::vector<Slot>;

inline Slots joined(Slots first, const Slots& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// Returns the pattern with each `<name>` replaced by the slot with this name: "sort <f>" and {f: a.txt} give "sort
/// a.txt". Throws ArgumentError on a name without a slot and on a `<` that no `>` closes.
inline std::string substitute(std::string_view pattern, const Slots& slots) {
  std::string text;
  while (true) {
    const auto open = pattern.find('<');
    text.append(pattern.substr(0, open));
    if (open == std::string_view::npos) return text;
    const auto close = pattern.find('>', open);
    expects(close != std::string_view::npos, "substitute(pattern, slots): a `<` of the pattern has no `>`");
    const auto name = pattern.substr(open + 1, close - open - 1);
    const Slot* found = nullptr;
    for (const Slot& slot : slots) {
      if (slot.name == name) found = &slot;
    }
    if (found == nullptr) {
      throw ArgumentError("substitute(pattern, slots): no slot is called `" + std::string(name) + "`");
    }
    text.append(found->value);
    pattern.remove_prefix(close + 1);
  }
}

}  // namespace veneer::pretrain
