// SPDX-License-Identifier: Apache-2.0
/// \file qwen25.hpp
/// Qwen 2.5: ChatML with a system message of its own where there is none, and answers of tools.
///
///     <|im_start|>system\nYou are Qwen, ...<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n
/// Tools are not offered and calls of tools not written. Other roles than these four are left out, as by the template.
#pragma once

#include <cstddef>

#include "veneer/text/chat/chatml.hpp"
#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

/// Answers of tools that follow one another share a turn of the user.
inline void qwen25_tool(ChatWriter& out, std::size_t i) {
  if (i == 0 || !out.is(i - 1, "tool")) out.markup("<|im_start|>user");
  out.markup("\n<tool_response>\n");
  out.content(i);
  out.markup("\n</tool_response>");
  if (i + 1 == out.count() || !out.is(i + 1, "tool")) out.markup("<|im_end|>\n");
}

inline void qwen25_turn(ChatWriter& out, std::size_t i) {
  if (i == 0 && !out.is(i, "system")) {
    out.markup("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n");
  }
  if (out.is(i, "tool")) return qwen25_tool(out, i);
  if (!out.is(i, "system") && !out.is(i, "user") && !out.is(i, "assistant")) return;
  chatml_turn(out, i);
}

inline constexpr ChatFamily qwen25{
    .name = "qwen2.5",
    .fingerprint = "55b2f4a26ac9ee719330a61a0c39d9e538b0e9322212f048326318cff4f8674a",
    .markers = {"<|im_start|>", "You are Qwen"},
    .end_of_turn = "<|im_end|>",
    .turn = qwen25_turn,
    .close = chatml_close,
};

}  // namespace veneer::chat
