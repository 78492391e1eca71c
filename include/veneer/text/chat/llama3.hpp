// SPDX-License-Identifier: Apache-2.0
/// \file llama3.hpp
/// Llama 3 (Instruct, before 3.1): any role in a header, contents trimmed.
///
///     BOS <|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void llama3_turn(ChatWriter& out, std::size_t i) {
  if (i == 0) out.markup(out.bos());
  out.markup("<|start_header_id|>", out.message(i).role, "<|end_header_id|>\n\n");
  out.content(i, strip(out.message(i).content));
  out.markup("<|eot_id|>");
}

inline void llama3_close(ChatWriter& out) {
  if (out.generation_prompt()) out.markup("<|start_header_id|>assistant<|end_header_id|>\n\n");
}

inline constexpr ChatFamily llama3{
    .name = "llama3",
    .fingerprint = "ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",
    .markers = {"<|start_header_id|>", "<|eot_id|>"},
    .end_of_turn = "<|eot_id|>",
    .turn = llama3_turn,
    .close = llama3_close,
};

}  // namespace veneer::chat
