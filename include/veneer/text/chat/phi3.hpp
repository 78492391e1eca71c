// SPDX-License-Identifier: Apache-2.0
/// \file phi3.hpp
/// Phi-3, as it is and as it first was.
///
///     now         <|user|>\nHello<|end|>\n<|assistant|>\n      and EOS instead of the assistant's marker at the end
///     at first    BOS <|user|>\nHello<|end|>\n<|assistant|>\n      which every question brings along
/// Other roles are left out, and by the first form system messages too.
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void phi3_turn(ChatWriter& out, std::size_t i) {
  if (!out.is(i, "system") && !out.is(i, "user") && !out.is(i, "assistant")) return;
  out.markup("<|", out.message(i).role, "|>\n");
  out.content(i);
  out.markup("<|end|>\n");
}

inline void phi3_close(ChatWriter& out) { out.markup(out.generation_prompt() ? "<|assistant|>\n" : out.eos()); }

inline void phi3_original_turn(ChatWriter& out, std::size_t i) {
  if (i == 0) out.markup(out.bos());
  if (!out.is(i, "user") && !out.is(i, "assistant")) return;
  if (out.is(i, "user")) out.markup("<|user|>\n");
  out.content(i);
  out.markup("<|end|>\n");
  if (out.is(i, "user")) out.markup("<|assistant|>\n");
}

inline constexpr ChatFamily phi3{
    .name = "phi3",
    .fingerprint = "dcaee66df77bfbb789ec541fe713218da30225a526f1db97138fc39ee6dc56aa",
    .markers = {"<|user|>", "<|end|>"},
    .end_of_turn = "<|end|>",
    .turn = phi3_turn,
    .close = phi3_close,
};

inline constexpr ChatFamily phi3_original{
    .name = "phi3-original",
    .fingerprint = "268b6082ceb7176dc6ed80557a2f7837f9f0339592fbee677d405a553af15f88",
    .markers = {"<|user|>", "<|end|>"},
    .end_of_turn = "<|end|>",
    .turn = phi3_original_turn,
    .close = no_close,
};

}  // namespace veneer::chat
