// SPDX-License-Identifier: Apache-2.0
/// \file llama2.hpp
/// Llama 2: user and assistant in turn; a system message stands inside the user's first.
///
///     BOS [INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST] Hi EOS BOS [INST] ...
/// What stands between the brackets is trimmed as a whole, so an empty question takes the line ends before it along.
#pragma once

#include <cstddef>
#include <string_view>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void llama2_user(ChatWriter& out, std::size_t i, bool system) {
  const std::string_view content = out.message(i).content, end = strip_end(content);
  out.markup(out.bos(), "[INST] ");
  if (system) {
    out.markup("<<SYS>>\n");
    out.content(0);
    out.markup("\n<</SYS>>", end.empty() ? "" : "\n\n");
  }
  out.content(i, system ? end : strip_begin(end));
  out.markup(" [/INST]");
}

inline void llama2_turn(ChatWriter& out, std::size_t i) {
  const bool system = out.is(0, "system");
  const std::size_t first = system ? 1 : 0;
  if (i < first) return;
  check_alternation(out, i, first, must_alternate);
  if (out.is(i, "user")) return llama2_user(out, i, system && i == first);
  if (!out.is(i, "assistant")) return;
  out.markup(" ");
  out.content(i, strip(out.message(i).content));
  out.markup(" ", out.eos());
}

inline constexpr ChatFamily llama2{
    .name = "llama2",
    .fingerprint = "e8d5b5a546d3f19df16a5320c614fab05bdc4edd50e850f1afd947b503ea41cf",
    .markers = {"[INST]", "<<SYS>>"},
    .end_of_turn = "",
    .turn = llama2_turn,
    .close = no_close,
};

}  // namespace veneer::chat
