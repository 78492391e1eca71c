// SPDX-License-Identifier: Apache-2.0
/// \file token_decoder.hpp
/// Tokens to text, one after the other: a chain of decoders, and what they have in hand.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "veneer/text/decoders.hpp"

namespace veneer {

class TokenDecoder {
 public:
  TokenDecoder() = default;

  /// `eager`: text is needed as soon as it is certain.
  TokenDecoder(std::vector<Decoder> steps, bool eager) : steps_(std::move(steps)) {
    for (Decoder& step : steps_) {
      std::visit(
          [&](auto& one) {
            if constexpr (requires { one.eager; }) one.eager = eager;
          },
          step);
    }
  }

  /// Appends to `out` what a further token makes certain.
  void push(std::string_view token, std::string& out) { pass(0, token, true, out); }

  /// Appends what still waits: nothing, or U+FFFD for what never became a character. A new text begins.
  void finish(std::string& out) {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      std::visit(
          [&](auto& one) { one.finish([&](std::string_view part, bool last) { pass(i + 1, part, last, out); }); },
          steps_[i]);
    }
  }

 private:
  void pass(std::size_t step, std::string_view part, bool last, std::string& out) {
    if (step == steps_.size()) {
      out.append(part);
      return;
    }
    std::visit(
        [&](auto& one) {
          one.push(part, last, [&](std::string_view text, bool ends) { pass(step + 1, text, ends, out); });
        },
        steps_[step]);
  }

  std::vector<Decoder> steps_;
};

}  // namespace veneer
