// SPDX-License-Identifier: Apache-2.0
/// \file gemma.hpp
/// Gemma: user and model in turn, contents trimmed, no system message.
///
///     BOS <start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void gemma_turn(ChatWriter& out, std::size_t i) {
  if (i == 0) out.markup(out.bos());
  if (i == 0 && out.is(i, "system")) out.refuse(i, "System role not supported");
  check_alternation(out, i, 0, must_alternate);
  out.markup("<start_of_turn>", out.is(i, "assistant") ? "model" : out.message(i).role, "\n");
  out.content(i, strip(out.message(i).content));
  out.markup("<end_of_turn>\n");
}

inline void gemma_close(ChatWriter& out) {
  if (out.generation_prompt()) out.markup("<start_of_turn>model\n");
}

inline constexpr ChatFamily gemma{
    .name = "gemma",
    .fingerprint = "ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6",
    .markers = {"<start_of_turn>", "<end_of_turn>"},
    .end_of_turn = "<end_of_turn>",
    .turn = gemma_turn,
    .close = gemma_close,
};

}  // namespace veneer::chat
