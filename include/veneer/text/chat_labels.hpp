// SPDX-License-Identifier: Apache-2.0
/// \file chat_labels.hpp
/// for_each_trained_token(chat, encoding, tokenizer, use): visits the tokens of a rendered conversation that
/// are trained on.
///
/// A token is trained on if it begins in a range of `chat.trained`. If the template writes special tokens after the
/// content of a message, the range ends with the last of them: "yes<|end|> (over)" is trained on up to <|end|>.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "veneer/text/chat_training.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// Calls `use(i)` for each trained token, in order. `encoding` is that of `chat.text`, with offsets.
template <class Use>
void for_each_trained_token(const TrainingChat& chat, const Encoding& encoding, const Tokenizer& tokenizer,
                            const Use& use) {
  const std::vector<std::int32_t>& ids = encoding.ids;
  const auto begin_of = [&](std::size_t token) { return encoding.offsets[token].begin; };
  std::size_t token = 0;
  auto content = chat.contents.begin();
  for (const ByteRange range : chat.trained) {
    while (token < ids.size() && begin_of(token) < range.begin) ++token;
    const std::size_t first = token;
    while (token < ids.size() && begin_of(token) < range.end) ++token;
    std::size_t said = range.begin;  // the end of the content of the message
    for (; content != chat.contents.end() && content->begin < range.end; ++content) said = std::max(said, content->end);
    std::size_t end = token;
    while (end > first && begin_of(end - 1) >= said && !tokenizer.is_special(ids[end - 1])) --end;
    if (end == first || begin_of(end - 1) < said || chat.marked) end = token;
    for (std::size_t i = first; i < end; ++i)
      if (begin_of(i) < encoding.offsets[i].end) use(i);
  }
}

}  // namespace veneer
