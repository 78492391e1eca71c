// SPDX-License-Identifier: Apache-2.0
/// \file chatml.hpp
/// ChatML: every role between two markers.
///
///     <|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void chatml_turn(ChatWriter& out, std::size_t i) {
  out.markup("<|im_start|>", out.message(i).role, "\n");
  out.content(i);
  out.markup("<|im_end|>\n");
}

inline void chatml_close(ChatWriter& out) {
  if (out.generation_prompt()) out.markup("<|im_start|>assistant\n");
}

inline constexpr ChatFamily chatml{
    .name = "chatml",
    .fingerprint = "153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
    .markers = {"<|im_start|>", "<|im_end|>"},
    .end_of_turn = "<|im_end|>",
    .turn = chatml_turn,
    .close = chatml_close,
};

}  // namespace veneer::chat
