// SPDX-License-Identifier: Apache-2.0
/// \file token_decoder.hpp
/// TokenDecoder: converts tokens to text, one at a time, with a chain of decoders and their state.
///
/// The chains of most tokenizers are types, so that a token takes one call instead of one per decoder.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/text/decoders.hpp"

namespace veneer {

namespace detail {

/// A chain of any decoders.
class DecoderList {
 public:
  DecoderList() = default;
  explicit DecoderList(std::vector<Decoder> steps) : steps_(std::move(steps)) {}

  void push(std::string_view token, std::string& out) { pass(0, token, true, out); }

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

/// A chain of decoders of these types.
template <class... Steps>
class DecoderChain {
 public:
  /// Returns whether `steps` have these types.
  static bool fits(const std::vector<Decoder>& steps) {
    std::size_t i = 0;
    return steps.size() == sizeof...(Steps) && (std::holds_alternative<Steps>(steps[i++]) && ...);
  }

  explicit DecoderChain(const std::vector<Decoder>& steps) : DecoderChain(steps, Places{}) {}

  void push(std::string_view token, std::string& out) { pass<0>(token, true, out); }
  void finish(std::string& out) { finish(out, Places{}); }

 private:
  using Places = std::index_sequence_for<Steps...>;

  template <std::size_t... I>
  DecoderChain(const std::vector<Decoder>& steps, std::index_sequence<I...>) : steps_(std::get<Steps>(steps[I])...) {}

  template <std::size_t... I>
  void finish(std::string& out, std::index_sequence<I...>) {
    (std::get<I>(steps_).finish([&](std::string_view part, bool last) { pass<I + 1>(part, last, out); }), ...);
  }

  template <std::size_t I>
  void pass(std::string_view part, bool last, std::string& out) {
    if constexpr (I == sizeof...(Steps)) {
      out.append(part);
    } else {
      std::get<I>(steps_).push(part, last, [&](std::string_view text, bool ends) { pass<I + 1>(text, ends, out); });
    }
  }

  std::tuple<Steps...> steps_;
};

}  // namespace detail

class TokenDecoder {
 public:
  TokenDecoder() = default;

  /// \param eager  return text as soon as it is determined
  TokenDecoder(std::vector<Decoder> steps, bool eager) {
    for (Decoder& step : steps) {
      std::visit(
          [&](auto& one) {
            if constexpr (requires { one.eager; }) one.eager = eager;
          },
          step);
    }
    using namespace decoders;
    if (take<ByteLevel>(steps)) return;                           // GPT-2, Llama 3, Qwen
    if (take<Replace, ByteFallback, Fuse>(steps)) return;         // Gemma
    if (take<Replace, ByteFallback, Fuse, Strip>(steps)) return;  // Llama 2, Mistral
    if (take<LeadingMark, Replace, ByteFallback>(steps)) return;  // a tokenizer.model
    chain_.emplace<detail::DecoderList>(std::move(steps));
  }

  /// Appends to `out` the text that is determined after a further token.
  void push(std::string_view token, std::string& out) {
    std::visit([&](auto& chain) { chain.push(token, out); }, chain_);
  }

  /// Appends the text held back: empty, or U+FFFD for an incomplete character. A new text begins.
  void finish(std::string& out) {
    std::visit([&](auto& chain) { chain.finish(out); }, chain_);
  }

 private:
  template <class... Steps>
  using Chain = detail::DecoderChain<Steps...>;

  template <class... Steps>
  bool take(const std::vector<Decoder>& steps) {
    const bool fits = Chain<Steps...>::fits(steps);
    if (fits) chain_.emplace<Chain<Steps...>>(steps);
    return fits;
  }

  std::variant<detail::DecoderList, Chain<decoders::ByteLevel>,
               Chain<decoders::Replace, decoders::ByteFallback, decoders::Fuse>,
               Chain<decoders::Replace, decoders::ByteFallback, decoders::Fuse, decoders::Strip>,
               Chain<decoders::LeadingMark, decoders::Replace, decoders::ByteFallback>>
      chain_;
};

}  // namespace veneer
