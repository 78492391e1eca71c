// SPDX-License-Identifier: Apache-2.0
/// \file methods.hpp
/// The list of methods. A new one is a file of its own and its name in the two lists here.
#pragma once

#include <variant>

#include "veneer/nn/adapter.hpp"
#include "veneer/peft/dora.hpp"
#include "veneer/peft/lora.hpp"

namespace veneer {

/// Settings of the method of an adapter; each alternative has a peft_type of its own. DoRA is LoRA's with use_dora.
using AdapterMethod = std::variant<Lora>;

namespace detail {

template <Backend B, Real T, class... Methods>
struct Slots {
  using linear = AdapterSlot<typename Methods::template linear<B, T>...>;
};

template <class Method, class B, class T>
concept AdaptsEmbeddings = requires { typename Method::template embedding<B, T>; };

}  // namespace detail

/// The slot of a linear layer that takes the adapter of any method.
template <Backend B, Real T = float>
using AnyAdapter = detail::Slots<B, T, Lora, Dora>::linear;
template <Backend B, Real T = float>
using AnyEmbeddingAdapter = EmbeddingAdapterSlot<Lora::embedding<B, T>, Dora::embedding<B, T>>;

/// Calls f with the method that a configuration asks for.
template <class Config, class F>
auto with_method(const Config& config, const F& f) {
  if (config.use_dora && std::holds_alternative<Lora>(config.method)) return f(Dora{});
  return std::visit(f, config.method);
}

}  // namespace veneer
