// SPDX-License-Identifier: Apache-2.0
/// \file mistral.hpp
/// Mistral 7B Instruct, v0.1 and v0.2: user and assistant in turn.
///
///     v0.1      BOS [INST] Hello [/INST]Hi EOS [INST] ...          a space behind EOS
///     v0.2      BOS [INST] Hello [/INST]Hi EOS[INST] ...
#pragma once

#include <cstddef>
#include <string_view>

#include "veneer/text/chat/writer.hpp"

namespace veneer::chat {

inline void mistral_turn(ChatWriter& out, std::size_t i, std::string_view behind_eos) {
  if (i == 0) out.markup(out.bos());
  check_alternation(out, i, 0, must_alternate);
  if (out.is(i, "user")) {
    out.markup("[INST] ");
    out.content(i);
    out.markup(" [/INST]");
  } else if (out.is(i, "assistant")) {
    out.content(i);
    out.markup(out.eos(), behind_eos);
  } else {
    out.refuse(i, "Only user and assistant roles are supported!");
  }
}

inline void mistral_v01_turn(ChatWriter& out, std::size_t i) { mistral_turn(out, i, " "); }
inline void mistral_v02_turn(ChatWriter& out, std::size_t i) { mistral_turn(out, i, ""); }

inline constexpr ChatFamily mistral_v01{
    .name = "mistral-v0.1",
    .fingerprint = "7e995b379ec01747807246483647cd99030abf331653f1119e16d7ac041a3495",
    .markers = {"[INST]", "eos_token + ' '"},
    .end_of_turn = "",
    .turn = mistral_v01_turn,
    .close = no_close,
};

inline constexpr ChatFamily mistral_v02{
    .name = "mistral-v0.2",
    .fingerprint = "26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7",
    .markers = {"[INST]", "[/INST]"},
    .end_of_turn = "",
    .turn = mistral_v02_turn,
    .close = no_close,
};

}  // namespace veneer::chat
