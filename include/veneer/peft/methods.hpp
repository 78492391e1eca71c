// SPDX-License-Identifier: Apache-2.0
/// \file methods.hpp
/// The list of methods. A new one is a file of its own and its name in the two lists here.
#pragma once

#include <variant>

#include "veneer/nn/adapter.hpp"
#include "veneer/peft/adalora.hpp"
#include "veneer/peft/dora.hpp"
#include "veneer/peft/ia3.hpp"
#include "veneer/peft/init/observer.hpp"
#include "veneer/peft/lora.hpp"
#include "veneer/peft/vera.hpp"

namespace veneer {

/// Settings of the method of an adapter; each alternative has a peft_type of its own. DoRA is LoRA's with use_dora.
using AdapterMethod = std::variant<Lora, AdaLora, Ia3, Vera>;

namespace detail {

template <Backend B, Real T, class... Methods>
struct Slots {
  using linear = AdapterSlot<typename Methods::template linear<B, T>..., InputObserver<B, T>>;
};

template <class Method, class B, class T>
concept AdaptsEmbeddings = requires { typename Method::template embedding<B, T>; };

}  // namespace detail

/// The slot of a linear layer that takes the adapter of any method.
template <Backend B, Real T = float>
using AnyAdapter = typename detail::Slots<B, T, Lora, Dora, AdaLora, Ia3, Vera>::linear;
template <Backend B, Real T = float>
using AnyEmbeddingAdapter = EmbeddingAdapterSlot<typename Lora::embedding<B, T>, typename Dora::embedding<B, T>>;

/// Calls f with the method that a configuration asks for.
template <class Config, class F>
auto with_method(const Config& config, const F& f) {
  if (config.use_dora && std::holds_alternative<Lora>(config.method)) return f(Dora{});
  return std::visit(f, config.method);
}

}  // namespace veneer
