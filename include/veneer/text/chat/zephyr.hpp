// SPDX-License-Identifier: Apache-2.0
/// \file zephyr.hpp
/// Zephyr (TinyLlama's too): three roles, each closed by EOS; others are left out.
///
///     <|user|>\nHello EOS\n<|assistant|>\n
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void zephyr_turn(ChatWriter& out, std::size_t i) {
  if (!out.is(i, "system") && !out.is(i, "user") && !out.is(i, "assistant")) return;
  out.markup("<|", out.message(i).role, "|>\n");
  out.content(i);
  out.markup(out.eos(), "\n");
}

inline void zephyr_close(ChatWriter& out) {
  if (out.generation_prompt()) out.markup("<|assistant|>\n");
}

inline constexpr ChatFamily zephyr{
    .name = "zephyr",
    .fingerprint = "66291cf0045c2425a3a667cf3cbb7af2b11f09e025c02f97245323ab79119362",
    .markers = {"<|user|>", "<|assistant|>"},
    .end_of_turn = "",
    .turn = zephyr_turn,
    .close = zephyr_close,
};

}  // namespace veneer::chat
