// SPDX-License-Identifier: Apache-2.0
/// \file methods.hpp
/// The list of methods. To add one, add a file and its name here.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "veneer/nn/adapter.hpp"
#include "veneer/peft/adalora.hpp"
#include "veneer/peft/dora.hpp"
#include "veneer/peft/hira.hpp"
#include "veneer/peft/ia3.hpp"
#include "veneer/peft/init/observer.hpp"
#include "veneer/peft/loha.hpp"
#include "veneer/peft/lora.hpp"
#include "veneer/peft/miss.hpp"
#include "veneer/peft/several_slot.hpp"
#include "veneer/peft/trainable_tokens.hpp"
#include "veneer/peft/vera.hpp"

namespace veneer {

namespace detail {

template <class Method, class B, class T>
concept AdaptsEmbeddings = requires { typename Method::template embedding<B, T>; };
template <class Method>
concept InFileOfAnother = requires { typename Method::in_file_of; };

inline std::string lower_case(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

template <class... T>
struct Types {
  template <class... More>
  Types<T..., More...> operator+(Types<More...>) const;
  template <template <class...> class To>
  using in = To<T...>;
};

/// The parts of a list of methods, each in the order of the list.
template <class... Methods>
struct MethodList {
  template <class Method, bool Keep>
  using If = std::conditional_t<Keep, Types<Method>, Types<>>;
  /// The methods with their own file, and thus their own settings.
  using settings = decltype((Types<>() + ... + If<Methods, !InFileOfAnother<Methods>>()));

  static std::vector<std::string> names() { return {lower_case(Methods::name)...}; }

  template <Backend B, Real T>
  using linear = AdapterSlot<typename Methods::template linear<B, T>..., InputObserver<B, T>, TokenHeadAdapter<B, T>>;

  /// f of one adapter of each method, without values.
  template <Backend B, Real T>
  static void with_linear(const auto& f) {
    f(typename Methods::template linear<B, T>()...);
  }

  template <Backend B, Real T, class Method>
  static auto embedding_of() {
    if constexpr (AdaptsEmbeddings<Method, B, T>) {
      return Types<typename Method::template embedding<B, T>>();
    } else {
      return Types<>();
    }
  }
  template <Backend B, Real T>
  using embeddings = decltype((Types<>() + ... + embedding_of<B, T, Methods>()) + Types<TokenEmbeddingAdapter<B, T>>());
};

using AllMethods = MethodList<Lora, Dora, AdaLora, Ia3, Vera, Miss, Hira, Loha>;

}  // namespace detail

/// The settings of the method of an adapter; each alternative has its own peft_type. DoRA is LoRA with use_dora.
using AdapterMethod = detail::AllMethods::settings::in<std::variant>;

/// The settings of every method at once, for programs with flags for all of them.
using AllMethodSettings = detail::AllMethods::settings::in<std::tuple>;

/// "lora", "dora", "adalora", ...: what programs call the methods.
inline std::vector<std::string> method_names() { return detail::AllMethods::names(); }
template <class Method>
std::string method_name() {
  return detail::lower_case(Method::name);
}

/// Calls f(name, member, flag, help) for a method's own settings.
template <class Method, class F>
void each_setting(Method& method, const F& f) {
  std::apply([&](const auto&... one) { (f(one.name, method.*(one.member), one.flag, one.help), ...); },
             std::remove_const_t<Method>::settings);
}

/// The slot of a linear layer for the adapter of any method, a sum of them, and a choice among them by rows. A struct,
/// not an alias, so that symbols and error messages have its name instead of the list.
template <Backend B, Real T = float>
struct AnyAdapter : SeveralSlot<detail::AllMethods::linear<B, T>, B, T> {
  using Base = SeveralSlot<detail::AllMethods::linear<B, T>, B, T>;
  using Base::Base;
};
template <Backend B, Real T = float>
struct AnyEmbeddingAdapter
    : SeveralSlot<typename detail::AllMethods::embeddings<B, T>::template in<EmbeddingAdapterSlot>, B, T> {
  using Base = SeveralSlot<typename detail::AllMethods::embeddings<B, T>::template in<EmbeddingAdapterSlot>, B, T>;
  using Base::Base;
};

/// Calls f with the method of a configuration.
template <class Config, class F>
auto with_method(const Config& config, const F& f) {
  if (config.use_dora && std::holds_alternative<Lora>(config.method)) return f(Dora{});
  return std::visit(f, config.method);
}

}  // namespace veneer
