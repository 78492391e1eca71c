// SPDX-License-Identifier: Apache-2.0
/// \file mistral_system.hpp
/// Mistral with a system message: it stands in front of the user's first.
///
///     BOS [INST] Be brief.\n\nHello [/INST] Hi EOS [INST] ...
#pragma once

#include <cstddef>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void mistral_system_user(ChatWriter& out, std::size_t i, bool system) {
  out.markup(" [INST] ");
  if (system) {
    out.content(0);
    out.markup("\n\n");
  }
  out.content(i);
  out.markup(" [/INST]");
}

inline void mistral_system_turn(ChatWriter& out, std::size_t i) {
  if (i == 0) out.markup(out.bos());
  const bool system = out.is(0, "system");
  const std::size_t first = system ? 1 : 0;
  if (i < first) return;
  check_alternation(out, i, first,
                    "After the optional system message, conversation roles must alternate "
                    "user/assistant/user/assistant/...");
  if (out.is(i, "user")) return mistral_system_user(out, i, system && i == first);
  if (!out.is(i, "assistant")) {
    out.refuse(i,
               "Only user and assistant roles are supported, with the exception of an initial optional system "
               "message!");
  }
  out.markup(" ");
  out.content(i);
  out.markup(out.eos());
}

inline constexpr ChatFamily mistral_system{
    .name = "mistral-system",
    .fingerprint = "bbc58aad99454df60138be9530c9601a0adfe3d8932cda975e1f10b2410ddc51",
    .markers = {"[INST]", "optional system message"},
    .end_of_turn = "",
    .turn = mistral_system_turn,
    .close = no_close,
};

}  // namespace veneer::chat
